"""Limits across bots in real runs: an entry that would break one is refused with its reason, exits never."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from bots import services
from bots.models import BotRun
from marketdata import prices
from tests.support.desk import SIGNAL, Desk
from tradebot import clock
from tradebot.binance.sources import source_for
from trading.accounts import account_create
from trading.limits_service import limits_change, limits_create
from trading.models import AccountState, BotState, OrderRequest, OutboxMessage, RiskLimits

NAMES = ["COIN1USDT", "COIN2USDT", "COIN3USDT"]
AT_SIGNAL = SIGNAL + timedelta(seconds=2)


@pytest.fixture
def desk(make_desk) -> Desk:
    made = make_desk(NAMES)
    for name in NAMES:
        made.add_bot(name, name=name)
    made.go_to(AT_SIGNAL)
    return made


def limit(desk: Desk, **values) -> RiskLimits:
    return limits_create(user=desk.owner, account=desk.account, values=values)


def test_open_positions_of_an_account(desk):
    limit(desk, max_open_positions=2)
    outcomes = [desk.run(bot).outcome for bot in desk.bots]
    assert outcomes == ["traded", "traded", "refused"]
    refused = desk.state(desk.bots[2])
    reason = "not buying: open positions of account paper: 2 of 2"
    assert (refused.status, refused.status_reason) == ("waiting", reason)
    assert BotRun.objects.get(outcome="refused").reasons.startswith(reason)
    assert OrderRequest.objects.count() == 2
    assert AccountState.objects.get(asset="USDT").reserved == 0  # the refused entry's money is free again
    message = OutboxMessage.objects.get(event="limit")
    assert message.payload["limit"] == "open positions"
    assert (message.payload["scope"], message.payload["reason"]) == ("account", reason)
    assert message.bot_id is None
    assert desk.run(desk.bots[2], key="again").outcome == "refused"
    assert OutboxMessage.objects.filter(event="limit").count() == 1  # once a day
    assert desk.differences() == []


def test_a_refused_signal_is_not_used_up(desk):
    row = limit(desk, max_open_positions=1)
    assert [desk.run(bot).outcome for bot in desk.bots[:2]] == ["traded", "refused"]
    limits_change(limits=row, by=desk.owner, values={"max_open_positions": 2})
    assert desk.run(desk.bots[1], key="again").outcome == "traded"


def test_exits_are_never_refused(desk):
    first = desk.bots[0]
    desk.run(first)
    limit(desk, max_open_positions=1, max_exposure="1", max_orders_per_minute=1, max_daily_loss="0.01")
    services.bot_close(bot=first, by=desk.owner)
    assert desk.run(first, key="close").outcome == "traded"
    assert not desk.state(first).in_position


def test_exposure_in_all_and_per_coin(desk):
    row = limit(desk, max_exposure="1500")
    assert [desk.run(bot).outcome for bot in desk.bots[:2]] == ["traded", "refused"]
    assert desk.state(desk.bots[1]).status_reason.startswith("not buying: exposure of account paper: ")
    limits_change(limits=row, by=desk.owner, values={"max_exposure": None, "max_exposure_per_coin": "999"})
    assert desk.run(desk.bots[2]).outcome == "refused"
    assert "exposure of account paper in COIN3: 0.00 USDT" in desk.state(desk.bots[2]).status_reason
    limits_change(limits=row, by=desk.owner, values={"max_exposure_per_coin": "1001"})
    assert desk.run(desk.bots[2], key="again").outcome == "traded"


def test_orders_per_minute(desk):
    limit(desk, max_orders_per_minute=2)
    assert [desk.run(bot).outcome for bot in desk.bots] == ["traded", "traded", "refused"]
    desk.go_to(SIGNAL + timedelta(seconds=58))
    assert desk.run(desk.bots[2], key="early").outcome == "refused"
    assert desk.state(desk.bots[2]).status_reason == (
        "not buying: orders of account paper in the last minute: 2 of 2"
    )


def test_the_daily_loss_counts_open_positions_and_holds_when_prices_come_back(desk):
    row = limit(desk, max_daily_loss="50")
    desk.run(desk.bots[0])
    source = source_for("paper", "spot")
    before = prices.load_many(source, [NAMES[0]])[NAMES[0]].price
    prices.store(source, {NAMES[0]: before * 0.9}, clock.now())
    assert desk.run(desk.bots[1]).outcome == "refused"
    assert "daily loss of account paper: " in desk.state(desk.bots[1]).status_reason
    row.refresh_from_db()
    assert row.loss_reached_on == AT_SIGNAL.date()
    prices.store(source, {NAMES[0]: before}, clock.now())
    assert desk.run(desk.bots[1], key="again").outcome == "refused"
    assert desk.state(desk.bots[1]).status_reason.endswith("the limit of 50.00 USDT was reached today")
    RiskLimits.objects.update(loss_reached_on=AT_SIGNAL.date() - timedelta(days=1))  # the next day
    assert desk.run(desk.bots[1], key="tomorrow").outcome == "traded"


@pytest.mark.broken_books("losses are written without trades")
def test_the_daily_loss_counts_what_other_bots_realised_today_only(desk):
    limit(desk, max_daily_loss="50")
    today = AT_SIGNAL.date()
    BotState.objects.filter(bot=desk.bots[0]).update(daily_pnl=Decimal(-60), trading_day=today)
    assert desk.run(desk.bots[1]).outcome == "refused"
    RiskLimits.objects.update(loss_reached_on=None)
    BotState.objects.filter(bot=desk.bots[0]).update(trading_day=today - timedelta(days=1))
    assert desk.run(desk.bots[1], key="again").outcome == "traded"


def test_without_a_fresh_price_the_loss_cant_be_reckoned_and_nothing_counts_as_reached(desk):
    row = limit(desk, max_daily_loss="50")
    desk.run(desk.bots[0])
    source = source_for("paper", "spot")
    prices.store(source, {NAMES[0]: 100.0}, clock.now() - timedelta(seconds=91))
    assert desk.run(desk.bots[1]).outcome == "refused"
    assert desk.state(desk.bots[1]).status_reason == (
        "not buying: daily loss of account paper can't be reckoned, for there is no fresh price of COIN1USDT"
    )
    row.refresh_from_db()
    assert row.loss_reached_on is None
    assert not OutboxMessage.objects.filter(event="limit").exists()


def test_an_owners_limit_counts_all_accounts_and_an_accounts_limit_its_own(desk):
    other = account_create(user=desk.owner, name="other", environment="paper")
    desk.account = other
    bot = desk.add_bot(NAMES[0], name="on the other account")
    row = limit(desk, max_open_positions=1)  # of the other account
    desk.run(desk.bots[0])
    assert desk.run(bot).outcome == "traded"
    row.delete()
    limits_create(user=desk.owner, account=None, values={"max_open_positions": 2})
    assert desk.run(desk.bots[1]).outcome == "refused"
    assert desk.state(desk.bots[1]).status_reason == "not buying: open positions of owner owner: 2 of 2"
    assert OutboxMessage.objects.get(event="limit").payload["scope"] == "owner"


def test_another_owners_limits_are_not_ones_own(desk, django_user_model):
    stranger = django_user_model.objects.create_user("stranger")
    limits_create(user=stranger, account=None, values={"max_open_positions": 1})
    assert [desk.run(bot).outcome for bot in desk.bots] == ["traded"] * 3


def test_without_limits_an_entry_costs_one_query_and_no_lock(desk, django_assert_num_queries):
    from trading import limits

    with django_assert_num_queries(1):
        assert limits.marks_for(desk.account, clock.now()) is None
