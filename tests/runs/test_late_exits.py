"""A spot exit whose answer was lost: another follows within the bound, and never sells twice."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from bots import services
from bots.screen import look
from tests.support.desk import SIGNAL, Desk
from tradebot import clock
from trading import recovery
from trading.accounts import client_for, read_key
from trading.locks import lock_state
from trading.models import AccountState, BotState, Fill, Order, OrderRequest, Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


def closing(desk: Desk, fault: str | None, coins: str = "0", **options) -> OrderRequest:
    """A bot in position that is closed, with a fault on the POST; `coins` are in the account before."""
    key, _ = read_key(desk.account)
    desk.paper.control(
        "/paper/accounts", {"apiKey": key.reveal(), "balances": {"USDT": "10000", "BTC": coins}}
    )
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    services.bot_close(bot=bot, by=desk.owner)
    if fault:
        desk.paper.fault(fault, **options)
    desk.run(bot, key="close")
    return exits()[0]


def exits() -> list[OrderRequest]:
    return list(OrderRequest.objects.filter(lane="exit").order_by("id"))


def look_again(desk: Desk, seconds: float) -> list[OrderRequest]:
    desk.wait(seconds)
    desk.run(desk.bots[0], key=f"look at {clock.now().isoformat()}")
    return exits()


def sold(desk: Desk) -> Decimal:
    return sum(
        (Decimal(one["executedQty"]) for one in desk.exchange_orders() if one["side"] == "SELL"), Decimal(0)
    )


def test_an_exit_that_never_arrived_is_followed_within_seconds_and_ends_as_not_placed(desk):
    first = closing(desk, "drop_request")
    assert (first.state, first.base_before) == ("UNKNOWN", AccountState.objects.get(asset="BTC").free)
    assert len(look_again(desk, 3)) == 1
    first, second = look_again(desk, 3.1)  # window 5 s and 1 s are over
    assert (first.state, first.superseded_by, second.state) == ("LATE", second, "ACCEPTED")
    assert not first.orders.get().live
    assert not desk.state(desk.bots[0]).in_position
    assert sold(desk) == second.orders.get().executed_quantity
    look_again(desk, 30)
    assert exits()[0].state == "LATE"
    look_again(desk, 30)  # hold 60 s: the first "does not exist" that counts
    first, _ = look_again(desk, 10.1)
    assert first.state == "NOT_PLACED"
    assert desk.differences() == []


def test_a_long_hold_delays_neither_the_barrier_nor_the_next_exit(desk):
    first = closing(desk, "unavailable", when="before")
    assert (first.state, first.hold_long) == ("UNKNOWN", True)
    first, second = look_again(desk, 6.1)
    assert (first.state, second.state) == ("LATE", "ACCEPTED")
    assert look_again(desk, 100)[0].state == "LATE"
    assert look_again(desk, 500)[0].state == "LATE"
    assert look_again(desk, 11)[0].state == "NOT_PLACED"


def test_the_bot_is_looked_at_and_does_not_enter_while_an_exit_is_late(desk):
    closing(desk, "drop_request")
    look_again(desk, 6.1)
    bot = desk.bots[0]
    assert [call.bot_id for call in look([bot.pk], clock.now()).calls] == [bot.pk]
    BotState.objects.update(last_signal_time=None)
    Order.objects.update(signal_used=False)
    result = desk.run(bot, key="again")
    assert result.outcome == "held"
    assert "in doubt" in " ".join(result.reasons)
    with pytest.raises(Exception, match="not known yet"):
        services.bot_delete(bot=bot, by=desk.owner)


@pytest.mark.parametrize("coins", ["0", "3"])
def test_an_exit_that_was_executed_unseen_sells_once(desk, coins):
    desk.paper.fault("stale_order", method="GET", seconds=60)
    closing(desk, "drop_response", coins)
    (first,) = look_again(desk, 6.1)  # its coins are gone, and nobody knows yet that it sold them
    assert first.state == "UNKNOWN"
    assert desk.state(desk.bots[0]).in_position
    look_again(desk, 20)
    (first,) = look_again(desk, 36)
    assert first.state == "ACCEPTED"
    assert not desk.state(desk.bots[0]).in_position
    assert Trade.objects.count() == 2
    assert desk.differences() == []


def test_with_a_few_coins_of_others_the_balance_is_believed_ten_seconds_behind_the_barrier(desk):
    closing(desk, "drop_request", coins="3")
    assert [one.state for one in look_again(desk, 6.1)] == ["UNKNOWN"]
    first, second = look_again(desk, 10)
    assert (first.state, second.state) == ("LATE", "ACCEPTED")
    assert sold(desk) == first.orders.get().quantity
    assert desk.differences() == []


def test_where_the_account_has_enough_for_two_the_exit_waits_for_proof(desk):
    first = closing(desk, "drop_request", coins="50")
    assert first.base_before > 50
    assert [one.state for one in look_again(desk, 6.1)] == ["UNKNOWN"]
    assert [one.state for one in look_again(desk, 50)] == ["UNKNOWN"]
    look_again(desk, 10)
    first, second = look_again(desk, 10.1)
    assert (first.state, second.state) == ("NOT_PLACED", "ACCEPTED")
    assert desk.differences() == []


def test_coins_that_came_after_the_exit_count_as_well(desk):
    first = closing(desk, "drop_request")
    key, _ = read_key(desk.account)
    held = Decimal(desk.paper.books(key.reveal())["balances"]["BTC"]["free"])
    desk.paper.control("/paper/accounts", {"apiKey": key.reveal(), "balances": {"BTC": str(held * 3)}})
    assert [one.state for one in look_again(desk, 6.1)] == ["UNKNOWN"]
    first.refresh_from_db()
    assert first.base_before == held * 3


def test_coins_that_are_gone_without_a_trade_are_for_a_person(desk):
    closing(desk, "drop_request")
    key, _ = read_key(desk.account)
    desk.paper.control("/paper/accounts", {"apiKey": key.reveal(), "balances": {"BTC": "0.5"}})
    assert [one.state for one in look_again(desk, 6.1)] == ["UNKNOWN"]
    look_again(desk, 60)
    look_again(desk, 10.1)
    (first,) = look_again(desk, 10.1)
    assert first.state == "QUARANTINED"
    assert "the account has 0.5" in first.reason
    assert desk.state(desk.bots[0]).hold == "doubt"
    assert not first.orders.get().live
    desk.wait(60)
    desk.run(desk.bots[0], key="later")
    assert len(exits()) == 1  # a person decides


def test_while_the_exchange_does_not_answer_a_spot_exit_waits(desk):
    closing(desk, "drop_request")
    desk.paper.fault("unavailable", method="GET", count=-1)
    assert [one.state for one in look_again(desk, 6.1)] == ["UNKNOWN"]
    desk.paper.control("/paper/faults", method="DELETE")
    first, second = look_again(desk, 10)
    assert (first.state, second.state) == ("LATE", "ACCEPTED")


def late_limit_order(desk: Desk) -> OrderRequest:
    """A LATE exit that rests on the exchange after all, far above the market."""
    row = closing(desk, "drop_request")
    look_again(desk, 6.1)
    row.refresh_from_db()
    key, _ = read_key(desk.account)
    desk.paper.control("/paper/accounts", {"apiKey": key.reveal(), "balances": {"BTC": "3"}})
    answer = desk.paper.signed(
        "POST",
        "/api/v3/order",
        api_key=key.reveal(),
        symbol="BTCUSDT",
        side="SELL",
        type="LIMIT",
        timeInForce="GTC",
        quantity="1",
        price="120",
        newClientOrderId=row.client_id,
    )
    assert answer.status_code == 200, answer.text
    return row


@pytest.mark.broken_books("coins are put on the account by hand")
def test_a_late_exit_that_is_found_open_is_withdrawn_and_what_it_did_is_booked(desk):
    row = late_limit_order(desk)
    look_again(desk, 10)
    row.refresh_from_db()
    order = row.orders.get()
    assert (row.state, order.status, order.live) == ("ACCEPTED", "CANCELED", False)
    assert order.cancel_wanted_at is not None
    assert desk.client.open_orders("BTCUSDT") == []


@pytest.mark.broken_books("coins are put on the account by hand")
def test_a_late_exit_that_can_not_be_withdrawn_stays_late(desk):
    row = late_limit_order(desk)
    desk.paper.fault("unavailable", method="DELETE", count=-1, when="before")
    look_again(desk, 10)
    row.refresh_from_db()
    assert (row.state, row.orders.get().status) == ("LATE", "PENDING")
    desk.paper.control("/paper/faults", method="DELETE")
    look_again(desk, 31)
    row.refresh_from_db()
    assert (row.state, row.orders.get().status) == ("ACCEPTED", "CANCELED")


def test_not_placed_that_is_met_after_all_is_booked_and_pauses_the_bot(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.paper.fault("drop_response")
    desk.run(bot)
    row = OrderRequest.objects.get()
    OrderRequest.objects.update(state="NOT_PLACED", reason="by a wrong inference", resolved_at=clock.now())
    Order.objects.update(live=False, status="NOT_PLACED", signal_used=False, fills_complete=True)
    AccountState.objects.update(reserved=0)
    row.refresh_from_db()
    client = client_for(desk.account, "spot")
    with transaction.atomic():
        state = lock_state(bot.pk)
        body = client.order("BTCUSDT", row.client_id)
        assert recovery.adopt(row, body, state=state, client=client, rules=None, now=clock.now())
    state = desk.state(bot)
    assert (row.state, state.hold, state.in_position) == ("ACCEPTED", "drift", True)
    assert Fill.objects.exists()
