"""Funding: asked for in turn, booked once, part of the wallet and of realised PnL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from bots import services
from bots.actors import book_funding
from tests.futures.support import enter, gross_and_fees, wallet
from tradebot import clock
from trading import income
from trading.locks import lock_state
from trading.models import AccountState, FundingPayment

FUNDING_TIME = datetime(2026, 4, 1, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(("side", "falls"), [("long", False), ("short", True)])
def test_funding_belongs_to_wallet_day_and_realised_pnl(open_futures, side, falls):
    desk = open_futures(falls=falls)
    bot = enter(desk, side)
    desk.go_to(FUNDING_TIME + timedelta(seconds=5))
    assert income.book_income(desk.account, desk.client, clock.now()) == 1
    paid = FundingPayment.objects.get()
    assert (paid.bot_id, paid.symbol, paid.asset, paid.paid_at) == (bot.pk, "BTCUSDT", "USDT", FUNDING_TIME)
    assert paid.amount != 0
    state = desk.state(bot)
    assert state.realized_total == state.daily_pnl == paid.amount
    assert desk.differences() == []
    assert income.book_income(desk.account, desk.client, clock.now()) == 0
    services.bot_stop(bot=bot, by=desk.owner)
    desk.run(bot, key="stop")
    gross, fees = gross_and_fees()
    state = desk.state(bot)
    assert state.realized_total == state.daily_pnl == gross - fees + paid.amount
    assert wallet() == Decimal(10_000) + gross - fees + paid.amount
    assert desk.differences() == []


def test_the_actor_asks_only_for_accounts_that_may_have_been_paid(desk, sent):
    bot = desk.add_bot(leverage=4)
    book_funding()
    assert [one for one in sent if one.path == "/fapi/v1/income"] == []
    services.bot_pause(bot=bot, by=desk.owner)
    services.bot_delete(bot=bot, by=desk.owner)
    bot = enter(desk)
    desk.go_to(FUNDING_TIME + timedelta(seconds=5))
    book_funding()
    book_funding()
    assert FundingPayment.objects.count() == 1
    services.bot_stop(bot=bot, by=desk.owner)
    desk.run(bot, key="stop")
    desk.wait(1)
    book_funding()  # traded since the last time
    desk.wait(1)
    del sent[:]
    book_funding()
    assert [one for one in sent if one.path == "/fapi/v1/income"] == []


def test_a_payment_that_the_wallet_snapshot_holds_already_is_not_added_again(desk):
    enter(desk)
    desk.go_to(FUNDING_TIME + timedelta(seconds=5))
    from trading import money

    assert money.refresh(desk.account.pk, "futures", "USDT", desk.client, clock.now())
    income.book_income(desk.account, desk.client, clock.now())
    assert FundingPayment.objects.count() == 1
    assert desk.differences() == []


def test_a_bot_that_is_being_run_is_left_for_the_next_time(desk, monkeypatch):
    from tradebot.errors import BotBusy

    bot = enter(desk)
    desk.go_to(FUNDING_TIME + timedelta(seconds=5))

    def busy(bot_id, **options):
        raise BotBusy("held")

    monkeypatch.setattr(income, "lock_state", busy)
    assert income.book_income(desk.account, desk.client, clock.now()) == 0
    row = AccountState.objects.get(market="futures", asset="USDT")
    assert row.income_asked_at is None
    monkeypatch.setattr(income, "lock_state", lock_state)
    assert income.book_income(desk.account, desk.client, clock.now()) == 1
    assert desk.state(bot).realized_total == FundingPayment.objects.get().amount
