"""Lost answers on futures: found by client id, with fills from userTrades; never sent again."""

from __future__ import annotations

import pytest

from bots import services
from tests.futures.support import AT_SIGNAL, ORDER, enter
from tradebot import clock
from trading.models import AccountState, Fill, Order, OrderRequest, Trade


def look_again(desk, seconds: float) -> OrderRequest:
    desk.wait(seconds)
    desk.run(desk.bots[0], key=f"look at {clock.now().isoformat()}")
    return OrderRequest.objects.first()


@pytest.mark.parametrize("fault", ["drop_response", "unavailable", "timeout", "truncated"])
def test_an_entry_whose_answer_was_lost_is_found_with_its_fills(desk, fault):
    bot = desk.add_bot(leverage=4)
    desk.go_to(AT_SIGNAL)
    desk.paper.fault(fault, path=ORDER)
    desk.run(bot)
    assert OrderRequest.objects.get().state == "UNKNOWN"
    assert AccountState.objects.get(market="futures", asset="USDT").reserved > 0
    request = look_again(desk, 2)
    assert (request.state, request.reason) == ("ACCEPTED", "found on the exchange")
    assert desk.state(bot).in_position
    assert Trade.objects.count() == len(desk.exchange_orders()) == 1
    assert AccountState.objects.get(market="futures", asset="USDT").reserved == 0
    assert desk.differences() == []


def test_an_exit_whose_answer_was_lost_is_found(desk):
    bot = enter(desk)
    services.bot_close(bot=bot, by=desk.owner)
    desk.paper.fault("drop_response", path=ORDER)
    desk.run(bot, key="close")
    assert desk.state(bot).in_position
    assert look_again(desk, 2).state == "ACCEPTED"
    assert not desk.state(bot).in_position
    assert desk.differences() == []


def test_an_entry_that_never_arrived_waits_ten_minutes_and_the_position_is_evidence(desk, sent):
    bot = desk.add_bot(leverage=4)
    desk.go_to(AT_SIGNAL)
    desk.paper.fault("drop_request", path=ORDER)
    desk.run(bot)
    assert look_again(desk, 70).state == "UNKNOWN"  # no second check of the timestamp is documented
    assert look_again(desk, 540).state == "UNKNOWN"
    assert look_again(desk, 11).state == "NOT_PLACED"
    assert "/fapi/v3/positionRisk" in {one.path for one in sent}
    assert desk.exchange_orders() == []


def test_fills_that_can_not_be_had_at_once_are_booked_at_the_next_look(desk):
    bot = desk.add_bot(leverage=4)
    desk.go_to(AT_SIGNAL)
    desk.paper.fault("unavailable", path="/fapi/v1/userTrades", method="GET", count=4)
    desk.run(bot)
    order, state = Order.objects.get(), desk.state(bot)
    assert (order.status, order.fills_complete, Fill.objects.count()) == ("FILLED", False, 0)
    assert state.in_position
    assert state.current_position_size_coins == order.executed_quantity
    assert Trade.objects.count() == 0
    desk.wait(5)
    desk.run(bot, key="next look")
    order.refresh_from_db()
    assert order.fills_complete
    assert Trade.objects.get().quantity_filled == order.executed_quantity
    assert desk.differences() == []
