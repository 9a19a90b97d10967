"""Stops in doubt on spot: an order list is found by any leg, withdrawn by the barrier, or followed."""

from __future__ import annotations

from datetime import timedelta

from tests.support.desk import SIGNAL, Desk
from tradebot import clock
from trading.models import Order, OrderRequest

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
OCO = "/api/v3/orderList/oco"


def protect(desk: Desk, fault: str, **options) -> OrderRequest:
    """A bot that has just entered, with a fault on the POST of its stop and target."""
    bot = desk.add_bot(stop_loss_perc="2", take_profit_perc="5")
    desk.go_to(AT_SIGNAL)
    desk.paper.fault(fault, path=OCO, **options)
    desk.run(bot)
    return lists()[0]


def lists() -> list[OrderRequest]:
    return list(OrderRequest.objects.filter(kind="order_list").order_by("id"))


def look_again(desk: Desk, seconds: float) -> list[OrderRequest]:
    desk.wait(seconds)
    desk.run(desk.bots[0], key=f"look at {clock.now().isoformat()}")
    return lists()


def resting(desk: Desk) -> set[str]:
    return {one["clientOrderId"] for one in desk.client.open_orders("BTCUSDT")}


def live_ids() -> set[str]:
    return set(Order.objects.filter(live=True).values_list("client_order_id", flat=True))


def test_a_stop_whose_answer_was_lost_is_found_and_protects(desk):
    assert protect(desk, "drop_response").state == "UNKNOWN"
    (first,) = look_again(desk, 2)
    assert (first.state, first.exchange_list_id is None) == ("ACCEPTED", False)
    assert live_ids() == resting(desk)
    assert len(live_ids()) == 2


def test_a_stop_that_never_arrived_is_followed_by_another(desk):
    protect(desk, "drop_request")
    first, second = look_again(desk, 6.1)
    assert (first.state, first.superseded_by, second.state) == ("LATE", second, "ACCEPTED")
    assert live_ids() == resting(desk) == {one.client_order_id for one in second.orders.all()}
    state = desk.state(desk.bots[0])
    assert state.naked_since is None
    look_again(desk, 60)
    assert look_again(desk, 10.1)[0].state == "NOT_PLACED"
    assert live_ids() == resting(desk)
    assert desk.differences() == []


def test_a_stop_that_is_placed_unseen_is_withdrawn_by_the_barrier_and_placed_anew(desk):
    desk.paper.fault("stale_order", method="GET", seconds=30)
    protect(desk, "drop_response")
    look_again(desk, 6.1)
    look_again(desk, 10)
    look_again(desk, 30)
    first, *others = lists()
    assert first.state == "ACCEPTED"
    assert {one.status for one in first.orders.all()} <= {"CANCELED", "EXPIRED"}
    assert live_ids() == resting(desk) == {one.client_order_id for one in others[-1].orders.all()}
    assert desk.differences() == []
