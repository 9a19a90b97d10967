"""Signed endpoints: orders, order lists, account and trades of spot."""

from __future__ import annotations

from typing import Any

from trading.paper.errors import (
    ApiError,
    cancel_rejected,
    no_such_order,
    one_of_missing,
)
from trading.paper.fault_model import Target
from trading.paper.ids import made_up_id
from trading.paper.ordering import RESPONSES, read_order
from trading.paper.orders import (
    ZERO,
    Fill,
    Order,
    cancel_report,
    list_summary,
    number,
    order_ack,
    order_full,
    order_query,
    order_result,
    trade,
)
from trading.paper.params import Params
from trading.paper.routes_market import spec_of
from trading.paper.routing import Call, Route

DAY_MS = 86_400_000
CANCEL_RESTRICTIONS = ("ONLY_NEW", "ONLY_PARTIALLY_FILLED")
BAD_COMBINATION = "Combination of optional parameters invalid."


def answer_of(kind: str, order: Order, fills: list[Fill]) -> dict[str, Any]:
    """The order as newOrderRespType has it."""
    if kind == "FULL":
        return order_full(order, fills)
    return order_result(order) if kind == "RESULT" else order_ack(order)


def response_type(params: Params, default: str) -> str:
    """newOrderRespType: ACK, RESULT or FULL."""
    error = ApiError(
        -1100, "Illegal characters found in parameter 'newOrderRespType'; legal range is 'ACK|RESULT|FULL'."
    )
    return params.choice("newOrderRespType", RESPONSES, error) or default


def new_order(call: Call) -> dict[str, Any]:
    """POST /api/v3/order."""
    spec = spec_of(call)
    new = read_order(call.params, spec)
    kind = response_type(call.params, "FULL" if new.type in ("MARKET", "LIMIT") else "ACK")
    call.params.finish()
    call.exchange.counts.check(call.account.id, 1, call.now_ms)
    order, fills = call.exchange.engine.place(call.account, new, call.now_ms)
    return answer_of(kind, order, fills)


def test_order(call: Call) -> dict[str, Any]:
    """POST /api/v3/order/test: everything is checked but money, and nothing is placed."""
    new = read_order(call.params, spec_of(call))
    response_type(call.params, "ACK")
    with_rates = call.params.boolean("computeCommissionRates", False)
    call.params.finish()
    call.exchange.engine.check(call.account, new, call.now_ms)
    if not with_rates:
        return {}
    rate = number(call.exchange.options.fee)
    return {"standardCommissionForOrder": {"maker": rate, "taker": rate}}


def _find(call: Call, error: ApiError) -> Order:
    """The order of orderId and/or origClientOrderId; `error` if there is none, -2039 if they disagree."""
    symbol = spec_of(call).symbol
    order_id, client_id = call.params.integer("orderId"), call.params.text("origClientOrderId")
    books = call.exchange.books
    if order_id is not None:
        order = books.order_by_id(call.account, symbol, order_id)
        if order is not None and client_id not in (None, order.client_id):
            raise ApiError(-2039, "Client order ID is not correct for this order ID.")
    elif client_id is not None:
        order = books.order_by_client_id(call.account, symbol, client_id)
    else:
        raise one_of_missing("origClientOrderId", "orderId")
    if order is None:
        raise error
    return order


def is_stale(call: Call, order: Order, *, in_lists: bool = False) -> bool:
    """Whether a fault has queries not know this order yet."""
    target = Target(market="spot", symbol=order.symbol, apiKey=call.account.api_key)
    return call.exchange.faults.is_stale(target, call.now_ms - order.time_ms, in_lists=in_lists)


def get_order(call: Call) -> dict[str, Any]:
    """GET /api/v3/order."""
    order = _find(call, no_such_order())
    call.params.finish()
    if is_stale(call, order):
        raise no_such_order()
    call.exchange.engine.advance(order.symbol, call.now_ms)
    return order_query(order)


def cancel_order(call: Call) -> dict[str, Any]:
    """DELETE /api/v3/order; the whole list goes with an order of one."""
    order = _find(call, cancel_rejected())
    error = ApiError(-1145, "Invalid cancelRestrictions")
    restriction = call.params.choice("cancelRestrictions", CANCEL_RESTRICTIONS, error)
    cancel_id = call.params.client_id("newClientOrderId") or made_up_id()
    call.params.finish()
    call.exchange.engine.cancel(call.account, order, call.now_ms, restriction or "", cancel_id)
    return cancel_report(order, cancel_id)


def cancel_open_orders(call: Call) -> list[dict[str, Any]]:
    """DELETE /api/v3/openOrders of one symbol; -2011 if there is none."""
    symbol = spec_of(call).symbol
    call.params.finish()
    exchange = call.exchange
    exchange.engine.advance(symbol, call.now_ms)
    orders = exchange.books.open_orders(call.account, symbol)
    if not orders:
        raise cancel_rejected()
    reports: list[dict[str, Any]] = []
    with exchange.books.transaction():
        for order in orders:
            if not order.is_open:
                continue
            one, cancel_id = exchange.books.lists.get(order.list_id), made_up_id()
            try:
                cancelled = exchange.engine.cancel(call.account, order, call.now_ms, "", cancel_id)
            except ApiError:  # filled just before
                continue
            rows = [cancel_report(each, cancel_id) for each in cancelled]
            reports += rows if one is None else [{**list_summary(one, cancelled), "orderReports": rows}]
    return reports


def open_orders(call: Call) -> list[dict[str, Any]]:
    """GET /api/v3/openOrders."""
    symbol = spec_of(call).symbol if "symbol" in call.params else None
    call.params.finish()
    if symbol is None:
        call.exchange.engine.advance_all(call.now_ms)
    else:
        call.exchange.engine.advance(symbol, call.now_ms)
    orders = call.exchange.books.open_orders(call.account, symbol)
    return [order_query(order) for order in orders if not is_stale(call, order, in_lists=True)]


def _window(params: Params) -> tuple[int | None, int | None]:
    """startTime and endTime, at most 24 hours apart (-1127)."""
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is not None and end is not None and end - start > DAY_MS:
        raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
    return start, end


def all_orders(call: Call) -> list[dict[str, Any]]:
    """GET /api/v3/allOrders: from orderId or startTime the oldest, otherwise the latest."""
    symbol, params = spec_of(call).symbol, call.params
    order_id = params.integer("orderId")
    start, end = _window(params)
    limit = params.limit(500, 1000)
    params.finish()
    call.exchange.engine.advance(symbol, call.now_ms)
    where, values = "account_id = ? AND symbol = ?", [call.account.id, symbol]
    for condition, value in (
        ("order_id >= ?", order_id),
        ("time_ms >= ?", start),
        ("time_ms <= ?", end),
    ):
        if value is not None:
            where += f" AND {condition}"
            values.append(value)
    forward = order_id is not None or start is not None
    where += f" ORDER BY order_id {'ASC' if forward else 'DESC'} LIMIT ?"
    orders = call.exchange.books.orders(where, (*values, limit))
    chosen = [order for order in orders if not is_stale(call, order, in_lists=True)]
    return [order_query(order) for order in (chosen if forward else reversed(chosen))]


def my_trades(call: Call) -> list[dict[str, Any]]:
    """GET /api/v3/myTrades with the combinations of parameters that the exchange takes."""
    symbol, params = spec_of(call).symbol, call.params
    order_id, from_id = params.integer("orderId"), params.integer("fromId")
    start, end = _window(params)
    limit = params.limit(500, 1000)
    params.finish()
    if (order_id is not None or from_id is not None) and (start is not None or end is not None):
        raise ApiError(-1128, BAD_COMBINATION)
    call.exchange.engine.advance(symbol, call.now_ms)
    where, values = "account_id = ? AND symbol = ?", [call.account.id, symbol]
    for condition, value in (
        ("order_id = ?", order_id),
        ("trade_id >= ?", from_id),
        ("time_ms >= ?", start),
        ("time_ms <= ?", end),
    ):
        if value is not None:
            where += f" AND {condition}"
            values.append(value)
    forward = from_id is not None or start is not None
    where += f" ORDER BY trade_id {'ASC' if forward else 'DESC'} LIMIT ?"
    fills = call.exchange.books.fills(where, (*values, limit))
    target = Target(market="spot", symbol=symbol, apiKey=call.account.api_key)
    stale = call.exchange.faults.is_stale
    chosen = [fill for fill in fills if not stale(target, call.now_ms - fill.time_ms, in_lists=True)]
    return [trade(fill) for fill in (chosen if forward else reversed(chosen))]


def account(call: Call) -> dict[str, Any]:
    """GET /api/v3/account: every listed asset, or those that are there (omitZeroBalances)."""
    omit = call.params.boolean("omitZeroBalances", False)
    call.params.finish()
    exchange, owner = call.exchange, call.account
    exchange.engine.advance_all(call.now_ms)
    held = {name: one for name, one in owner.balances.items() if one.free or one.locked}
    names = list(held) if omit else list(dict.fromkeys([*exchange.assets(), *held]))
    rate = exchange.options.fee
    rates = {"maker": number(rate), "taker": number(rate)}
    return {
        "makerCommission": int(rate * 10_000),
        "takerCommission": int(rate * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {**rates, "buyer": number(ZERO), "seller": number(ZERO)},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": call.now_ms,
        "accountType": "SPOT",
        "balances": [
            {
                "asset": name,
                "free": number(held[name].free if name in held else ZERO),
                "locked": number(held[name].locked if name in held else ZERO),
            }
            for name in names
        ],
        "permissions": ["SPOT"],
        "uid": owner.id,
    }


def rate_limit_order(call: Call) -> list[dict[str, Any]]:
    """GET /api/v3/rateLimit/order."""
    call.params.finish()
    counts = call.exchange.counts
    short, day = counts.counts(call.account.id, call.now_ms)
    kind = {"rateLimitType": "ORDERS"}
    return [
        {**kind, "interval": "SECOND", "intervalNum": 10, "limit": counts.per_ten_seconds, "count": short},
        {**kind, "interval": "DAY", "intervalNum": 1, "limit": counts.per_day, "count": day},
    ]


def _test_weight(params: Params) -> int:
    return 20 if (params.peek("computeCommissionRates") or "").lower() == "true" else 1


ROUTES = (
    Route("POST", "/api/v3/order", new_order, 1, signed=True, engine=True),
    Route("GET", "/api/v3/order", get_order, 4, signed=True),
    Route("DELETE", "/api/v3/order", cancel_order, 1, signed=True, engine=True),
    Route("POST", "/api/v3/order/test", test_order, _test_weight, signed=True),
    Route("GET", "/api/v3/openOrders", open_orders, lambda p: 6 if "symbol" in p else 80, signed=True),
    Route("DELETE", "/api/v3/openOrders", cancel_open_orders, 1, signed=True, engine=True),
    Route("GET", "/api/v3/allOrders", all_orders, 20, signed=True),
    Route("GET", "/api/v3/myTrades", my_trades, lambda p: 5 if "orderId" in p else 20, signed=True),
    Route("GET", "/api/v3/account", account, 20, signed=True),
    Route("GET", "/api/v3/rateLimit/order", rate_limit_order, 40, signed=True),
)
