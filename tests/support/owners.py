"""Owners, accounts and bots for tests of services, admin and commands, and a small list of symbols."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

from bots.models import BotConfig
from bots.services import bot_create
from marketdata import symbols
from tradebot.binance.sources import source_for
from trading.accounts import account_create
from trading.models import BotState, ExchangeAccount, Order, OrderRequest

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


class Exchange:
    """Answers exchangeInfo: four symbols that trade, one that is halted, one that is not quoted in USDT."""

    def exchange_info(self) -> dict[str, Any]:
        rows = [_symbol(base) for base in ("BTC", "ETH", "BNB", "SOL")]
        return {"symbols": [*rows, _symbol("OLD", status="BREAK"), _symbol("ETH", quote="BTC")]}


def _symbol(base: str, quote: str = "USDT", status: str = "TRADING") -> dict[str, Any]:
    return {
        "symbol": f"{base}{quote}",
        "baseAsset": base,
        "quoteAsset": quote,
        "status": status,
        "contractType": "PERPETUAL",
        "isSpotTradingAllowed": True,
        "orderTypes": ["LIMIT", "MARKET"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
            {
                "filterType": "NOTIONAL",
                "minNotional": "5",
                "applyMinToMarket": True,
                "maxNotional": "9000000",
            },
        ],
    }


def load_symbols(environment: str = "paper", market: str = "spot") -> None:
    """Fill the symbol cache of a market of an environment."""
    assert symbols.refresh(source_for(environment, market), client=Exchange()).ok


def make_owner(name: str = "", *, staff: bool = False, superuser: bool = False) -> Any:
    """A user; a staff user may do everything that permissions allow in bots and trading."""
    user = get_user_model().objects.create_user(
        name or f"owner{next(_numbers)}", is_staff=staff or superuser, is_superuser=superuser
    )
    if staff:
        user.user_permissions.set(Permission.objects.filter(content_type__app_label__in=["bots", "trading"]))
    return user


def make_account(user: Any, **options: Any) -> ExchangeAccount:
    """A paper account of `user` unless told otherwise; a testnet or live one gets a made-up key."""
    options.setdefault("name", f"account {next(_numbers)}")
    if options.get("environment", "paper") != "paper":
        options.setdefault("api_key", f"K{next(_numbers)}".ljust(64, "k"))
        options.setdefault("api_secret", "s" * 64)
    return account_create(user=user, **options)


def make_bot(account: ExchangeAccount, **values: Any) -> BotConfig:
    """A paused bot on BTCUSDT; the symbols must be loaded."""
    values = {"name": f"bot {next(_numbers)}", "symbol": "BTCUSDT"} | values
    return bot_create(user=account.user, account=account, values=values)


def put_in_position(bot: BotConfig) -> None:
    """The bot's state as after an entry."""
    BotState.objects.filter(bot=bot).update(
        in_position=True,
        entry_price=Decimal("60000.5"),
        current_position_size_coins=Decimal("0.01"),
        status="in position",
    )


def make_request(bot: BotConfig, *, state: str = "PREPARED", **changes: Any) -> OrderRequest:
    """A request of the bot, as the journal has it; every request begins as PREPARED."""
    number = next(_numbers)
    request = OrderRequest.objects.create(
        bot=bot,
        account=bot.account,
        market=bot.market,
        symbol=bot.symbol,
        client_id=f"tb1-tests0-{bot.pk}-{number}",
        path="/api/v3/order",
        payload=f"symbol={bot.symbol}&side=BUY",
        ts_ms=1_775_044_800_000,
        recv_window_ms=5000,
        epoch=1,
        created_at=NOW,
        **{"lane": "entry"} | changes,
    )
    if state != "PREPARED":
        doubtful = state in ("UNKNOWN", "LATE", "QUARANTINED")
        OrderRequest.objects.filter(pk=request.pk).update(
            state=state, reason="" if doubtful else "test", resolved_at=None if doubtful else NOW
        )
        request.refresh_from_db()
    return request


def make_order(request: OrderRequest, *, live: bool = False, **changes: Any) -> Order:
    """An order of the request."""
    values = {
        "purpose": "EXIT",
        "side": "SELL",
        "type": "MARKET",
        "quantity": Decimal("0.01"),
        "client_order_id": request.client_id,
        "status": "NEW" if live else "FILLED",
    }
    return Order.objects.create(
        request=request,
        bot=request.bot,
        account=request.account,
        market=request.market,
        symbol=request.symbol,
        live=live,
        created_at=NOW,
        updated_at=NOW,
        **values | changes,
    )


def row_counts() -> dict[str, int]:
    """How many rows each table of the project has: equal before and after means that nothing was added."""
    labels = ("bots", "trading", "auth")
    return {
        model._meta.label: model._base_manager.count()
        for label in labels
        for model in apps.get_app_config(label).get_models()
    }


def values_of(bot: BotConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every column of the bot and of its state: equal before and after means that nothing was changed."""
    return (
        BotConfig.objects.filter(pk=bot.pk).values().get(),
        BotState.objects.filter(bot_id=bot.pk).values().get(),
    )
