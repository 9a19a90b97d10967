"""Spot: the stop and the target rest on the exchange as one OCO, move together, and leave with an exit."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from bots import inbox, services
from bots.models import BotConfig, BotInbox
from bots.screen import look
from tests.support.desk import SIGNAL, Desk
from tradebot import clock
from trading.models import AccountState, BotState, Fill, Order, OrderRequest, Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
BOTH = {"stop_loss_perc": "2", "take_profit_perc": "3"}


def enter(desk: Desk, **values: Any) -> BotConfig:
    bot = desk.add_bot(**values)
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    return bot


def set_price(desk: Desk, price: object, symbol: str = "BTCUSDT") -> None:
    desk.paper.control("/paper/price", {"symbol": symbol, "price": str(price)})


def open_there(desk: Desk) -> set[str]:
    return {one["clientOrderId"] for one in desk.client.open_orders("BTCUSDT")}


def test_an_entry_is_protected_in_the_same_run_by_one_oco(desk):
    bot = enter(desk, **BOTH)
    request = OrderRequest.objects.get(lane="exit")
    stop, target = Order.objects.get(purpose="STOP"), Order.objects.get(purpose="TARGET")
    state = desk.state(bot)
    assert (request.kind, request.state, request.path) == ("order_list", "ACCEPTED", "/api/v3/orderList/oco")
    assert (stop.request, target.request) == (request, request)
    assert (stop.type, target.type) == ("STOP_LOSS", "LIMIT_MAKER")
    assert (stop.client_order_id, target.client_order_id) == (
        f"{request.client_id}S",
        f"{request.client_id}T",
    )
    assert stop.stop_price == (state.entry_price * Decimal("0.98")).quantize(Decimal("0.01"), "ROUND_FLOOR")
    assert target.price == (state.entry_price * Decimal("1.03")).quantize(Decimal("0.01"), "ROUND_CEILING")
    assert open_there(desk) == {stop.client_order_id, target.client_order_id}
    assert stop.quantity == target.quantity <= state.current_position_size_coins
    assert (state.naked_since, state.status) == (None, "in position")
    assert desk.differences() == []


def test_with_protection_in_place_nothing_more_is_done(desk):
    bot = enter(desk, **BOTH)
    desk.wait(60)
    assert [call.bot_id for call in look([bot.pk], clock.now()).calls] == []
    assert desk.run(bot).outcome == "held"
    assert OrderRequest.objects.count() == 2


@pytest.mark.parametrize(
    ("values", "type_", "purpose"),
    [({"stop_loss_perc": "2"}, "STOP_LOSS", "STOP"), ({"take_profit_perc": "3"}, "LIMIT", "TARGET")],
)
def test_one_side_alone_is_one_order(desk, values, type_, purpose):
    enter(desk, **values)
    order = Order.objects.exclude(purpose="ENTRY").get()
    assert (order.type, order.purpose, order.request.kind, order.live) == (type_, purpose, "order", True)
    assert open_there(desk) == {order.client_order_id}
    assert desk.differences() == []


def test_what_rests_has_left_the_free_balance_and_comes_back(desk):
    bot = enter(desk, **BOTH)
    stop = Order.objects.get(purpose="STOP")
    held = desk.state(bot).current_position_size_coins
    assert AccountState.objects.get(asset="BTC").free == held - stop.quantity
    services.bot_close(bot=bot, by=desk.owner)
    assert desk.run(bot, key="close").outcome == "traded"
    assert not desk.state(bot).in_position
    assert desk.differences() == []


@pytest.mark.parametrize(("price", "filled", "gone"), [("90", "STOP", "TARGET"), ("120", "TARGET", "STOP")])
def test_what_the_exchange_filled_is_booked_at_the_next_look(desk, price, filled, gone):
    bot = enter(desk, **BOTH)
    set_price(desk, price)
    desk.wait(5)
    assert [call.bot_id for call in look([bot.pk], clock.now()).calls] == [bot.pk]
    assert desk.run(bot, key="after").outcome == "filled"
    done, other = Order.objects.get(purpose=filled), Order.objects.get(purpose=gone)
    assert (done.status, done.fills_complete) == ("FILLED", True)
    assert (other.live, other.executed_quantity) == (False, 0)
    state, trade = desk.state(bot), Trade.objects.get(purpose=filled)
    assert (state.in_position, state.exit_wanted, state.naked_since) == (False, "", None)
    assert trade.quantity_filled == done.executed_quantity
    assert (trade.realized_pnl > 0) is (filled == "TARGET")
    assert not Order.objects.filter(purpose="EXIT").exists()
    assert desk.differences() == []


def test_a_stop_by_hand_withdraws_the_list_before_it_sells(desk):
    bot = enter(desk, **BOTH)
    services.bot_stop(bot=bot, by=desk.owner)
    assert desk.run(bot, key="stop").outcome == "traded"
    assert set(Order.objects.filter(purpose__in=["STOP", "TARGET"]).values_list("status", flat=True)) == {
        "CANCELED"
    }
    assert Order.objects.get(purpose="EXIT").status == "FILLED"
    assert open_there(desk) == set()
    assert desk.state(bot).status == "paused"
    assert desk.differences() == []


def test_a_lost_stop_is_placed_again(desk):
    bot = enter(desk, **BOTH)
    first = OrderRequest.objects.get(lane="exit")
    desk.client.cancel_order_list("BTCUSDT", first.client_id)
    inbox.put(bot.pk, BotInbox.Kind.ORDER, clock.now(), "heard")
    desk.wait(1)
    assert desk.run(bot, key="heard").outcome == "traded"
    second = OrderRequest.objects.filter(lane="exit").latest("id")
    assert second != first
    assert open_there(desk) == {f"{second.client_id}S", f"{second.client_id}T"}
    assert BotInbox.objects.get(source_id="heard").handled_at is not None
    assert desk.state(bot).naked_since is None
    assert desk.differences() == []


def test_without_news_a_resting_order_is_asked_for_after_five_minutes(desk):
    bot = enter(desk, **BOTH)
    desk.client.cancel_order_list("BTCUSDT", OrderRequest.objects.get(lane="exit").client_id)
    desk.wait(240)
    assert desk.run(bot).outcome == "held"
    desk.wait(61)
    assert desk.run(bot).outcome == "traded"
    assert len(open_there(desk)) == 2


def test_a_trailing_stop_that_moves_is_withdrawn_and_placed_anew(desk):
    bot = enter(desk, trailing_stop_perc="1")
    first = Order.objects.filter(purpose="STOP")
    assert not first.exists()  # it trails from the first candle that closes after the entry
    desk.wait(60)
    assert desk.run(bot).outcome == "traded"
    old = Order.objects.get(purpose="STOP")
    BotState.objects.filter(bot=bot).update(trailing_stop_price=Decimal("90"))
    desk.wait(60)
    assert desk.run(bot).outcome == "traded"
    new = Order.objects.filter(purpose="STOP").latest("id")
    old.refresh_from_db()
    assert (old.status, new.status) == ("CANCELED", "NEW")
    assert open_there(desk) == {new.client_order_id}
    assert desk.state(bot).naked_since is None
    assert desk.differences() == []


def test_a_stop_that_would_trigger_at_once_means_leaving_at_market_in_the_same_run(desk):
    bot = desk.add_bot(**BOTH)
    desk.go_to(AT_SIGNAL)
    error = json.dumps(
        {"code": -2010, "msg": "The relationship of the prices for the orders is not correct."}
    )
    desk.paper.fault(
        kind="answer", when="before", method="POST", path="/api/v3/orderList/oco", status=400, body=error
    )
    assert desk.run(bot).outcome == "traded"
    leaving = Order.objects.get(purpose="EXIT")
    assert (leaving.status, leaving.type) == ("FILLED", "MARKET")
    assert leaving.reason.startswith("the price had passed the stop or target when it was placed")
    assert not desk.state(bot).in_position
    assert desk.state(bot).rejections_in_a_row == 0
    assert desk.differences() == []


def test_a_refused_stop_leaves_the_position_naked_and_is_tried_again(desk):
    bot = desk.add_bot(**BOTH)
    desk.go_to(AT_SIGNAL)
    error = json.dumps({"code": -1013, "msg": "Filter failure: MAX_NUM_ALGO_ORDERS"})
    desk.paper.fault(
        kind="answer", when="before", method="POST", path="/api/v3/orderList/oco", status=400, body=error
    )
    desk.run(bot)
    state = desk.state(bot)
    assert (state.in_position, state.rejections_in_a_row) == (True, 1)
    assert state.naked_since == state.entry_time
    desk.wait(60)
    assert [call.bot_id for call in look([bot.pk], clock.now()).calls] == [bot.pk]
    assert desk.run(bot).outcome == "traded"
    after = desk.state(bot)
    assert (after.naked_since, after.naked_longest_seconds) == (None, pytest.approx(60, abs=3))
    assert len(open_there(desk)) == 2


def test_a_price_beyond_a_stop_that_does_not_fill_ends_at_market(desk):
    bot = enter(desk, **BOTH)
    desk.paper.control("/paper/symbols/BTCUSDT", {"matchResting": False})
    set_price(desk, "90")
    desk.wait(5)
    first = desk.run(bot, key="first")
    assert first.outcome == "held"
    assert desk.state(bot).stop_passed_at == clock.now()
    assert first.look_again_at == clock.now() + timedelta(seconds=10)
    desk.wait(11)
    assert desk.run(bot, key="second").outcome == "traded"
    assert Order.objects.get(purpose="EXIT").reason.startswith("stop-loss: price 90 is at or below")
    assert Order.objects.get(purpose="STOP").status == "CANCELED"
    state = desk.state(bot)
    assert (state.in_position, state.stop_passed_at) == (False, None)
    assert desk.differences() == []


@pytest.mark.parametrize("share", ["0.4", "1"])
def test_a_cancel_that_races_a_fill_is_booked_once(desk, share):
    bot = enter(desk, stop_loss_perc="2")
    stop = Order.objects.get(purpose="STOP")
    desk.paper.control("/paper/faults", {"kind": "cancel_races_fill", "share": float(share)})
    services.bot_close(bot=bot, by=desk.owner)
    desk.run(bot, key="close")
    stop.refresh_from_db()
    assert stop.status == ("FILLED" if share == "1" else "EXPIRED")  # at market: what is not filled expires
    assert (stop.executed_quantity > 0, stop.fills_complete) == (True, True)
    sold = sum(fill.quantity for fill in Fill.objects.filter(side="SELL"))
    assert sold == stop.quantity
    assert Order.objects.filter(purpose="EXIT").exists() is (share != "1")
    assert not desk.state(bot).in_position
    assert desk.differences() == []
