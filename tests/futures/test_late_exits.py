"""A futures exit whose answer was lost: reduce-only, so another follows once its window is over."""

from __future__ import annotations

import pytest

from bots import services
from tests.futures.support import ORDER, enter
from tests.support.desk import Desk
from tradebot import clock
from trading.models import OrderRequest, Trade


def closing(desk: Desk, fault: str, **options) -> OrderRequest:
    bot = enter(desk)
    desk.wait(1)
    services.bot_close(bot=bot, by=desk.owner)
    desk.paper.fault(fault, path=ORDER, **options)
    desk.run(bot, key="close")
    return exits()[0]


def exits() -> list[OrderRequest]:
    return list(OrderRequest.objects.filter(lane="exit").order_by("id"))


def look_again(desk: Desk, seconds: float) -> list[OrderRequest]:
    desk.wait(seconds)
    desk.run(desk.bots[0], key=f"look at {clock.now().isoformat()}")
    return exits()


@pytest.mark.parametrize("fault", ["drop_request", "unavailable"])
def test_an_exit_that_never_arrived_is_followed_and_proven_absent_later(desk, fault):
    closing(desk, fault, when="before")
    assert [one.state for one in look_again(desk, 5)] == ["UNKNOWN"]
    first, second = look_again(desk, 1.1)
    assert (first.state, first.superseded_by, second.state) == ("LATE", second, "ACCEPTED")
    assert not desk.state(desk.bots[0]).in_position
    look_again(desk, 30)
    assert exits()[0].barrier_at is not None
    assert look_again(desk, 600)[0].state == "LATE"
    assert look_again(desk, 10.1)[0].state == "NOT_PLACED"
    assert desk.differences() == []


def test_an_exit_that_was_executed_unseen_is_followed_by_one_that_is_refused(desk):
    desk.paper.fault("stale_order", path=ORDER, method="GET", seconds=60)
    closing(desk, "drop_response")
    first, second = look_again(desk, 6.1)
    assert (first.state, second.state, second.code) == ("LATE", "REJECTED", -2022)
    look_again(desk, 60)
    first = exits()[0]
    assert first.state == "ACCEPTED"
    state = desk.state(desk.bots[0])
    assert (state.in_position, state.hold) == (False, "")
    assert Trade.objects.count() == 2
    assert len(desk.exchange_orders()) == 2
    assert desk.differences() == []


def test_the_next_exit_does_not_wait_for_an_exchange_that_answers_no_question(desk):
    closing(desk, "drop_request")
    desk.paper.fault("unavailable", path=ORDER, method="GET", count=-1)
    first, second = look_again(desk, 6.1)
    assert (first.state, second.state) == ("LATE", "ACCEPTED")
    assert not desk.state(desk.bots[0]).in_position


def stops() -> list[OrderRequest]:
    return list(OrderRequest.objects.filter(kind="algo").order_by("id"))


def test_a_stop_that_never_arrived_is_followed_and_one_that_did_is_found(desk):
    desk.paper.fault("drop_request", path="/fapi/v1/algoOrder")
    bot = enter(desk, stop_loss_perc="2")
    assert [one.state for one in stops()] == ["UNKNOWN"]
    desk.paper.fault("drop_response", path="/fapi/v1/algoOrder")
    look_again(desk, 6.1)
    assert [one.state for one in stops()] == ["LATE", "UNKNOWN"]
    look_again(desk, 2)
    first, second = stops()
    assert (first.state, second.state) == ("LATE", "ACCEPTED")
    assert [one["clientAlgoId"] for one in desk.client.open_algo_orders()] == [second.client_id]
    assert desk.state(bot).naked_since is None
