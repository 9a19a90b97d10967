"""Spot's user events of orders and lists, with the fields of user-data-stream.md."""

from __future__ import annotations

from typing import Any

from trading.paper.orders import ZERO, Fill, Order, OrderList, number
from trading.paper.user_feed import UserFeed

REASON_OF_LIST = "NONE"


def execution_report(
    order: Order, kind: str, at_ms: int, fill: Fill | None = None, cancel_id: str = ""
) -> dict[str, Any]:
    """executionReport: `kind` is NEW, TRADE, CANCELED or EXPIRED, `cancel_id` the id of the cancel."""
    event: dict[str, Any] = {
        "e": "executionReport",
        "s": order.symbol,
        "c": cancel_id or order.client_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": number(order.quantity),
        "p": number(order.price),
        "P": number(order.stop_price),
        "F": number(order.iceberg_quantity),
        "g": order.list_id,
        "C": order.client_id if cancel_id else "",
        "x": kind,
        "X": order.status,
        "r": "NONE",
        "i": order.order_id,
        "l": number(fill.quantity if fill else ZERO),
        "z": number(order.executed),
        "L": number(fill.price if fill else ZERO),
        "n": number(fill.commission) if fill else "0",
        "N": fill.commission_asset if fill else None,
        "T": at_ms,
        "t": fill.trade_id if fill else -1,
        "I": (fill.trade_id if fill else order.order_id) * 2,
        "w": order.is_open and order.working_ms >= 0,
        "m": bool(fill and fill.is_maker),
        "M": False,
        "O": order.time_ms,
        "Z": number(order.quote_executed),
        "Y": number(fill.quote_quantity if fill else ZERO),
        "Q": number(order.quote_quantity),
        "V": "EXPIRE_MAKER",
    }
    if order.working_ms >= 0:
        event["W"] = order.working_ms
    if order.expiry_reason:
        event["eR"] = order.expiry_reason
    return event


def tell_order(
    feed: UserFeed, order: Order, kind: str, at_ms: int, fill: Fill | None = None, cancel_id: str = ""
) -> None:
    """Tell what happened to an order, with the order as it is now."""
    if feed.listens("spot", order.account_id):
        report = execution_report(order, kind, at_ms, fill, cancel_id)
        feed.tell("spot", order.account_id, report)


def tell_list(feed: UserFeed, one: OrderList, orders: list[Order], at_ms: int) -> None:
    """listStatus: a list was taken, or everything of it is done."""
    if not feed.listens("spot", one.account_id):
        return
    event = {
        "e": "listStatus",
        "s": one.symbol,
        "g": one.list_id,
        "c": one.contingency,
        "l": "EXEC_STARTED" if one.status == "EXECUTING" else "ALL_DONE",
        "L": one.status,
        "r": REASON_OF_LIST,
        "C": one.client_id,
        "T": at_ms,
        "O": [{"s": one.symbol, "i": order.order_id, "c": order.client_id} for order in orders],
    }
    feed.tell("spot", one.account_id, event)
