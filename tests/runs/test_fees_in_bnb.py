"""Commissions paid in BNB: booked at BNB's price, PnL net of them, and the whole position can be sold."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from bots import services
from tests.support.desk import SIGNAL, open_desk
from trading.accounts import read_key
from trading.models import AccountState, Fill, Trade


def test_commissions_in_bnb_count_in_quote_and_leave_the_position_whole(
    tmp_path, settings, django_user_model, transactional_db
):
    desk = open_desk(tmp_path, settings, django_user_model, ["BTCUSDT", "BNBUSDT"])
    try:
        bot = desk.add_bot()
        desk.client.account()  # opens the paper account
        key = read_key(desk.account)[0].reveal()
        desk.paper.control("/paper/accounts", {"apiKey": key, "feesInBnb": True, "balances": {"BNB": "10"}})
        desk.go_to(SIGNAL + timedelta(seconds=2))
        assert desk.run(bot).outcome == "traded"
        fill = Fill.objects.get()
        assert fill.commission_asset == "BNB"
        assert desk.state(bot).current_position_size_coins == fill.quantity
        assert Trade.objects.get().commission_quote == fill.commission * fill.commission_price
        services.bot_close(bot=bot, by=desk.owner)
        desk.run(bot, key="close")
        buy, sell = Fill.objects.order_by("id")
        fees = buy.commission * buy.commission_price + sell.commission * sell.commission_price
        gross = sell.quantity * sell.price - buy.quantity * buy.price
        assert Trade.objects.get(purpose="EXIT").realized_pnl == gross - fees
        assert AccountState.objects.get(asset="BNB").free == Decimal(10) - buy.commission - sell.commission
        assert desk.differences() == []
    finally:
        desk.feed.close()
        desk.paper.stop()
