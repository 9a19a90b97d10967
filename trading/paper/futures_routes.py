"""Signed futures endpoints that trade: orders, conditional orders, trades."""

from __future__ import annotations

import json
from typing import Any, TypeVar
from urllib.parse import urlencode

from trading.paper.errors import ApiError, one_of_missing
from trading.paper.fault_model import Target
from trading.paper.futures_errors import refused
from trading.paper.futures_ordering import read_algo, read_order, response_type
from trading.paper.futures_orders import (
    AlgoOrder,
    FuturesFill,
    FuturesOrder,
    algo_json,
    fill_json,
    new_algo_json,
    new_order_json,
    order_json,
)
from trading.paper.futures_routes_market import contract_of
from trading.paper.params import Params
from trading.paper.routing import Call, Route

Row = TypeVar("Row", FuturesOrder, FuturesFill, AlgoOrder)
WEEK_MS = 7 * 86_400_000
MOST_IN_BATCH = 5
ALL_CANCELLED = {"code": 200, "msg": "The operation of cancel all open order is done."}


def _is_dual(call: Call) -> bool:
    return call.exchange.futures.books.wallets[call.account.id].is_dual


def new_order(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/order."""
    new = read_order(call.params, contract_of(call), is_dual=_is_dual(call))
    kind = response_type(call.params)
    futures = call.exchange.futures
    futures.counts.check(call.account.id, 1, call.now_ms)
    order, _ = futures.place(call.account, new, call.now_ms)
    return new_order_json(order, kind)


def test_order(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/order/test: everything is checked, and nothing is placed."""
    new = read_order(call.params, contract_of(call), is_dual=_is_dual(call))
    kind = response_type(call.params)
    futures = call.exchange.futures
    quantity, _ = futures.check(call.account, new, call.now_ms)
    order = FuturesOrder(
        0,
        new.contract.symbol,
        call.account.id,
        new.client_id,
        new.side,
        new.type,
        new.time_in_force,
        quantity,
        new.price,
        new.reduce_only,
        call.now_ms,
        call.now_ms,
        new.type,
    )
    return new_order_json(order, kind)


def batch_orders(call: Call) -> list[dict[str, Any]]:
    """POST /fapi/v1/batchOrders: up to five; each answer is an order or an error."""
    try:
        wanted = json.loads(call.params.needed("batchOrders"))
    except ValueError:
        wanted = None
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise ApiError(-1130, "Data sent for parameter 'batchOrders' is not valid.")
    if not 1 <= len(wanted) <= MOST_IN_BATCH:
        raise refused(-4082)
    answers: list[dict[str, Any]] = []
    for one in wanted:
        text = urlencode({name: str(value) for name, value in one.items()})
        try:
            answers.append(new_order(Call(call.exchange, Params(text, ""), call.now_ms, call.account)))
        except ApiError as error:
            answers.append({"code": error.code, "msg": error.message})
    return answers


def _find(call: Call, code: int) -> FuturesOrder:
    """The order of orderId or origClientOrderId; an error with this code if there is none."""
    symbol = contract_of(call).symbol
    order_id, client_id = call.params.integer("orderId"), call.params.text("origClientOrderId")
    if order_id is None and client_id is None:
        raise one_of_missing("origClientOrderId", "orderId")
    call.exchange.futures.advance(symbol, call.now_ms)
    order = call.exchange.futures.books.find_order(call.account, symbol, order_id, client_id)
    if order is None:
        raise refused(code)
    return order


def _is_stale(call: Call, symbol: str, time_ms: int, *, in_lists: bool = False) -> bool:
    """Whether a fault has queries not know something of that time yet."""
    target = Target(market="futures", symbol=symbol, apiKey=call.account.api_key)
    return call.exchange.faults.is_stale(target, call.now_ms - time_ms, in_lists=in_lists)


def _known(call: Call, rows: list[Row]) -> list[Row]:
    """Those of orders, fills or conditional orders that lists know already."""
    return [one for one in rows if not _is_stale(call, one.symbol, one.time_ms, in_lists=True)]


def get_order(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/order."""
    order = _find(call, -2013)
    if _is_stale(call, order.symbol, order.time_ms):
        raise refused(-2013)
    return order_json(order)


def cancel_order(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/order. The client id stays the order's own."""
    order = call.exchange.futures.cancel(_find(call, -2011), call.now_ms)
    return new_order_json(order, "RESULT")


def open_order(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/openOrder: only an open one."""
    order = _find(call, -2013)
    if not order.is_open:
        raise refused(-2013)
    return order_json(order)


def _symbol_or_all(call: Call) -> str | None:
    symbol = contract_of(call).symbol if "symbol" in call.params else None
    if symbol is None:
        call.exchange.futures.advance_all(call.now_ms)
    else:
        call.exchange.futures.advance(symbol, call.now_ms)
    return symbol


def open_orders(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/openOrders: conditional orders are not among them."""
    symbol = _symbol_or_all(call)
    found = call.exchange.futures.books.open_orders(call.account.id, symbol)
    return [order_json(one) for one in _known(call, found)]


def cancel_open_orders(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/allOpenOrders of one contract."""
    symbol, futures = contract_of(call).symbol, call.exchange.futures
    futures.advance(symbol, call.now_ms)
    for order in futures.books.open_orders(call.account.id, symbol):
        futures.cancel(order, call.now_ms)
    return dict(ALL_CANCELLED)


def _window(params: Params) -> list[tuple[str, int | None]]:
    """startTime and endTime as conditions; at most 7 days apart (-4165)."""
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is not None and end is not None and end < start:
        raise ApiError(-1023, "Start time is greater than end time.")
    if start is not None and end is not None and end - start > WEEK_MS:
        raise ApiError(-4165, "Maximum time interval is 7 days.")
    return [("time_ms >= ?", start), ("time_ms <= ?", end)]


def _rows(
    call: Call, column: str, conditions: list[tuple[str, int | None]], limit: int
) -> tuple[str, Any, bool]:
    """A condition on one contract's rows; from a start the oldest, otherwise the latest."""
    symbol = contract_of(call).symbol
    call.exchange.futures.advance(symbol, call.now_ms)
    where, values = "account_id = ? AND symbol = ?", [call.account.id, symbol]
    forward = False
    for condition, value in conditions:
        if value is not None:
            where += f" AND {condition}"
            values.append(value)
            forward = forward or ">=" in condition
    where += f" ORDER BY {column} {'ASC' if forward else 'DESC'} LIMIT ?"
    return where, (*values, limit), forward


def all_orders(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/allOrders: from orderId or startTime the oldest, otherwise the latest."""
    params = call.params
    conditions = [("order_id >= ?", params.integer("orderId")), *_window(params)]
    where, values, forward = _rows(call, "order_id", conditions, params.limit(500, 1000))
    found = _known(call, call.exchange.futures.books.orders(where, values))
    return [order_json(one) for one in (found if forward else reversed(found))]


def user_trades(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/userTrades with the combinations of parameters that the exchange takes."""
    params = call.params
    order_id, from_id, window = params.integer("orderId"), params.integer("fromId"), _window(params)
    if from_id is not None and any(value is not None for _, value in window):
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    conditions = [("order_id = ?", order_id), ("trade_id >= ?", from_id), *window]
    where, values, forward = _rows(call, "trade_id", conditions, params.limit(500, 1000))
    found = _known(call, call.exchange.futures.books.fills(where, values))
    return [fill_json(one) for one in (found if forward else reversed(found))]


# -- conditional orders


def new_algo(call: Call) -> dict[str, Any]:
    """POST /fapi/v1/algoOrder."""
    new = read_algo(call.params, contract_of(call), is_dual=_is_dual(call))
    response_type(call.params)
    futures = call.exchange.futures
    futures.counts.check(call.account.id, 1, call.now_ms)
    return new_algo_json(futures.place_algo(call.account, new, call.now_ms))


def _find_algo(call: Call, code: int) -> AlgoOrder:
    algo_id, client_id = call.params.integer("algoId"), call.params.text("clientAlgoId")
    if algo_id is None and client_id is None:
        raise one_of_missing("algoId", "clientAlgoId")
    call.exchange.futures.advance_all(call.now_ms)
    algo = call.exchange.futures.books.find_algo(call.account, algo_id, client_id)
    if algo is None:
        raise refused(code)
    return algo


def get_algo(call: Call) -> dict[str, Any]:
    """GET /fapi/v1/algoOrder by algoId or clientAlgoId."""
    algo = _find_algo(call, -2013)
    if _is_stale(call, algo.symbol, algo.time_ms):
        raise refused(-2013)
    return algo_json(algo)


def cancel_algo(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/algoOrder: only before it triggers."""
    algo = call.exchange.futures.cancel_algo(_find_algo(call, -2011), call.now_ms)
    return {"algoId": algo.algo_id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}


def open_algos(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/openAlgoOrders: NEW, TRIGGERING and TRIGGERED ones."""
    symbol = _symbol_or_all(call)
    found = call.exchange.futures.books.live_algos(call.account.id, symbol)
    return [algo_json(one) for one in _known(call, found)]


def all_algos(call: Call) -> list[dict[str, Any]]:
    """GET /fapi/v1/allAlgoOrders: from algoId or startTime the oldest, otherwise the latest."""
    params = call.params
    conditions = [("algo_id >= ?", params.integer("algoId")), *_window(params)]
    where, values, forward = _rows(call, "algo_id", conditions, params.limit(500, 1000))
    found = _known(call, call.exchange.futures.books.algos(where, values))
    return [algo_json(one) for one in (found if forward else reversed(found))]


def cancel_open_algos(call: Call) -> dict[str, Any]:
    """DELETE /fapi/v1/algoOpenOrders of one contract."""
    symbol, futures = contract_of(call).symbol, call.exchange.futures
    futures.advance(symbol, call.now_ms)
    for algo in futures.books.live_algos(call.account.id, symbol):
        if algo.status == "NEW":
            futures.cancel_algo(algo, call.now_ms)
    return dict(ALL_CANCELLED)


def _open_weight(params: Params) -> int:
    return 1 if "symbol" in params else 40


def _route(method: str, path: str, handler: Any, weight: Any, *, counted: bool = False) -> Route:
    return Route(method, f"/fapi/v1/{path}", handler, weight, "futures", signed=True, counted=counted)


ROUTES = (
    _route("POST", "order", new_order, 0, counted=True),
    _route("GET", "order", get_order, 1),
    _route("DELETE", "order", cancel_order, 1),
    _route("POST", "order/test", test_order, 0),
    _route("POST", "batchOrders", batch_orders, 5, counted=True),
    _route("GET", "openOrder", open_order, 1),
    _route("GET", "openOrders", open_orders, _open_weight),
    _route("DELETE", "allOpenOrders", cancel_open_orders, 1),
    _route("GET", "allOrders", all_orders, 5),
    _route("GET", "userTrades", user_trades, 5),
    _route("POST", "algoOrder", new_algo, 0, counted=True),
    _route("GET", "algoOrder", get_algo, 1),
    _route("DELETE", "algoOrder", cancel_algo, 1),
    _route("GET", "openAlgoOrders", open_algos, _open_weight),
    _route("GET", "allAlgoOrders", all_algos, 5),
    _route("DELETE", "algoOpenOrders", cancel_open_algos, 1),
)
