"""The symbol's filters, checked as the exchange checks them (binance-spot-api-docs, filters.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trading.paper.errors import ApiError, filter_failure
from trading.paper.orders import LIMIT_TYPES, STOP_TYPES, ZERO, Order
from trading.paper.symbols import SymbolSpec

Filter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as asked for: parameters read and well-formed, nothing else checked."""

    spec: SymbolSpec
    side: str
    type: str
    time_in_force: str
    client_id: str
    quantity: Decimal = ZERO
    quote_quantity: Decimal = ZERO
    price: Decimal = ZERO
    stop_price: Decimal = ZERO
    iceberg_quantity: Decimal = ZERO


def within(value: Decimal, row: Filter, low: str, high: str, step: str) -> bool:
    """min <= value <= max and value % step == 0; a zero switches its part off."""
    smallest, largest, size = (Decimal(row[name]) for name in (low, high, step))
    if smallest and value < smallest:
        return False
    if largest and value > largest:
        return False
    return not size or value % size == 0


def check_order(order: NewOrder, average: Decimal, last: Decimal) -> None:
    """Raise ApiError -1013 "Filter failure: X" for the first filter that refuses the order.

    `average` is the average price over the filters' minutes, `last` the last price, both in quote units.
    """
    filters = order.spec.filters
    checks: dict[str, Callable[[Filter], bool]] = {
        "PRICE_FILTER": lambda row: _price(order, row),
        "PERCENT_PRICE": lambda row: _percent_both(order, row, average, last),
        "PERCENT_PRICE_BY_SIDE": lambda row: _percent(order, row, average, last),
        "LOT_SIZE": lambda row: _lot(order, row),
        "MARKET_LOT_SIZE": lambda row: _market_lot(order, row),
        "MIN_NOTIONAL": lambda row: _min_notional(order, row, average, last),
        "NOTIONAL": lambda row: _notional(order, row, average, last),
        "ICEBERG_PARTS": lambda row: _iceberg(order, row),
    }
    for name, check in checks.items():
        if name in filters and not check(filters[name]):
            raise filter_failure(name)


def check_counts(spec: SymbolSpec, open_orders: list[Order], adds: list[str]) -> None:
    """Raise -1013 if orders of the types in `adds` would be too many beside the account's open ones."""
    limits = {name: spec.filters.get(name, {}) for name in ("MAX_NUM_ORDERS", "MAX_NUM_ALGO_ORDERS")}
    most = limits["MAX_NUM_ORDERS"].get("maxNumOrders")
    if most is not None and len(open_orders) + len(adds) > most:
        raise filter_failure("MAX_NUM_ORDERS")
    most = limits["MAX_NUM_ALGO_ORDERS"].get("maxNumAlgoOrders")
    algo = sum(type_ in STOP_TYPES for type_ in [*(order.type for order in open_orders), *adds])
    if most is not None and algo > most and any(type_ in STOP_TYPES for type_ in adds):
        raise filter_failure("MAX_NUM_ALGO_ORDERS")


def check_prices(order: NewOrder) -> None:
    """PRICE_FILTER alone, for an order whose quantity is not known yet."""
    row = order.spec.filters.get("PRICE_FILTER")
    if row is not None and not _price(order, row):
        raise filter_failure("PRICE_FILTER")


def check_lists(spec: SymbolSpec, lists: int) -> None:
    """Raise -1013 if so many open order lists of the account are too many."""
    most = spec.filters.get("MAX_NUM_ORDER_LISTS", {}).get("maxNumOrderLists")
    if most is not None and lists > most:
        raise filter_failure("MAX_NUM_ORDER_LISTS")


def check_position(new: NewOrder, held: Decimal, buying: Decimal) -> None:
    """MAX_POSITION: what the account has of the base asset, and is buying, with this order."""
    row = new.spec.filters.get("MAX_POSITION")
    if row is None or new.side != "BUY":
        return
    if held + buying + new.quantity > Decimal(row["maxPosition"]):
        raise filter_failure("MAX_POSITION")


def _price(order: NewOrder, row: Filter) -> bool:
    prices = [price for price in (order.price, order.stop_price) if price]
    return all(within(price, row, "minPrice", "maxPrice", "tickSize") for price in prices)


def _percent(order: NewOrder, row: Filter, average: Decimal, last: Decimal) -> bool:
    if order.type not in LIMIT_TYPES:
        return True
    reference = average if row["avgPriceMins"] else last
    side = "bid" if order.side == "BUY" else "ask"
    low = reference * Decimal(row[f"{side}MultiplierDown"])
    high = reference * Decimal(row[f"{side}MultiplierUp"])
    return low <= order.price <= high


def _percent_both(order: NewOrder, row: Filter, average: Decimal, last: Decimal) -> bool:
    if order.type not in LIMIT_TYPES:
        return True
    reference = average if row.get("avgPriceMins") else last
    low, high = reference * Decimal(row["multiplierDown"]), reference * Decimal(row["multiplierUp"])
    return low <= order.price <= high


def _min_notional(order: NewOrder, row: Filter, average: Decimal, last: Decimal) -> bool:
    is_market = order.type not in LIMIT_TYPES
    if is_market and not row.get("applyToMarket", True):
        return True
    reference = average if row.get("avgPriceMins") else last
    worth = order.quote_quantity or order.quantity * (reference if is_market else order.price)
    return worth >= Decimal(row["minNotional"])


def _lot(order: NewOrder, row: Filter) -> bool:
    quantities = [one for one in (order.quantity, order.iceberg_quantity) if one]
    return all(within(one, row, "minQty", "maxQty", "stepSize") for one in quantities)


def _market_lot(order: NewOrder, row: Filter) -> bool:
    if order.type != "MARKET" or not order.quantity:
        return True
    return within(order.quantity, row, "minQty", "maxQty", "stepSize")


def _notional(order: NewOrder, row: Filter, average: Decimal, last: Decimal) -> bool:
    is_market = order.type not in LIMIT_TYPES
    reference = average if row["avgPriceMins"] else last
    worth = order.quote_quantity or order.quantity * (reference if is_market else order.price)
    if (not is_market or row["applyMinToMarket"]) and worth < Decimal(row["minNotional"]):
        return False
    applies_max = not is_market or row["applyMaxToMarket"]
    return not applies_max or worth <= Decimal(row["maxNotional"])


def _iceberg(order: NewOrder, row: Filter) -> bool:
    if not order.iceberg_quantity:
        return True
    return bool(-(-order.quantity // order.iceberg_quantity) <= row["limit"])


def check_precision(name: str, value: Decimal, decimals: int = 8) -> None:
    """Raise -1111 if the value was written with more decimals than the asset has."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > decimals:
        raise ApiError(-1111, f"Parameter '{name}' has too much precision.")
