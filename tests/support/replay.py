"""Bots for tests that trade: one owner, one paper account, one started bot a symbol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bots import services
from bots.models import BotConfig
from trading.accounts import account_create
from trading.models import ExchangeAccount


def replay_bots(
    users: Any, names: list[str], load_symbols: Callable[[], object], **values: Any
) -> list[BotConfig]:
    """Started ema_rsi bots with a stop of 1 % and a target of 2 %, 4,000 USDT each, on one account."""
    load_symbols()
    user = users.objects.create_user("owner", password="owner-password-1")
    account = account_create(user=user, name="paper", environment="paper")
    bots = []
    for name in names:
        settings = {
            "name": name,
            "symbol": name,
            "interval": "1m",
            "initial_capital": "4000",
            "stop_loss_perc": "1",
            "take_profit_perc": "2",
            **values,
        }
        bot = services.bot_create(user=user, account=account, values=settings)
        services.bot_start(bot=bot, by=user)
        bots.append(bot)
    return bots


def add_futures_bots(account: ExchangeAccount, sides: dict[str, str]) -> list[BotConfig]:
    """Started futures bots by symbol and side, like replay_bots(), 1,000 USDT each at leverage 3."""
    bots = []
    for name, side in sides.items():
        settings = {
            "name": f"{name} {side}",
            "market": "futures",
            "symbol": name,
            "interval": "1m",
            "position_type": side,
            "leverage": 3,
            "initial_capital": "1000",
            "stop_loss_perc": "1",
            "take_profit_perc": "2",
        }
        bot = services.bot_create(user=account.user, account=account, values=settings)
        services.bot_start(bot=bot, by=account.user)
        bots.append(bot)
    return bots
