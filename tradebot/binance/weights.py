"""What each request costs in weight, per market. The one place for it.

Sources: binance-spot-api-docs rest-api.md (2026-07-21), USDS-M futures REST pages (2026-05-28).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Weight = int | Callable[[Mapping[str, Any]], int]
UNKNOWN_WEIGHT = 20  # a path that is not listed: rather too much than too little


def _with(name: str, given: int, missing: int) -> Callable[[Mapping[str, Any]], int]:
    return lambda params: given if params.get(name) is not None else missing


def _futures_klines(params: Mapping[str, Any]) -> int:
    limit = int(params.get("limit") or 500)
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


WEIGHTS: Mapping[tuple[str, str], Weight] = {
    ("GET", "/api/v3/ping"): 1,
    ("GET", "/api/v3/time"): 1,
    ("GET", "/api/v3/exchangeInfo"): 20,
    ("GET", "/api/v3/klines"): 2,
    ("GET", "/api/v3/ticker/price"): _with("symbol", 2, 4),
    ("GET", "/api/v3/account"): 20,
    ("GET", "/api/v3/order"): 4,
    ("POST", "/api/v3/order"): 1,  # 0 when it succeeds; the header corrects it
    ("DELETE", "/api/v3/order"): 1,
    ("POST", "/api/v3/orderList/oco"): 1,
    ("POST", "/api/v3/orderList/opoco"): 1,
    ("GET", "/api/v3/orderList"): 4,
    ("DELETE", "/api/v3/orderList"): 1,
    ("GET", "/api/v3/openOrders"): _with("symbol", 6, 80),
    ("GET", "/api/v3/allOrders"): 20,
    ("GET", "/api/v3/myTrades"): _with("orderId", 5, 20),
    ("GET", "/fapi/v1/time"): 1,
    ("GET", "/fapi/v1/exchangeInfo"): 1,
    ("GET", "/fapi/v1/klines"): _futures_klines,
    ("GET", "/fapi/v2/ticker/price"): _with("symbol", 1, 2),
    ("GET", "/fapi/v3/account"): 5,
    ("GET", "/fapi/v1/order"): 1,
    ("POST", "/fapi/v1/order"): 1,  # the IP is charged 0; one is kept so that a refusal is counted
    ("DELETE", "/fapi/v1/order"): 1,
    ("POST", "/fapi/v1/algoOrder"): 1,
    ("GET", "/fapi/v1/algoOrder"): 1,
    ("DELETE", "/fapi/v1/algoOrder"): 1,
    ("GET", "/fapi/v1/openAlgoOrders"): _with("symbol", 1, 40),
    ("GET", "/fapi/v1/openOrders"): _with("symbol", 1, 40),
    ("GET", "/fapi/v1/allOrders"): 5,
    ("GET", "/fapi/v1/userTrades"): 5,
    ("GET", "/fapi/v3/positionRisk"): 5,
    ("GET", "/fapi/v1/symbolConfig"): 5,
    ("GET", "/fapi/v1/positionSide/dual"): 30,
    ("POST", "/fapi/v1/positionSide/dual"): 1,
    ("POST", "/fapi/v1/leverage"): 1,
    ("POST", "/fapi/v1/marginType"): 1,
    ("GET", "/fapi/v1/leverageBracket"): 1,
    ("GET", "/fapi/v1/income"): 30,
}
# The used-weight header of these is not accurate (futures docs, "Symbol Price Ticker v2").
HEADER_NOT_ACCURATE = frozenset({"/fapi/v2/ticker/price"})
# Orders that one request adds to the account's count of unfilled orders.
ORDERS_OF_PATH: Mapping[str, int] = {
    "/api/v3/orderList/oco": 2,
    "/api/v3/orderList/oto": 2,
    "/api/v3/orderList/opo": 2,
    "/api/v3/orderList/otoco": 3,
    "/api/v3/orderList/opoco": 3,
}


def weight_of(method: str, path: str, params: Mapping[str, Any]) -> int:
    """Request weight of one request, before it is sent."""
    weight = WEIGHTS.get((method.upper(), path), UNKNOWN_WEIGHT)
    return weight(params) if callable(weight) else weight


def orders_of(path: str) -> int:
    """How many orders a POST to `path` places."""
    return ORDERS_OF_PATH.get(path, 1)
