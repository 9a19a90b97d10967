"""After "drained" no entry leaves any worker, whoever was in the middle of what; exits go on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction

from bots import services_kill
from bots.actors import run_all_active_bots_every_minute, wake_bots
from bots.services_kill import lift, switch_on
from tests.support.cluster import tail, wait_until_idle
from tests.support.desk import SIGNAL
from tests.support.waiting import wait_until
from tradebot import clock
from trading import kill, orders
from trading.accounts import account_create
from trading.models import BotState, KillSwitch, Order, OrderRequest

NAMES = [f"COIN{number:02}USDT" for number in range(50)]
AT_SIGNAL = SIGNAL + timedelta(seconds=2)
EVERYTHING = {"scope": "all", "level": "no_entries", "reason": "the exchange is odd"}


def two_hundred_bots(desk) -> list:
    """Four accounts with a bot on each of fifty symbols; the desk's account is the first of them again."""
    first = desk.account
    for number in range(4):
        if number:
            desk.account = account_create(user=desk.owner, name=f"paper {number}", environment="paper")
        for name in NAMES:
            desk.add_bot(name, initial_capital="100", name=f"{name} on {number}")
    desk.account = first
    return desk.bots


def orders_at_exchange(desk, side: str) -> int:
    """Orders of one side that the exchange has, of all accounts."""
    accounts = desk.paper.control("/paper/books")["accounts"]
    return sum(order["side"] == side for account in accounts for order in account["orders"])


def on_and_counted(desk, **changes) -> tuple[KillSwitch, int, float]:
    """Switch on; the switch, the entries that the exchange has once it is drained, and the seconds."""
    began = time.monotonic()
    switch = switch_on(by=None, values={**EVERYTHING, **changes}, wake=wake_bots, wait_seconds=30)
    took = time.monotonic() - began
    return switch, orders_at_exchange(desk, "BUY"), took


@pytest.fixture
def lock_alone(monkeypatch) -> None:
    """The windows of committed requests, the other proof, are not looked at: the lock must do."""
    monkeypatch.setattr(kill, "on_its_way", lambda switch, now: 0)


@pytest.mark.slow
def test_with_200_bots_on_real_workers_no_entry_leaves_after_drained_and_flatten_sells_all(
    make_desk, start_workers, tmp_path, capsys, lock_alone
):
    desk = make_desk(NAMES)
    bots = two_hundred_bots(desk)
    assert len(bots) == 200
    desk.go_to(AT_SIGNAL)
    desk.paper.fault("delay", seconds=0.3, count=-1)  # before anything was read: what is late is in flight
    start_workers(desk)
    run_all_active_bots_every_minute.send(SIGNAL.isoformat())
    sent = OrderRequest.objects.filter(lane="entry")
    wait_until(lambda: sent.filter(state="ACCEPTED").count() >= 30, 60)
    wait_until(lambda: sent.filter(state="PREPARED").count() >= 2)  # in flight, right now
    switch, entered, took = on_and_counted(desk)
    assert switch.drained_at is not None
    wait_until_idle()
    assert orders_at_exchange(desk, "BUY") == entered, tail(tmp_path / "logs")
    assert 30 <= entered < 200
    states = BotState.objects.all()
    assert states.filter(in_position=True).count() == entered
    assert sent.filter(state="ACCEPTED").count() == entered
    assert set(sent.exclude(state="ACCEPTED").values_list("state", flat=True)) <= {"NOT_SENT"}
    assert services_kill.entries_left(switch) == 0
    # exits go on under the same switch, and every position is sold
    _, _, _ = on_and_counted(desk, level="flatten")
    wait_until(lambda: not states.filter(in_position=True).exists(), 60)
    wait_until_idle()
    assert orders_at_exchange(desk, "SELL") == entered
    assert orders_at_exchange(desk, "BUY") == entered
    assert desk.differences() == []
    with capsys.disabled():
        print(f"\n200 bots, {entered} had entered, drained after {took:.2f} s, 0 entries later")


def test_with_threads_in_the_middle_of_their_requests_nothing_leaves_after_drained(make_desk, lock_alone):
    desk = make_desk(NAMES[:20])
    bots = [desk.add_bot(name, initial_capital="100") for name in NAMES[:20]]
    desk.go_to(AT_SIGNAL)
    desk.paper.fault("delay", seconds=0.4, count=-1)

    def enter(bot) -> str:
        try:
            return desk.run(bot).outcome
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        outcomes = [pool.submit(enter, bot) for bot in bots]
        wait_until(lambda: OrderRequest.objects.filter(state="PREPARED").count() == 4)
        switch, entered, _ = on_and_counted(desk)
        assert switch.drained_at is not None
    assert {outcome.result() for outcome in outcomes} <= {"traded", "held", "not sent"}
    assert orders_at_exchange(desk, "BUY") == entered
    assert 0 < entered < 20


def test_the_switch_commits_at_once_and_drains_while_locks_are_taken_without_a_pause(make_desk):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    stop = threading.Event()
    passed: list[str | None] = []

    def try_again_and_again() -> None:
        while not stop.is_set():
            with transaction.atomic():
                passed.append(kill.entries_barred(bot))
                time.sleep(0.03)  # overlapping: at no moment does nobody hold the lock
        connection.close()

    threads = [threading.Thread(target=try_again_and_again) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(passed) > 20)
        assert set(passed) == {None}
        switch, _, took = on_and_counted(desk)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert switch.drained_at is not None
    assert took < 2.0
    assert passed[-1] in ("the kill switch is on: the exchange is odd", kill.BEING_SET)


def test_a_committed_entry_is_not_sent_once_the_switch_is_on_and_counts_again_after_it(
    make_desk, monkeypatch
):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    send = orders.send

    def then_somebody_switches(*args, **values):
        services_kill.begin(by=None, values=EVERYTHING, now=clock.now())
        return send(*args, **values)

    monkeypatch.setattr(orders, "send", then_somebody_switches)
    desk.run(bot)
    request = OrderRequest.objects.get()
    assert request.state == "NOT_SENT"
    assert request.reason == "not sent: the kill switch is on: the exchange is odd"
    assert desk.exchange_orders() == []
    monkeypatch.undo()
    lift(switch=KillSwitch.objects.get(), by=None, now=clock.now())
    assert desk.run(bot, "again").outcome == "traded"  # the candle's signal still holds


def test_a_signal_that_came_while_it_was_on_is_not_caught_up(make_desk):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    switch = switch_on(by=None, values=EVERYTHING, wake=wake_bots, wait_seconds=5)
    desk.go_to(AT_SIGNAL)
    result = desk.run(bot)
    assert result.reasons[0] == "not buying: the kill switch is on: the exchange is odd"
    state = desk.state(bot)
    assert (state.status, state.status_reason) == ("paused", result.reasons[0])
    desk.wait(60)
    lift(switch=switch, by=None, now=clock.now())
    assert desk.run(bot).outcome == "held"
    assert desk.state(bot).status == "waiting"
    assert desk.exchange_orders() == []


def test_a_barred_lock_bars_entries_and_not_exits(make_desk):
    desk = make_desk(["BTCUSDT", "ETHUSDT"])
    first, second = desk.add_bot(), desk.add_bot("ETHUSDT")
    desk.go_to(AT_SIGNAL)
    assert desk.run(first).outcome == "traded"
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(kill.WAIT_FOR_LOCK, ["all"])
            held.set()
            let_go.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        assert desk.run(second).reasons[0] == f"not buying: {kill.BEING_SET}"
        BotState.objects.filter(bot=first).update(exit_wanted="closed by hand")
        assert desk.run(first, "exit").outcome == "traded"
    finally:
        let_go.set()
        thread.join()
    assert not desk.state(first).in_position
    assert Order.objects.filter(bot=second).count() == 0


def test_a_held_lock_of_another_scope_does_not_hold_a_bot_up(make_desk):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(kill.WAIT_FOR_LOCK, ["owner:999"])
            held.set()
            let_go.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        with transaction.atomic():
            assert kill.entries_barred(bot) is None
    finally:
        let_go.set()
        thread.join()


def test_an_entry_of_a_dead_worker_counts_as_on_its_way_until_its_window_is_over(make_desk, monkeypatch):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    monkeypatch.setattr(orders, "send", lambda request_id, **values: OrderRequest.objects.get(pk=request_id))
    desk.run(bot)
    assert OrderRequest.objects.get().state == "PREPARED"  # as a killed worker leaves it
    switch, _, _ = on_and_counted_briefly(desk)
    assert switch.drained_at is None
    desk.paper.control("/paper/clock", {"now_ms": clock.to_ms(AT_SIGNAL + timedelta(seconds=8))})
    clock.step_to(AT_SIGNAL + timedelta(seconds=8))
    switch, _, _ = on_and_counted_briefly(desk)
    assert switch.drained_at == AT_SIGNAL + timedelta(seconds=8)
    assert services_kill.entries_left(switch) == 1
    assert KillSwitch.objects.count() == 1


def on_and_counted_briefly(desk) -> tuple[KillSwitch, int, float]:
    switch = switch_on(by=None, values=EVERYTHING, wake=wake_bots, wait_seconds=0.2)
    return switch, 0, 0.0
