"""When an order that rests triggers or fills, and what is said of one that found too little."""

from __future__ import annotations

from trading.paper.fault_model import Target
from trading.paper.orders import LIMIT_TYPES, Order

NEVER_DOWN, NEVER_UP = float("-inf"), float("inf")


def waits_for_fall(order: Order) -> bool:
    """Whether a falling price triggers or fills this open order."""
    if order.waits_for_stop:
        return (order.side == "SELL") == order.type.startswith("STOP_LOSS")
    return order.side == "BUY"


def threshold(order: Order) -> float:
    """The price at which this open order triggers or fills."""
    return float(order.stop_price if order.waits_for_stop else order.price)


def reached(order: Order, price: float) -> bool:
    """Whether `price` triggers or fills this open order."""
    return price <= threshold(order) if waits_for_fall(order) else price >= threshold(order)


def thresholds(live: list[Order]) -> tuple[float, float]:
    """The highest price that something waits to fall to, and the lowest that something waits to rise to."""
    down = [threshold(order) for order in live if waits_for_fall(order)]
    up = [threshold(order) for order in live if not waits_for_fall(order)]
    return max(down, default=NEVER_DOWN), min(up, default=NEVER_UP)


def why_expired(order: Order) -> str:
    """expiryReason of what found too little to take (user-data-stream.md, "Order Expiry Reason")."""
    if order.type in LIMIT_TYPES:
        is_all_or_nothing = order.time_in_force == "FOK"
        return "UNFILLED_FOK_ORDER_EXPIRED" if is_all_or_nothing else "UNFILLED_IOC_QUANTITY_EXPIRED"
    return "INSUFFICIENT_LIQUIDITY"


def target_of(order: Order, api_key: str) -> Target:
    """An order in the words that faults select by."""
    return Target(market="spot", symbol=order.symbol, side=order.side, type=order.type, apiKey=api_key)
