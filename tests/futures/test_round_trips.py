"""Long and short, in and out, against a real paper exchange: what is sent, booked and said."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import parse_qs

import pytest

from bots import services
from tests.futures.support import AT_SIGNAL, ORDER, enter, gross_and_fees, wallet
from trading.models import AccountState, Fill, Order, OrderRequest, SymbolSetup, Trade
from trading.wire import position_of

SIDES = pytest.mark.parametrize(("side", "falls"), [("long", False), ("short", True)])


@SIDES
def test_an_entry_is_booked_to_the_last_digit(open_futures, side, falls):
    desk = open_futures(falls=falls)
    bot = enter(desk, side)
    state, order = desk.state(bot), Order.objects.get()
    assert (order.side, order.status) == ("SELL" if falls else "BUY", "FILLED")
    assert state.in_position
    assert state.status == "in position"
    assert state.current_position_size_coins == order.executed_quantity > 0
    assert Decimal(3900) < order.executed_quote < Decimal(4010)  # 1,000 USDT at leverage 4
    assert order.fills_complete
    theirs = position_of(desk.client.position_risk("BTCUSDT"), "BTCUSDT")
    assert theirs == (-1 if falls else 1) * order.executed_quantity
    assert wallet() == Decimal(10_000) - sum(fill.commission for fill in Fill.objects.all())
    assert AccountState.objects.get(market="futures", asset="USDT").reserved == 0
    assert desk.differences() == []


@SIDES
def test_a_round_trip_gains_what_the_exchange_says(open_futures, side, falls):
    desk = open_futures(falls=falls)
    bot = enter(desk, side, take_profit_perc="2")
    desk.client.cancel_algo_order(Order.objects.get(purpose="TARGET").client_order_id)  # lost: looks are left
    price = Decimal(str(desk.paper.public("/fapi/v1/ticker/price", symbol="BTCUSDT").json()["price"]))
    goal = price * (Decimal("0.97") if falls else Decimal("1.03"))
    desk.paper.control("/paper/price", {"symbol": "BTCUSDT", "price": f"{goal:.2f}"})
    desk.wait(5)
    assert desk.run(bot, key="target").outcome == "traded"
    leaving = Order.objects.get(purpose="EXIT")
    assert leaving.side == ("BUY" if falls else "SELL")
    assert leaving.reason.startswith("target: price")
    gross, fees = gross_and_fees()
    state, trade = desk.state(bot), Trade.objects.get(purpose="EXIT")
    assert gross > 100
    assert trade.realized_pnl == state.daily_pnl == state.realized_total == gross - fees
    assert wallet() == Decimal(10_000) + gross - fees
    assert (state.in_position, state.current_position_size_coins, state.exit_wanted) == (False, 0, "")
    assert Trade.objects.get(purpose="ENTRY").realized_pnl == 0
    assert desk.differences() == []


@SIDES
def test_a_stop_by_hand_leaves_reduce_only(open_futures, sent, side, falls):
    desk = open_futures(falls=falls)
    bot = enter(desk, side)
    services.bot_stop(bot=bot, by=desk.owner)
    assert desk.run(bot, key="stop").outcome == "traded"
    posted = [parse_qs(one.text) for one in sent if (one.method, one.path) == ("POST", ORDER)]
    assert [one.get("reduceOnly") for one in posted] == [None, ["true"]]
    assert [one["positionSide"] for one in posted] == [["BOTH"], ["BOTH"]]
    assert [one["newOrderRespType"] for one in posted] == [["RESULT"], ["RESULT"]]
    assert desk.state(bot).status == "paused"
    assert desk.differences() == []


def test_a_long_bot_does_not_sell_short_at_the_opposite_signal(open_futures):
    desk = open_futures(falls=True)
    bot = desk.add_bot(position_type="long", leverage=4)
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "held"
    assert desk.exchange_orders() == []
    assert not SymbolSetup.objects.exists()  # nothing was asked for an entry that is not due


def test_the_margin_and_not_the_worth_is_reserved_and_tied_up(desk, monkeypatch):
    from trading import orders

    reserved = []
    really = orders.prepare

    def spy(**values):
        request = really(**values)
        reserved.append((request.reserved_amount, request.orders.get().quantity, values["wishes"][0].price))
        return request

    monkeypatch.setattr(orders, "prepare", spy)
    enter(desk)
    amount, quantity, price = reserved[0]
    notional = quantity * Decimal(repr(price))
    assert amount == (notional * Decimal("1.01") / 4 + notional * Decimal("0.0005")).quantize(Decimal("1e-8"))
    assert OrderRequest.objects.get().state == "ACCEPTED"


def test_an_entry_beyond_the_free_margin_is_refused_in_plain_words(open_futures):
    desk = open_futures(names=("BTCUSDT", "ETHUSDT"))
    enter(desk, initial_capital="9000", leverage=2)
    second = desk.add_bot("ETHUSDT", initial_capital="2000", leverage=2)
    desk.go_to(AT_SIGNAL)
    result = desk.run(second)
    assert result.outcome == "refused"
    assert result.reasons[0].startswith("not buying: the account has 9")
    assert "USDT free beside 900" in result.reasons[0]
    assert "the entry needs a margin of 20" in result.reasons[0]
    assert desk.exchange_orders("ETHUSDT") == []
    assert desk.differences() == []


def test_a_refusal_for_want_of_margin_is_not_repeated(desk):
    bot = desk.add_bot(leverage=4)
    desk.go_to(AT_SIGNAL)
    body = '{"code": -2019, "msg": "Margin is insufficient."}'
    desk.paper.fault("answer", path=ORDER, status=400, body=body, when="before")
    assert desk.run(bot).outcome == "failed"
    request = OrderRequest.objects.get()
    assert (request.state, request.code) == ("REJECTED", -2019)
    state = desk.state(bot)
    assert (state.status, state.last_error_message) == (
        "error (order failed)",
        "Margin is insufficient. (-2019)",
    )
    assert desk.run(bot, key="again").outcome == "held"
    assert desk.exchange_orders() == []
    assert AccountState.objects.get(market="futures", asset="USDT").reserved == 0
