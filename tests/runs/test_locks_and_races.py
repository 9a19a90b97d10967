"""One run at a time for a bot: a busy row is skipped at once, and stale writers change nothing."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from bots import services
from bots.models import BotRun
from bots.screen import _write_statuses, screen
from tests.support.desk import SIGNAL
from tradebot import clock
from tradebot.errors import BotBusy, IllegalTransition
from trading import orders, protocol, requests
from trading.locks import lock_state, lock_state_again
from trading.models import BotState, Order, OrderRequest

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


class HeldLock:
    """Another database session that holds a bot's row until the block ends."""

    def __init__(self, bot_id: int) -> None:
        self._bot_id = bot_id
        self._held, self._let_go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        with transaction.atomic():
            lock_state(self._bot_id)
            self._held.set()
            self._let_go.wait(20)
        connection.close()

    def __enter__(self):
        self._thread.start()
        assert self._held.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._let_go.set()
        self._thread.join()


def test_a_busy_bot_is_skipped_at_once_and_no_order_leaves(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    with HeldLock(bot.pk):
        began = time.monotonic()
        assert desk.run(bot).outcome == "busy"
        assert time.monotonic() - began < 5  # it waited for nothing
    assert desk.exchange_orders() == []
    assert desk.run(bot).outcome == "traded"


def test_the_lock_is_for_no_key_update_nowait_on_the_state_alone(desk, django_assert_num_queries):
    bot = desk.add_bot()
    with transaction.atomic(), django_assert_num_queries(1) as queries:
        lock_state(bot.pk)
    assert queries.captured_queries[0]["sql"].endswith('FOR NO KEY UPDATE OF "trading_botstate" NOWAIT')


def test_ten_deliveries_at_once_make_one_order(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    outcomes: list[str] = []

    def deliver() -> None:
        outcomes.append(desk.run(bot).outcome)
        connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("traded") == 1
    assert len(desk.exchange_orders()) == OrderRequest.objects.count() == BotRun.objects.count() == 1
    assert desk.differences() == []


def test_a_bot_paused_between_commit_and_sending_sends_no_entry(desk, monkeypatch):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    send = orders.send

    def then_somebody_pauses(*args, **values):
        services.bot_pause(bot=bot, by=desk.owner)
        return send(*args, **values)

    monkeypatch.setattr(orders, "send", then_somebody_pauses)
    desk.run(bot)
    request = OrderRequest.objects.get()
    assert (request.state, request.reason) == ("NOT_SENT", "not sent: the bot was paused")
    assert desk.exchange_orders() == []


def test_half_of_the_window_gone_means_not_sent(desk, monkeypatch):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    send = orders.send

    def after_a_long_pause(*args, **values):
        desk.wait(2.6)
        return send(*args, **values)

    monkeypatch.setattr(orders, "send", after_a_long_pause)
    desk.run(bot)
    assert OrderRequest.objects.get().state == "NOT_SENT"
    assert desk.exchange_orders() == []


def test_a_moved_epoch_means_not_sent_and_not_touched(desk, monkeypatch):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    send = orders.send

    def after_another_worker(*args, **values):
        BotState.objects.filter(bot=bot).update(epoch=99)
        return send(*args, **values)

    monkeypatch.setattr(orders, "send", after_another_worker)
    desk.run(bot)
    assert OrderRequest.objects.get().state == "PREPARED"
    assert desk.exchange_orders() == []


def test_a_worker_that_slept_through_the_end_of_its_request_changes_nothing(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    stale = OrderRequest.objects.get()
    stale.state = "PREPARED"  # as it was read long ago
    with pytest.raises(IllegalTransition):
        requests.advance(stale, protocol.Answered("REJECTED", "late"), 0, clock.now())
    assert OrderRequest.objects.get().state == "ACCEPTED"


def test_the_database_refuses_ways_that_the_protocol_does_not_have(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    rows = OrderRequest.objects.all()
    for change in ({"state": "PREPARED"}, {"state": "NOT_PLACED"}, {"payload": "x"}, {"ts_ms": 1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        OrderRequest.objects.create(
            bot=bot, account=desk.account, market="spot", symbol="BTCUSDT", lane="entry", client_id="x",
            path="/", payload="", ts_ms=1, recv_window_ms=1, epoch=1, created_at=clock.now(),
            state="ACCEPTED", reason="born so", resolved_at=clock.now(),
        )  # fmt: skip


def test_the_database_allows_one_open_request_a_lane_and_one_entry_a_signal(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    order = Order.objects.get()
    values = {
        "bot": bot, "account": desk.account, "market": "spot", "symbol": "BTCUSDT", "lane": "entry",
        "path": "/", "payload": "", "ts_ms": 1, "recv_window_ms": 1, "epoch": 1, "created_at": clock.now(),
    }  # fmt: skip
    first = OrderRequest.objects.create(client_id="x1", **values)
    with pytest.raises(IntegrityError, match="one_open_request_per_bot_and_lane"), transaction.atomic():
        OrderRequest.objects.create(client_id="x2", **values)
    order.pk, order.request, order.client_order_id = None, first, "x1"
    with pytest.raises(IntegrityError, match="one_entry_per_signal"), transaction.atomic():
        order.save(force_insert=True)


def test_a_screen_writes_no_status_over_a_row_that_is_locked_or_has_moved_on(desk):
    bot = desk.add_bot()
    epoch = desk.state(bot).epoch
    with HeldLock(bot.pk):
        assert _write_statuses([(bot.pk, epoch, "paused", "")]) == 1
    assert _write_statuses([(bot.pk, epoch + 1, "paused", "")]) == 1
    assert desk.state(bot).status == "waiting"
    assert _write_statuses([(bot.pk, epoch, "paused", "")]) == 0
    assert desk.state(bot).status == "paused"


def test_a_screen_of_bots_that_hold_writes_one_row_and_nothing_else(desk, django_assert_num_queries):
    bot = desk.add_bot()
    desk.go_to(SIGNAL - timedelta(seconds=20))
    desk.run(bot)  # answers the mail of the start
    before = BotState.objects.values().get()
    slot = clock.slot_of(clock.now())
    found = screen(slot=slot, trigger="minute", number=0, first_id=0, last_id=10**9, now=clock.now())
    assert (found.bots, found.calls, found.statuses) == (1, [], [])
    assert BotState.objects.values().get() == before
    assert BotRun.objects.count() == OrderRequest.objects.count() == 0


def test_a_lock_that_is_waited_for_ends_in_a_sentence(desk):
    bot = desk.add_bot()
    with HeldLock(bot.pk), pytest.raises(BotBusy, match="try again in a moment"), transaction.atomic():
        lock_state(bot.pk, wait_seconds=0.1)


@pytest.mark.parametrize("wait_seconds", [0, 0.1])
def test_the_lock_of_a_bot_in_hand_is_the_same_lock(desk, wait_seconds):
    bot = desk.add_bot()
    with HeldLock(bot.pk), pytest.raises(BotBusy, match="try again in a moment"), transaction.atomic():
        lock_state_again(bot, wait_seconds=wait_seconds)
    with transaction.atomic():
        assert lock_state_again(bot, wait_seconds=wait_seconds).bot is bot
        if wait_seconds:
            with connection.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                assert cursor.fetchone() == ("10s",)  # what follows is not to be lost for a short wait


def test_the_row_behind_a_lock_that_was_waited_for_is_what_was_committed_meanwhile(desk):
    bot = desk.add_bot()
    locked, waits = threading.Event(), "SELECT count(*) FROM pg_locks WHERE NOT granted"

    def change() -> None:
        with transaction.atomic():
            state = lock_state(bot.pk)
            locked.set()
            state.epoch = 77
            state.save(update_fields=["epoch"])
            end = time.monotonic() + 10
            with connection.cursor() as cursor:
                while time.monotonic() < end:
                    cursor.execute(waits)
                    if cursor.fetchone()[0]:
                        break
        connection.close()

    changer = threading.Thread(target=change)
    changer.start()
    assert locked.wait(10)
    with transaction.atomic():
        assert lock_state_again(bot, wait_seconds=5).epoch == 77
    changer.join()
