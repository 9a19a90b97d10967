"""One bot, run in this process against a real paper exchange: what is traded, booked and said."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from bots import inbox, services
from bots.models import BotInbox, BotRun
from bots.screen import look
from tests.support.desk import SIGNAL
from tradebot import clock
from trading.models import AccountState, Fill, Order, OrderRequest, SymbolClaim, Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


def test_a_bot_without_a_signal_waits_and_leaves_no_row(desk):
    bot = desk.add_bot()
    desk.go_to(SIGNAL - timedelta(seconds=20))
    result = desk.run(bot)
    assert result.outcome == "held"
    assert result.reasons[0].startswith("not buying: EMA 9")
    assert desk.state(bot).status == "waiting"
    assert BotRun.objects.count() == OrderRequest.objects.count() == 0


def test_a_signal_buys_once_and_books_the_fills_to_the_last_digit(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "traded"
    order, request, trade = Order.objects.get(), OrderRequest.objects.get(), Trade.objects.get()
    assert (request.state, request.lane, order.status, order.purpose) == (
        "ACCEPTED",
        "entry",
        "FILLED",
        "ENTRY",
    )
    assert order.signal_time == SIGNAL
    assert f"timestamp={request.ts_ms}" in request.payload
    assert "signature" not in request.payload
    fills = list(Fill.objects.all())
    assert sum(fill.quantity for fill in fills) == order.executed_quantity == trade.quantity_filled
    state = desk.state(bot)
    received = order.executed_quantity - sum(fill.commission for fill in fills)
    assert state.in_position
    assert state.current_position_size_coins == received
    assert state.entry_price == (order.executed_quote / order.executed_quantity).quantize(Decimal("1e-18"))
    assert (state.status, state.daily_trades_count, trade.realized_pnl) == ("in position", 1, 0)
    assert AccountState.objects.get(asset="USDT").reserved == 0
    assert desk.differences() == []


def test_the_same_run_again_changes_nothing(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    for _ in range(9):
        assert desk.run(bot).outcome in ("held", "already run")
    assert desk.run(bot, key="another trigger").outcome == "held"
    assert len(desk.exchange_orders()) == OrderRequest.objects.count() == 1


def test_a_signal_is_used_once_even_after_the_position_was_closed(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    services.bot_close(bot=bot, by=desk.owner)
    assert desk.run(bot, key="close").outcome == "traded"
    result = desk.run(bot, key="again")
    assert result.outcome == "held"
    assert "used" in " ".join(result.reasons)
    assert Order.objects.filter(purpose="ENTRY").count() == 1


def test_stop_by_hand_closes_the_position_and_gives_the_symbol_free(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    entry = services.bot_stop(bot=bot, by=desk.owner)
    assert desk.run(bot, key="stop").outcome == "traded"
    entry.refresh_from_db()
    state = desk.state(bot)
    sale = Trade.objects.get(purpose="EXIT")
    assert "stopped by hand" in entry.result
    assert (state.in_position, state.exit_wanted, state.status) == (False, "", "paused")
    assert state.daily_pnl == sale.realized_pnl < 0  # the spread and two fees
    assert state.last_exit_at == sale.created_at
    assert not SymbolClaim.objects.exists()
    assert desk.differences() == []


def test_pnl_is_net_of_both_fees(desk):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    services.bot_close(bot=bot, by=desk.owner)
    desk.run(bot, key="close")
    buy, sell = Order.objects.get(purpose="ENTRY"), Order.objects.get(purpose="EXIT")
    received = buy.executed_quantity - sum(fill.commission for fill in buy.fills.all())
    proceeds = sell.executed_quote - sum(fill.commission for fill in sell.fills.all())
    cost_of_sold = buy.executed_quote * sell.executed_quantity / received
    pnl = Trade.objects.get(purpose="EXIT").realized_pnl
    assert abs(pnl - (proceeds - cost_of_sold)) < Decimal("1e-15")


def test_a_paused_bot_still_leaves_at_its_stop(desk):
    bot = desk.add_bot(stop_loss_perc="2")
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    services.bot_pause(bot=bot, by=desk.owner)
    desk.paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "90"})
    desk.wait(60)
    assert [call.bot_id for call in look([bot.pk], clock.now()).calls] == [bot.pk]
    assert desk.run(bot).outcome == "filled"
    assert Order.objects.get(purpose="STOP").status == "FILLED"
    assert desk.state(bot).status == "paused"


def test_run_now_answers_in_its_inbox_row(desk):
    bot = desk.add_bot()
    desk.go_to(SIGNAL - timedelta(seconds=20))
    row = inbox.put(bot.pk, BotInbox.Kind.RUN, clock.now(), "click-1")
    assert inbox.put(bot.pk, BotInbox.Kind.RUN, clock.now(), "click-1").pk == row.pk
    desk.run(bot)
    row.refresh_from_db()
    assert row.handled_at is not None
    assert row.result.startswith("not buying")


def test_without_prices_a_bot_in_position_is_run_and_asks_for_the_price_itself(desk):
    bot = desk.add_bot(stop_loss_perc="2")
    desk.go_to(AT_SIGNAL)
    desk.run(bot)
    desk.paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "50"})
    late = clock.now() + timedelta(seconds=100)  # the feed is dead: nobody fetched prices since
    desk.paper.control("/paper/clock", {"now_ms": clock.to_ms(late)})
    clock.step_to(late)
    assert [call.bot_id for call in look([bot.pk], clock.now()).calls] == [bot.pk]
    assert desk.run(bot).outcome == "filled"
    assert Order.objects.get(purpose="STOP").status == "FILLED"
