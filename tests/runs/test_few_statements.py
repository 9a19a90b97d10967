"""An order costs few statements, and what a run has not read again was not changed meanwhile."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bots import deciding, inbox
from bots.models import BotConfig, BotInbox
from tests.support.desk import SIGNAL
from tradebot import clock
from trading import deployments, holdings, kill, money
from trading.models import AccountState, Order, OrderRequest

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
PROTECTED = {"stop_loss_perc": "5", "take_profit_perc": "10"}


@pytest.fixture
def before_the_lock(monkeypatch):
    """`before_the_lock(act)`: act once when a run has looked, just before it takes the lock."""

    def arm(act) -> None:
        lock, pending = deciding.lock_state_again, [act]

        def then_lock(*args, **values):
            while pending:
                pending.pop()()
            return lock(*args, **values)

        monkeypatch.setattr(deciding, "lock_state_again", then_lock)

    return arm


def test_an_entry_and_an_exit_take_36_statements_each_at_most(desk):
    bot = desk.add_bot()
    desk.run(bot)  # answers the mail of the start, and asks for the balance
    AccountState.objects.create(account=desk.account, asset="BTC", asked_at=clock.now())  # traded before
    deployments.nonce_in_force(clock.now())
    desk.go_to(AT_SIGNAL)
    with CaptureQueriesContext(
        connection,
    ) as entry:
        assert desk.run(bot).outcome == "traded"
    inbox.put(bot.pk, "close", clock.now())
    desk.wait(1)
    with CaptureQueriesContext(connection) as leaving:
        assert desk.run(bot, key="close").outcome == "traded"
    assert [order.status for order in Order.objects.all()] == ["FILLED", "FILLED"]
    assert len(entry) <= 36, len(entry)
    assert len(leaving) <= 36, len(leaving)


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_bot_changed_between_look_and_lock_is_read_again(desk, before_the_lock, by_hand):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)

    def change() -> None:
        row = BotConfig.objects.get(pk=bot.pk)
        row.initial_capital = Decimal(500)
        row.version += by_hand  # what does not count as a new version is seen all the same
        row.save()

    before_the_lock(change)
    assert desk.run(bot).outcome == "traded"
    worth = Order.objects.get().executed_quote
    assert 495 < worth < 505


@pytest.mark.parametrize("change", [{"is_active": False}, {"symbol": "ETHUSDT"}])
def test_a_bot_paused_or_moved_between_look_and_lock_does_not_enter(desk, before_the_lock, change):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    before_the_lock(lambda: BotConfig.objects.filter(pk=bot.pk).update(**change))
    assert desk.run(bot).outcome == "held"
    assert OrderRequest.objects.count() == 0


def test_mail_that_comes_between_look_and_lock_is_obeyed(desk, before_the_lock):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    desk.wait(1)
    before_the_lock(lambda: inbox.put(bot.pk, "close", clock.now()))
    assert desk.run(bot, key="later").outcome == "traded"
    assert not desk.state(bot).in_position
    assert BotInbox.objects.get(kind="close").result == "closed by hand"


def test_mail_that_comes_while_an_order_is_sent_is_obeyed_in_the_same_run(desk, monkeypatch):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    send = deciding.orders.send

    def then_somebody_closes(*args, **values):
        sent = send(*args, **values)
        if OrderRequest.objects.count() == 1:
            inbox.put(bot.pk, "close", clock.now())
        return sent

    monkeypatch.setattr(deciding.orders, "send", then_somebody_closes)
    assert desk.run(bot).outcome == "traded"
    assert [order.purpose for order in Order.objects.order_by("id")] == ["ENTRY", "EXIT"]


def test_the_status_after_an_exit_names_the_kill_switch(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    kill.KillSwitch.objects.create(
        scope="all", level="no_entries", reason="bad news", key="all", set_at=clock.now()
    )
    inbox.put(bot.pk, "close", clock.now())
    desk.wait(1)
    desk.run(bot, key="close")
    state = desk.state(bot)
    assert not state.in_position
    assert "kill switch" in state.status_reason


def test_coins_known_before_an_exit_count_those_that_a_list_locks_once(desk):
    bot = desk.add_bot(**PROTECTED)
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    assert sorted(Order.objects.filter(live=True).values_list("purpose", flat=True)) == ["STOP", "TARGET"]
    held = desk.state(bot).current_position_size_coins
    known = holdings.base_known(desk.account.pk, "BTCUSDT", "BTC")
    assert known == held
    assert (
        money.locked_in_sells(desk.account.pk, "spot", "BTCUSDT")
        == Order.objects.get(purpose="STOP").quantity
    )
    assert OrderRequest.objects.get(lane="exit").base_before == held
    assert holdings.base_known(desk.account.pk, "BTCUSDT", "NOTHING") is None
