"""Futures: stop and target are conditional orders, reduce-only; an exit goes before they are withdrawn."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest

from bots import services
from bots.models import BotConfig
from bots.screen import look
from tests.support.desk import SIGNAL, Desk
from tradebot import clock
from trading.models import Order, OrderRequest, Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
BOTH = {"stop_loss_perc": "2", "take_profit_perc": "3"}
SIDES = pytest.mark.parametrize(("side", "falls"), [("long", False), ("short", True)])


@pytest.fixture
def open_desk(open_market):
    """Opens a futures desk."""
    return lambda **options: open_market(market="futures", **options)


def enter(desk: Desk, side: str = "long", **values: Any) -> BotConfig:
    bot = desk.add_bot(**{"position_type": side, "leverage": 4} | values)
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    return bot


def go_beyond(desk: Desk, percent: int) -> None:
    """Move last price and mark price by a percentage."""
    price = Decimal(str(desk.paper.public("/fapi/v1/ticker/price", symbol="BTCUSDT").json()["price"]))
    moved = f"{price * (100 + percent) / 100:.2f}"
    desk.paper.control("/paper/price", {"symbol": "BTCUSDT", "price": moved})
    desk.wait(5)


def open_there(desk: Desk) -> set[str]:
    return {one["clientAlgoId"] for one in desk.client.open_algo_orders("BTCUSDT")}


@SIDES
def test_an_entry_is_protected_in_the_same_run_by_two_conditional_orders(open_desk, side, falls):
    desk = open_desk(falls=falls)
    bot = enter(desk, side, **BOTH)
    stop, target = Order.objects.get(purpose="STOP"), Order.objects.get(purpose="TARGET")
    said = parse_qs(stop.request.payload)
    assert (stop.request.kind, stop.request.path) == ("algo", "/fapi/v1/algoOrder")
    assert (said["type"], said["reduceOnly"], said["clientAlgoId"], said["algoType"]) == (
        ["STOP_MARKET"],
        ["true"],
        [stop.client_order_id],
        ["CONDITIONAL"],
    )
    assert (target.type, target.side, stop.side) == ("TAKE_PROFIT_MARKET", *["BUY" if falls else "SELL"] * 2)
    assert open_there(desk) == {stop.client_order_id, target.client_order_id}
    entry = desk.state(bot).entry_price
    away = (stop.stop_price / entry - 1) * 100
    assert away == pytest.approx(Decimal(2 if falls else -2), abs=Decimal("0.02"))
    assert stop.request.exchange_list_id is not None
    assert (stop.exchange_order_id, stop.actual_order_id) == (None, None)
    assert desk.state(bot).naked_since is None
    assert desk.differences() == []
    desk.wait(60)
    assert look([bot.pk], clock.now()).calls == []


@SIDES
@pytest.mark.parametrize(("sign", "filled", "left"), [(-1, "STOP", "TARGET"), (1, "TARGET", "STOP")])
def test_what_triggered_is_booked_and_what_is_left_is_withdrawn(open_desk, side, falls, sign, filled, left):
    desk = open_desk(falls=falls)
    bot = enter(desk, side, **BOTH)
    go_beyond(desk, 4 * sign * (-1 if falls else 1))
    desk.run(bot, key="after")
    done, other = Order.objects.get(purpose=filled), Order.objects.get(purpose=left)
    assert (done.status, done.fills_complete, done.live) == ("FILLED", True, False)
    assert done.actual_order_id == done.exchange_order_id is not None
    assert (other.status, other.live) == ("CANCELED", False)
    assert open_there(desk) == set()
    state, trade = desk.state(bot), Trade.objects.get(purpose=filled)
    assert (state.in_position, state.naked_since) == (False, None)
    assert trade.binance_order_id == done.actual_order_id
    assert (trade.realized_pnl > 0) is (filled == "TARGET")
    assert desk.differences() == []


def test_an_exit_goes_first_and_the_conditional_orders_are_withdrawn_behind_it(open_desk, monkeypatch):
    desk = open_desk()
    bot = enter(desk, **BOTH)
    services.bot_stop(bot=bot, by=desk.owner)
    assert desk.run(bot, key="stop").outcome == "traded"
    leaving = Order.objects.get(purpose="EXIT")
    for order in Order.objects.filter(purpose__in=["STOP", "TARGET"]):
        assert order.status == "CANCELED"
        assert order.cancel_wanted_at >= leaving.updated_at
    assert open_there(desk) == set()
    assert desk.state(bot).status == "paused"
    assert desk.differences() == []


def test_an_exit_that_resting_orders_bar_withdraws_them_first(open_desk):
    desk = open_desk()
    bot = enter(desk, **BOTH)
    body = json.dumps({"code": -4118, "msg": "ReduceOnly Order Failed."})
    desk.paper.fault(
        kind="answer", when="before", method="POST", path="/fapi/v1/order", status=400, body=body
    )
    services.bot_stop(bot=bot, by=desk.owner)
    assert desk.run(bot, key="stop").outcome == "traded"
    exits = Order.objects.filter(purpose="EXIT").order_by("id")
    assert [order.status for order in exits] == ["REJECTED", "FILLED"]
    assert open_there(desk) == set()
    assert not desk.state(bot).in_position
    assert desk.differences() == []


def test_a_stop_that_would_trigger_at_once_means_leaving_at_market(open_desk):
    desk = open_desk()
    bot = desk.add_bot(leverage=4, **BOTH)
    desk.go_to(AT_SIGNAL)
    body = json.dumps({"code": -2021, "msg": "Order would immediately trigger."})
    desk.paper.fault(
        kind="answer", when="before", method="POST", path="/fapi/v1/algoOrder", status=400, body=body
    )
    assert desk.run(bot).outcome == "traded"
    assert not desk.state(bot).in_position
    assert Order.objects.get(purpose="STOP").status == "REJECTED"
    assert Order.objects.get(purpose="EXIT").status == "FILLED"
    assert OrderRequest.objects.filter(state="UNKNOWN").count() == 0
    assert desk.differences() == []
