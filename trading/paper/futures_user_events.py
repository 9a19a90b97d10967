"""Futures' user events, with the fields of the USDS-M documentation ("User Data Streams")."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trading.paper.futures_orders import AlgoOrder, FuturesFill, FuturesOrder, Position, plain
from trading.paper.orders import ZERO, number
from trading.paper.user_feed import UserFeed

MARKET = "futures"
LIQUIDATION_IDS = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
# "er": why an order expired
NO_REASON, IOC_REST, REDUCES_NOTHING, LIQUIDATED, DELISTED, MARKET_REST = "0", "2", "4", "5", "7", "9"


def order_update(
    order: FuturesOrder, kind: str, at_ms: int, fill: FuturesFill | None = None, expired: str = NO_REASON
) -> dict[str, Any]:
    """ORDER_TRADE_UPDATE: `kind` is NEW, TRADE, CANCELED, EXPIRED, or CALCULATED for a liquidation."""
    is_forced = order.client_id.startswith(LIQUIDATION_IDS)
    return {
        "e": "ORDER_TRADE_UPDATE",
        "T": at_ms,
        "o": {
            "s": order.symbol,
            "c": order.client_id,
            "S": order.side,
            "o": "LIQUIDATION" if is_forced else order.type,
            "f": order.time_in_force,
            "q": plain(order.quantity),
            "p": plain(order.price),
            "ap": number(order.average_price),
            "sp": plain(order.stop_price),
            "x": "CALCULATED" if is_forced and kind == "TRADE" else kind,
            "X": order.status,
            "i": order.order_id,
            "l": plain(fill.quantity if fill else ZERO),
            "z": plain(order.executed),
            "L": plain(fill.price if fill else ZERO),
            "N": "USDT",
            "n": number(fill.commission if fill else ZERO),
            "T": at_ms,
            "t": fill.trade_id if fill else 0,
            "b": "0",
            "a": "0",
            "m": bool(fill and fill.is_maker),
            "R": order.reduce_only,
            "wt": order.working_type,
            "ot": order.original_type,
            "ps": "BOTH",
            "cp": order.close_position,
            "pP": False,
            "si": 0,
            "ss": 0,
            "rp": number(fill.realized if fill else ZERO),
            "V": "EXPIRE_MAKER",
            "pm": "NONE",
            "gtd": 0,
            "er": expired,
        },
    }


def algo_update(algo: AlgoOrder, at_ms: int) -> dict[str, Any]:
    """ALGO_UPDATE: a conditional order as it is now."""
    return {
        "e": "ALGO_UPDATE",
        "T": at_ms,
        "o": {
            "caid": algo.client_id,
            "aid": algo.algo_id,
            "at": "CONDITIONAL",
            "o": algo.type,
            "s": algo.symbol,
            "S": algo.side,
            "ps": "BOTH",
            "f": algo.time_in_force,
            "q": plain(algo.quantity),
            "X": algo.status,
            "ai": str(algo.actual_order_id) if algo.actual_order_id else "",
            "ap": number(algo.actual_price),
            "aq": plain(algo.actual_quantity),
            "act": "MARKET" if algo.type.endswith("_MARKET") else "LIMIT",
            "tp": plain(algo.trigger_price),
            "p": plain(algo.price),
            "V": "EXPIRE_MAKER",
            "wt": algo.working_type,
            "pm": "NONE",
            "cp": algo.close_position,
            "pP": algo.price_protect,
            "R": algo.reduce_only,
            "tt": algo.trigger_ms,
            "gtd": 0,
            "rm": algo.reason,
        },
    }


def account_update(
    reason: str,
    wallet: Decimal,
    cross: Decimal,
    at_ms: int,
    position: Position | None = None,
    change: Decimal = ZERO,
    profit: Decimal = ZERO,
) -> dict[str, Any]:
    """ACCOUNT_UPDATE: wallet and one position. `change` is what was neither profit nor commission."""
    positions = []
    if position is not None:
        positions = [
            {
                "s": position.symbol,
                "pa": plain(position.quantity),
                "ep": number(position.entry_price),
                "bep": number(position.entry_price),
                "cr": "0",
                "up": number(profit),
                "mt": "isolated" if position.is_isolated else "cross",
                "iw": number(position.isolated_wallet),
                "ps": "BOTH",
            }
        ]
    balance = {"a": "USDT", "wb": number(wallet), "cw": number(cross), "bc": number(change)}
    return {
        "e": "ACCOUNT_UPDATE",
        "T": at_ms,
        "a": {"m": reason, "B": [balance], "P": positions},
    }


def leverage_update(symbol: str, leverage: int, at_ms: int) -> dict[str, Any]:
    """ACCOUNT_CONFIG_UPDATE: the leverage of a contract."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "T": at_ms, "ac": {"s": symbol, "l": leverage}}


def tell_order(
    feed: UserFeed,
    order: FuturesOrder,
    kind: str,
    at_ms: int,
    fill: FuturesFill | None = None,
    expired: str = NO_REASON,
) -> None:
    """Tell what happened to an order, with the order as it is now."""
    if feed.listens(MARKET, order.account_id):
        feed.tell(MARKET, order.account_id, order_update(order, kind, at_ms, fill, expired))
