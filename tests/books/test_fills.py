"""F1 to F6 of the fault matrix: partial fills, thousands of them, any fees, dust, words out of order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from bots import services
from bots.snapshot import MarketCache
from tests.books.conftest import AT_SIGNAL
from tests.support.desk import Desk
from trading import books
from trading.accounts import read_key
from trading.locks import lock_state
from trading.models import AccountState, Adjustment, Fill, Order, OrderRequest, Trade
from trading.paper.faults import KINDS

needs_shapes = pytest.mark.skipif(
    "fill_partly" not in KINDS, reason="this paper exchange has no switches for partial fills"
)
BTC = {"symbol": "BTCUSDT"}


def shape(desk: Desk, kind: str, **options: object) -> None:
    """How the next order is filled."""
    desk.paper.control("/paper/faults", {"kind": kind, "count": 1, **options})


def account_has(desk: Desk, **changes: object) -> None:
    """Change the paper account: balances, feesInBnb."""
    desk.client.account()  # opens it
    key = read_key(desk.account)[0].reveal()
    desk.paper.control("/paper/accounts", {"apiKey": key, **changes})


def close(desk: Desk, bot) -> None:
    services.bot_close(bot=bot, by=desk.owner)
    assert desk.run(bot, key="close").outcome == "traded"


def in_base(fills) -> Decimal:
    return sum((fill.commission for fill in fills if fill.commission_asset == "BTC"), Decimal(0))


@needs_shapes
def test_f1_an_entry_that_expires_half_filled_is_a_position_of_what_was_filled(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    shape(desk, "fill_partly", share=0.5, side="BUY", **BTC)
    assert desk.run(bot).outcome == "traded"
    order = Order.objects.get()
    assert (order.status, order.fills_complete, order.live) == ("EXPIRED", True, False)
    assert 0 < order.executed_quantity < order.quantity
    held = order.executed_quantity - in_base(Fill.objects.all())
    state = desk.state(bot)
    assert (state.in_position, state.current_position_size_coins) == (True, held)
    assert desk.run(bot, key="again").outcome == "held", "its signal is used"
    close(desk, bot)
    sold = Order.objects.get(purpose="EXIT")
    assert sold.status == "FILLED"
    assert held - sold.executed_quantity < Decimal("0.001"), "what is below a step"
    assert AccountState.objects.get(asset="USDT").reserved == 0


@needs_shapes
def test_f1_an_exit_that_expires_half_filled_is_sold_to_the_end_in_the_same_run(desk, holder):
    shape(desk, "fill_partly", share=0.5, side="SELL", **BTC)
    close(desk, holder)
    first, second = Order.objects.filter(purpose="EXIT").order_by("id")
    assert (first.status, second.status) == ("EXPIRED", "FILLED")
    assert not desk.state(holder).in_position
    total = sum(trade.realized_pnl for trade in Trade.objects.all())
    assert desk.state(holder).realized_total == total


@needs_shapes
@pytest.mark.parametrize("answer", ["in hand", "lost"])
def test_f2_two_and_a_half_thousand_fills_of_one_order_are_all_booked(desk, answer):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    shape(desk, "fill_in_parts", parts=2500, side="BUY", **BTC)
    if answer == "lost":
        desk.paper.fault("drop_response")
    desk.run(bot)
    if answer == "lost":
        assert OrderRequest.objects.get().state == "UNKNOWN"
        desk.wait(2)
        desk.run(bot, key="look")
    order = Order.objects.get()
    assert (order.fills.count(), order.fills_complete) == (2500, True)
    assert Trade.objects.get().quantity_filled == order.executed_quantity
    assert desk.state(bot).current_position_size_coins == order.executed_quantity - in_base(order.fills.all())


@needs_shapes
def test_f3_fees_in_two_coins_of_one_order(make_desk):
    desk = make_desk("BTCUSDT", "BNBUSDT")
    bot = desk.add_bot()
    account_has(desk, feesInBnb=True, balances={"BNB": "0.003"})  # a fill of a tenth costs about 0.0007
    desk.go_to(AT_SIGNAL)
    shape(desk, "fill_in_parts", parts=10, side="BUY", **BTC)
    assert desk.run(bot).outcome == "traded"
    fills = list(Fill.objects.all())
    assert {fill.commission_asset for fill in fills} == {"BNB", "BTC"}
    assert desk.state(bot).current_position_size_coins == sum(f.quantity for f in fills) - in_base(fills)
    close(desk, bot)
    assert not desk.state(bot).in_position
    fees = sum(fill.commission * fill.commission_price for fill in fills if fill.commission_asset == "BNB")
    assert 0 < fees < Trade.objects.get(purpose="ENTRY").commission_quote


def test_f3_a_bot_on_bnb_pays_its_fees_in_the_coin_that_it_trades(make_desk):
    desk = make_desk("BNBUSDT")
    bot = desk.add_bot("BNBUSDT")
    account_has(desk, feesInBnb=True, balances={"BNB": "10"})
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    bought = Fill.objects.get()
    assert bought.commission_asset == "BNB"
    assert desk.state(bot).current_position_size_coins == bought.quantity - bought.commission
    close(desk, bot)
    assert set(Fill.objects.values_list("commission_asset", flat=True)) == {"BNB"}
    assert not desk.state(bot).in_position


def test_f3_the_price_of_bnb_is_asked_for_once_for_all_fills_of_an_order(desk, holder, monkeypatch):
    asked = []

    class Client:
        def price(self, symbol: str) -> str:
            asked.append(symbol)
            return "600"

    fill = Fill.objects.get()
    fills = [Fill(commission=Decimal(1), commission_asset="BNB", symbol=fill.symbol) for _ in range(1000)]
    rules = MarketCache([holder], AT_SIGNAL).rules(holder)
    assert books.price_commissions(fills, rules, Client())  # type: ignore[arg-type]
    assert asked == ["BNBUSDT"]
    assert {one.commission_price for one in fills} == {Decimal(600)}


@needs_shapes
def test_f4_an_entry_too_small_to_be_sold_again_is_dust_and_the_slot_is_free(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    shape(desk, "fill_partly", share=0.003, side="BUY", **BTC)
    desk.run(bot)
    (dust,) = Adjustment.objects.all()
    state = desk.state(bot)
    assert (dust.kind, state.in_position, state.current_position_size_coins) == ("dust", False, 0)
    assert dust.quantity == in_base(Fill.objects.all()) - Order.objects.get().executed_quantity
    assert state.status == "waiting"


@needs_shapes
def test_f4_what_an_exit_leaves_below_the_least_worth_is_dust(desk, holder):
    shape(desk, "fill_partly", share=0.998, side="SELL", **BTC)
    close(desk, holder)
    assert Order.objects.filter(purpose="EXIT").count() == 1
    (dust,) = Adjustment.objects.all()
    assert Decimal(1) < -dust.quantity * 102 < Decimal(5)
    assert not desk.state(holder).in_position


def test_f4_a_position_that_fell_below_the_least_worth_is_written_off_when_it_should_be_sold(
    desk, holder, monkeypatch
):
    rules = MarketCache([holder], AT_SIGNAL).rules(holder)
    assert rules is not None
    monkeypatch.setattr(MarketCache, "rules", lambda self, bot: replace(rules, min_notional=Decimal(5000)))
    size = desk.state(holder).current_position_size_coins
    entry = services.bot_stop(bot=holder, by=desk.owner)
    result = desk.run(holder, key="close")
    assert result.outcome == "dust"
    state = desk.state(holder)
    assert (state.in_position, state.exit_wanted, state.status) == (False, "", "paused")
    assert state.status_reason.startswith(f"dust: {size.normalize():f} BTC, worth ")
    assert Adjustment.objects.get().quantity == -size
    entry.refresh_from_db()
    assert entry.result == state.status_reason
    assert not hasattr(type(holder).objects.get(pk=holder.pk), "claim"), "another bot may trade the symbol"
    assert desk.run(holder, key="again").outcome == "held"


def test_f6_fills_told_three_times_and_an_older_word_change_nothing(desk, holder):
    request, order = OrderRequest.objects.get(), Order.objects.get()
    said = desk.client.order("BTCUSDT", request.client_id)
    rules = MarketCache([holder], AT_SIGNAL).rules(holder)
    before = _all_of(holder)
    older = {**said, "status": "NEW", "executedQty": "0", "cummulativeQuoteQty": "0"}
    partly = {**said, "status": "PARTIALLY_FILLED", "executedQty": "1", "cummulativeQuoteQty": "102"}
    for body in (said, partly, older, said, said):
        with transaction.atomic():
            state = lock_state(holder.pk)
            books.book_order(
                request=request, state=state, body=body, client=desk.client, rules=rules, now=AT_SIGNAL
            )
        assert _all_of(holder) == before
    order.refresh_from_db()
    assert (order.status, order.live, order.fills_complete) == ("FILLED", False, True)


def _all_of(bot) -> list[object]:
    tables = (
        Fill.objects.order_by("id").values_list("id", "quantity"),
        Trade.objects.values_list("id", "realized_pnl"),
        AccountState.objects.order_by("asset").values_list("asset", "free", "reserved"),
        Order.objects.values_list("status", "executed_quantity", "executed_quote", "live"),
    )
    state = type(bot.state).objects.values_list("current_position_size_coins", "daily_trades_count")
    return [list(table) for table in (*tables, state)]


def test_a_thousand_old_fills_do_not_slow_a_booking_beyond_reason(
    desk, holder, django_assert_max_num_queries
):
    """The number of queries does not grow with the fills that a bot has."""
    close(desk, holder)
    fill = Fill.objects.order_by("id").first()
    assert fill is not None
    rows = []
    for number in range(1000):
        for side in ("BUY", "SELL"):
            rows.append(_copy(fill, trade_id=10_000 + 2 * number + (side == "SELL"), side=side))
    with transaction.atomic():
        Fill.objects.bulk_create(rows)
        state = lock_state(holder.pk)
        with django_assert_max_num_queries(20):
            books.rebook(order=None, state=state, rules=None, now=AT_SIGNAL + timedelta(minutes=5))
        transaction.set_rollback(True)


def _copy(fill: Fill, **changes: object) -> Fill:
    copy = Fill.objects.get(pk=fill.pk)
    copy.pk, copy._state.adding, copy.commission = None, True, Decimal(0)
    copy.order, copy.source = None, "external"
    for name, value in changes.items():
        setattr(copy, name, value)
    return copy
