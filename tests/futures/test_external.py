"""Positions that the exchange no longer has: liquidated, or closed by hand. Asked for, booked, named."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bots import services
from bots.models import BotRun
from bots.screen import look
from tests.futures.support import ORDER, enter, wallet
from tradebot import clock
from trading import external
from trading.accounts import read_key
from trading.models import Fill, FundingPayment, Order, OrderRequest, Trade
from trading.wire import position_of

SIDES = pytest.mark.parametrize(
    ("side", "falls", "share"), [("long", False, "0.85"), ("short", True, "1.15")]
)


def move_price(desk, share: str) -> None:
    """A second later the price is `share` of what it was."""
    desk.wait(1)
    last = Decimal(str(desk.paper.public("/fapi/v1/ticker/price", symbol="BTCUSDT").json()["price"]))
    price = f"{last * Decimal(share):.2f}"
    desk.paper.control("/paper/price", {"symbol": "BTCUSDT", "price": price})


def by_hand(desk, side: str, quantity: Decimal) -> None:
    """A second later the owner closes some of the position elsewhere."""
    desk.wait(1)
    key = read_key(desk.account)[0].reveal()
    answer = desk.paper.signed(
        "POST", ORDER, key, symbol="BTCUSDT", side=side, type="MARKET", quantity=f"{quantity:f}",
        newClientOrderId="by-hand-1", reduceOnly="true",
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


@SIDES
def test_a_liquidation_is_booked_and_the_bot_goes_on(open_futures, side, falls, share):
    desk = open_futures(falls=falls)
    bot = enter(desk, side, leverage=10)
    size = desk.state(bot).current_position_size_coins
    move_price(desk, share)
    desk.wait(5)
    assert position_of(desk.client.position_risk("BTCUSDT"), "BTCUSDT") == 0
    assert [call.bot_id for call in look([bot.pk], clock.now()).calls] == [bot.pk]
    result = desk.run(bot, key="liquidated")
    assert result.outcome == "external"
    assert result.reasons[0].startswith("liquidated by the exchange: ")
    assert result.reasons[1].startswith("liquidation price")
    request = OrderRequest.objects.get(lane="exit")
    assert (request.state, request.code) == ("REJECTED", -2022)
    state = desk.state(bot)
    assert (state.in_position, state.exit_wanted, state.hold, state.rejections_in_a_row) == (False, "", "", 0)
    assert (state.status, state.status_reason) == ("waiting", result.reasons[0])
    trade = Trade.objects.get(purpose="EXTERNAL")
    assert (trade.order, trade.quantity_filled, trade.reason) == (None, size, result.reasons[0])
    fees = sum((row.amount for row in FundingPayment.objects.all()), Decimal(0))
    assert trade.realized_pnl < -800  # the margin of 1,000 is all but gone
    assert state.daily_pnl == state.realized_total == trade.realized_pnl + fees
    assert wallet() == Decimal(10_000) + state.realized_total
    assert {fill.source for fill in Fill.objects.filter(order=None)} == {"external"}
    assert desk.differences() == []
    assert BotRun.objects.get(outcome="external").bot_id == bot.pk
    desk.wait(60)
    assert desk.run(bot).outcome == "held"
    assert OrderRequest.objects.count() == 2  # the exit is not tried again


@SIDES
def test_a_position_closed_by_hand_holds_the_bot(open_futures, side, falls, share):
    desk = open_futures(falls=falls)
    bot = enter(desk, side)
    by_hand(desk, "BUY" if falls else "SELL", desk.state(bot).current_position_size_coins)
    services.bot_close(bot=bot, by=desk.owner)
    assert desk.run(bot, key="close").outcome == "external"
    state = desk.state(bot)
    assert (state.status, state.hold, state.in_position) == ("paused (drift)", "drift", False)
    assert state.status_reason.startswith("traded outside TradeBot: ")
    trade = Trade.objects.get(purpose="EXTERNAL")
    assert state.realized_total == trade.realized_pnl
    assert desk.differences() == []
    desk.wait(60)
    assert desk.run(bot).outcome == "held"
    assert desk.state(bot).status == "paused (drift)"


def test_a_part_closed_by_hand_is_booked_and_the_rest_is_held(desk):
    bot = enter(desk)
    size = desk.state(bot).current_position_size_coins
    by_hand(desk, "SELL", Decimal("1"))
    desk.wait(1)
    found = external.reconcile(bot.pk, client=desk.client, rules=None, now=clock.now())
    assert (found.fills, found.by_exchange) == (1, False)
    state = desk.state(bot)
    assert (state.in_position, state.hold) == (True, "drift")
    assert state.current_position_size_coins == size - 1
    assert desk.differences() == []
    services.bot_close(bot=bot, by=desk.owner)
    assert desk.run(bot, key="close").outcome == "traded"  # a hold stops entries, never exits
    assert Order.objects.get(purpose="EXIT").quantity == size - 1
    assert desk.differences() == []


def test_booking_it_twice_changes_nothing(desk):
    bot = enter(desk, leverage=10)
    move_price(desk, "0.85")
    desk.wait(5)
    desk.run(bot, key="liquidated")
    before = (wallet(), desk.state(bot).realized_total, Fill.objects.count(), Trade.objects.count())
    external.reconcile(bot.pk, client=desk.client, rules=None, now=clock.now())
    state = desk.state(bot)
    assert (wallet(), state.realized_total, Fill.objects.count(), Trade.objects.count()) == before


def test_an_exit_refused_while_the_position_is_there_ends_after_three_times(desk):
    bot = enter(desk)
    services.bot_close(bot=bot, by=desk.owner)
    for number in range(3):
        assert desk.state(bot).hold == ""
        body = '{"code": -2022, "msg": "ReduceOnly Order is rejected."}'
        desk.paper.fault("answer", path=ORDER, status=400, body=body, when="before")
        assert desk.run(bot, key=str(number)).outcome == "external"
    state = desk.state(bot)
    assert (state.status, state.in_position) == ("paused (orders)", True)
    assert "refuses to reduce the position" in state.status_reason
