"""When the reply is lost: asked for until it is known, never sent again, never guessed about."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bots.screen import look
from tests.support.desk import SIGNAL, Desk
from tradebot import clock
from trading.models import AccountState, Order, OrderRequest, Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


def enter(desk: Desk, fault: str, **options) -> OrderRequest:
    """A bot at its signal, with a fault on its POST."""
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.paper.fault(fault, **options)
    desk.run(bot)
    return OrderRequest.objects.get()


def look_again(desk: Desk, seconds: float) -> OrderRequest:
    """Some time later, somebody looks at the bot."""
    desk.wait(seconds)
    desk.run(desk.bots[0], key=f"look at {clock.now().isoformat()}")
    return OrderRequest.objects.first()


@pytest.mark.parametrize(
    "fault", ["drop_response", "unavailable", "timeout", "bad_gateway", "truncated", "empty"]
)
def test_an_order_whose_answer_was_lost_is_found_and_booked_once(desk, fault):
    request = enter(desk, fault)
    assert request.state == "UNKNOWN"
    assert desk.state(desk.bots[0]).status in ("entering", "waiting")
    assert AccountState.objects.get(asset="USDT").reserved == request.reserved_amount > 0
    assert [call.bot_id for call in look([desk.bots[0].pk], clock.now()).calls] == [desk.bots[0].pk]
    request = look_again(desk, 2)
    assert (request.state, request.reason) == ("ACCEPTED", "found on the exchange")
    assert AccountState.objects.get(asset="USDT").reserved == 0
    assert Trade.objects.count() == len(desk.exchange_orders()) == 1
    assert desk.state(desk.bots[0]).in_position
    assert desk.differences() == []


def test_an_order_that_the_exchange_does_not_show_for_a_minute_is_not_placed_again(desk):
    desk.paper.fault("stale_order", method="GET", seconds=60)
    request = enter(desk, "timeout")
    for _ in range(6):
        request = look_again(desk, 9)
        assert request.state == "UNKNOWN"
    request = look_again(desk, 20)
    assert request.state == "ACCEPTED"
    assert OrderRequest.objects.count() == len(desk.exchange_orders()) == 1


def test_a_request_that_never_arrived_ends_as_not_placed_and_frees_everything(desk):
    request = enter(desk, "drop_request")
    assert request.state == "UNKNOWN"
    assert look_again(desk, 30).state == "UNKNOWN"
    assert look_again(desk, 34).state == "UNKNOWN"  # window 5 s and hold 60 s are over at 65 s
    assert look_again(desk, 3).state == "UNKNOWN"  # the barrier, and the first "does not exist"
    request = look_again(desk, 11)
    assert request.state == "NOT_PLACED"
    order = Order.objects.get()
    assert (order.status, order.live, order.signal_used) == ("NOT_PLACED", False, False)
    assert AccountState.objects.get(asset="USDT").reserved == 0
    assert desk.exchange_orders() == []
    assert desk.state(desk.bots[0]).last_signal_time is None


def test_after_a_server_error_ten_minutes_pass_before_not_placed(desk):
    enter(desk, "unavailable", when="before")
    assert look_again(desk, 70).state == "UNKNOWN"
    assert look_again(desk, 520).state == "UNKNOWN"
    assert look_again(desk, 20).state == "UNKNOWN"
    assert look_again(desk, 11).state == "NOT_PLACED"


def test_a_redirect_is_not_followed_and_its_outcome_is_unknown(desk):
    assert enter(desk, "redirect").state == "UNKNOWN"


def test_while_an_entry_is_in_doubt_nothing_enters(desk):
    enter(desk, "drop_request")
    desk.wait(1)
    result = desk.run(desk.bots[0], key="other trigger")
    assert result.outcome == "held"
    assert OrderRequest.objects.count() == 1


def test_a_refused_key_pauses_the_bot(desk):
    request = enter(desk, "key_refused")
    state = desk.state(desk.bots[0])
    assert (request.state, request.code) == ("REJECTED", -2015)
    assert (state.status, state.hold) == ("paused (key)", "key")
    assert desk.exchange_orders() == []


def test_a_rate_limit_rejects_and_leaves_the_signal_for_later(desk):
    request = enter(desk, "rate_limited", retry_after=1)
    assert (request.state, request.http_status) == ("REJECTED", 429)
    assert not Order.objects.get().signal_used
    assert desk.state(desk.bots[0]).rejections_in_a_row == 0


def test_three_refusals_in_a_row_pause_the_bot(desk):
    bot = desk.add_bot()
    for number in range(3):
        desk.go_to(AT_SIGNAL)
        body = '{"code": -2010, "msg": "Account has insufficient balance for requested action."}'
        desk.paper.fault("answer", status=400, body=body, when="before")
        Order.objects.update(signal_used=False)
        desk.state(bot).__class__.objects.update(last_signal_time=None)
        desk.run(bot, key=str(number))
    state = desk.state(bot)
    assert (state.status, state.hold, state.rejections_in_a_row) == ("paused (orders)", "orders", 3)
    assert state.last_error_message.startswith("Account has insufficient balance")
    assert desk.exchange_orders() == []


def test_an_exchange_that_is_down_at_the_post_leaves_not_sent(desk, monkeypatch):
    from trading import orders

    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    prepare = orders.prepare

    def then_the_exchange_goes(**values):
        made = prepare(**values)
        desk.paper.stop()
        return made

    monkeypatch.setattr(orders, "prepare", then_the_exchange_goes)
    desk.run(bot)
    request = OrderRequest.objects.get()
    assert request.state == "NOT_SENT"
    assert AccountState.objects.get(asset="USDT").reserved == 0
    assert not Order.objects.get().signal_used
