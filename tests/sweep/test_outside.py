"""What others did to an account: trades by hand, liquidation, ADL, deposits and withdrawals (X20)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bots import services
from marketdata import symbols
from tests.support.desk import Desk
from tradebot.binance.client import ExchangeClient
from trading.models import (
    AccountState,
    Adjustment,
    Fill,
    FundingPayment,
    Order,
    OrderRequest,
    Orphan,
    Trade,
)

from .support import enter, key_of, limit_by_hand, order_by_hand, plain, row_of, sweep, sweep_twice, told


def test_an_account_that_only_its_bots_trade_has_no_findings(spot: Desk):
    bot = enter(spot)
    assert sweep(spot).is_clean
    services.bot_close(bot=bot, by=spot.owner)
    assert spot.run(bot, key="close").outcome == "traded"
    for _ in range(3):
        assert sweep(spot, after=11).is_clean
    assert (Adjustment.objects.exclude(kind="dust").count(), row_of(spot).doubtful) == (0, False)


def test_a_futures_account_with_a_position_has_no_findings(futures: Desk):
    bot = enter(futures)
    assert sweep(futures).is_clean
    services.bot_close(bot=bot, by=futures.owner)
    assert futures.run(bot, key="close").outcome == "traded"
    assert sweep(futures).is_clean
    assert sweep(futures, after=11).is_clean


@pytest.mark.parametrize("by_adl", [False, True])
def test_a_liquidation_closes_the_position_and_the_bot_goes_on(futures: Desk, by_adl: bool):
    bot = enter(futures)
    futures.wait(1)
    futures.paper.control(
        "/paper/futures/liquidate", {"apiKey": key_of(futures), "symbol": "BTCUSDT", "adl": by_adl}
    )
    found = sweep(futures)
    state = futures.state(bot)
    assert (state.in_position, state.hold, state.status) == (False, "", "waiting")
    words = "closed by the exchange's auto-deleveraging" if by_adl else "liquidated by the exchange"
    assert [sentence.startswith(f"BTCUSDT: {words}: SELL") for sentence in found.findings] == [True]
    trade = Trade.objects.get(purpose="EXTERNAL")
    fees = sum((row.amount for row in FundingPayment.objects.all()), Decimal(0))
    assert state.realized_total == trade.realized_pnl + fees
    assert futures.differences() == []
    assert sweep(futures).is_clean


def test_a_position_closed_by_hand_is_booked_and_pauses_the_bot(futures: Desk):
    bot = enter(futures)
    size = futures.state(bot).current_position_size_coins
    order_by_hand(futures, "SELL", plain(size), reduceOnly="true")
    found = sweep(futures)
    state = futures.state(bot)
    assert (state.in_position, state.hold, state.status) == (False, "drift", "paused (drift)")
    assert found.held == {bot.pk}
    assert state.status_reason.startswith("traded outside TradeBot: SELL")
    assert Trade.objects.get(purpose="EXTERNAL").quantity_filled == size
    assert told() == [state.status_reason]
    assert futures.differences() == []
    assert sweep(futures).is_clean


@pytest.mark.broken_books("somebody else holds a part of the position")
def test_a_position_enlarged_by_hand_is_not_the_bots_and_pauses_it(futures: Desk):
    bot = enter(futures)
    size = futures.state(bot).current_position_size_coins
    order_by_hand(futures, "BUY", "1")
    first = sweep(futures)
    assert [sentence[:40] for sentence in first.findings] == ["BTCUSDT: traded outside TradeBot: BUY 1 "]
    assert futures.state(bot).hold == ""
    assert sweep(futures, after=11).held == {bot.pk}
    state = futures.state(bot)
    assert (state.hold, state.current_position_size_coins) == ("drift", size)
    order_by_hand(futures, "SELL", "1", "by-hand-2", reduceOnly="true")
    sweep(futures)
    assert futures.state(bot).current_position_size_coins == size - 1  # a position is one, whoever sells


def test_coins_sold_by_hand_are_booked_and_pause_the_bot(spot: Desk):
    bot = enter(spot)
    size = spot.state(bot).current_position_size_coins
    sold = size.quantize(Decimal("0.01"), rounding="ROUND_DOWN")
    order_by_hand(spot, "SELL", plain(sold))
    found = sweep(spot)
    state = spot.state(bot)
    assert (state.hold, found.held, found.booked) == ("drift", {bot.pk}, 1)
    assert state.in_position is False  # the rest is dust
    trade = Trade.objects.get(purpose="EXTERNAL")
    assert (trade.quantity_filled, trade.bot_config_id) == (sold, bot.pk)
    assert spot.differences() == []
    assert sweep(spot).is_clean


def test_some_coins_sold_by_hand_leave_the_rest_to_the_bot(spot: Desk):
    bot = enter(spot)
    size = spot.state(bot).current_position_size_coins
    order_by_hand(spot, "SELL", "1")
    sweep(spot)
    state = spot.state(bot)
    assert (state.hold, state.in_position, state.current_position_size_coins) == ("drift", True, size - 1)
    assert spot.differences() == []


def test_coins_beside_the_bots_may_be_sold_and_bought(spot: Desk):
    bot = enter(spot)
    size = spot.state(bot).current_position_size_coins
    order_by_hand(spot, "BUY", "3")
    assert sweep(spot).held == set()
    order_by_hand(spot, "SELL", "2.5", "by-hand-2")
    assert sweep(spot).held == set()
    state = spot.state(bot)
    assert (state.hold, state.current_position_size_coins) == ("", size)
    assert Fill.objects.filter(bot=None, source="external").count() == 2
    assert spot.differences() == []
    assert sweep(spot, after=11).is_clean


def test_a_deposit_and_a_withdrawal_of_money_are_booked_and_pause_nobody(spot: Desk):
    bot = enter(spot)
    free = AccountState.objects.get(asset="USDT").free
    for change, kind in ((Decimal(500), "deposit"), (Decimal(-200), "withdrawal")):
        free += change
        spot.wait(1)
        spot.paper.control("/paper/accounts", {"apiKey": key_of(spot), "balances": {"USDT": plain(free)}})
        found = sweep_twice(spot)
        assert found.findings == [f"spot: {kind} of {plain(abs(change))} USDT: no order explains it"]
        row = Adjustment.objects.get(kind=kind)
        assert (row.quantity, row.asset, row.bot) == (change, "USDT", None)
    assert spot.state(bot).hold == ""
    assert AccountState.objects.get(asset="USDT").free == free
    assert len(told()) == 2
    assert sweep(spot).is_clean


def test_a_deposit_of_futures_money_is_booked_once(futures: Desk):
    enter(futures)
    wallet = AccountState.objects.get(market="futures", asset="USDT").free
    futures.paper.control(
        "/paper/futures/balance", {"apiKey": key_of(futures), "balance": plain(wallet + 250)}
    )
    assert len(sweep_twice(futures).findings) == 1
    row = Adjustment.objects.get()
    assert (row.kind, row.quantity, row.market) == ("deposit", Decimal(250), "futures")
    assert sweep(futures).is_clean


def test_coins_that_left_without_a_trade_are_taken_from_the_bot(spot: Desk):
    bot = enter(spot)
    size = spot.state(bot).current_position_size_coins
    spot.wait(1)
    spot.paper.control("/paper/accounts", {"apiKey": key_of(spot), "balances": {"BTC": plain(size - 2)}})
    found = sweep_twice(spot)
    assert found.held == {bot.pk}
    state = spot.state(bot)
    assert (state.hold, state.current_position_size_coins) == ("drift", size - 2)
    row = Adjustment.objects.get()
    assert (row.kind, row.quantity, row.asset, row.bot_id) == ("external", Decimal(-2), "BTC", bot.pk)
    assert sweep(spot).is_clean


def test_an_account_that_others_use_too_is_not_judged_by_its_money(spot: Desk):
    spot.account.is_exclusive = False
    spot.account.save()
    bot = enter(spot)
    order_by_hand(spot, "BUY", "3")
    spot.paper.control("/paper/accounts", {"apiKey": key_of(spot), "balances": {"USDT": "12345"}})
    for _ in range(3):
        assert sweep(spot, after=11).is_clean
    assert (spot.state(bot).hold, Fill.objects.filter(source="external").count()) == ("", 0)


def test_a_symbol_that_is_no_longer_traded_is_named_while_a_bot_holds_it(open_one):
    spot = open_one(names=["BTCUSDT", "ETHUSDT"])
    enter(spot)
    spot.paper.control("/paper/symbols/BTCUSDT", {"status": "BREAK"})
    assert symbols.refresh(spot.client.source).ok
    assert sweep(spot).findings == ["BTCUSDT: not traded at the exchange now (BREAK), and a bot holds it"]
    spot.paper.control("/paper/symbols/BTCUSDT", {"status": "TRADING"})
    assert symbols.refresh(spot.client.source).ok
    assert sweep(spot).is_clean


@pytest.mark.broken_books("the conditional order is made up")
def test_an_order_that_a_conditional_order_became_is_ours_whatever_its_id_says(futures: Desk, monkeypatch):
    bot = enter(futures)
    made = limit_by_hand(futures, "x-of-the-exchange")
    order = Order.objects.get()
    algo = OrderRequest.objects.create(
        bot=bot, account=futures.account, market="futures", symbol="BTCUSDT", lane="exit", kind="algo",
        client_id="tb1-tests0-9-9", path="", payload="", ts_ms=1, recv_window_ms=1, epoch=99,
        created_at=order.created_at,
    )  # fmt: skip
    OrderRequest.objects.filter(pk=algo.pk).update(state="ACCEPTED", reason="x", resolved_at=order.created_at)
    Order.objects.filter(pk=order.pk).update(live=False)
    Order.objects.create(
        request=algo, bot=bot, account=futures.account, market="futures", symbol="BTCUSDT", purpose="STOP",
        side="SELL", type="STOP_MARKET", quantity=2, client_order_id="tb1-tests0-9-9",
        created_at=order.created_at, updated_at=order.created_at,
    )  # fmt: skip
    monkeypatch.setattr(
        ExchangeClient,
        "algo_order",
        lambda self, name: {"clientAlgoId": name, "actualOrderId": made["orderId"]},
    )
    found = sweep(futures)
    assert Orphan.objects.count() == 0
    assert list(found.wakes) == [bot.pk]
    assert futures.state(bot).hold == ""
