"""Signed endpoints of spot's order lists: OCO, OTOCO and OPOCO (rest-api.md, "Order lists")."""

from __future__ import annotations

from typing import Any

from trading.paper.errors import ApiError, cancel_rejected, missing, one_of_missing, rejected
from trading.paper.ids import made_up_id
from trading.paper.ordering import PENDING_NAMES, read_leg, read_side, read_stp, read_working
from trading.paper.orders import Order, OrderList, cancel_report, list_summary
from trading.paper.params import Params
from trading.paper.routes_market import spec_of
from trading.paper.routes_trade import answer_of, is_stale, response_type
from trading.paper.routing import Call, Route

OPO_ONLY = ("BUY", "SELL")  # working and pending side of an OPO (opo.md)


def new_oco(call: Call) -> dict[str, Any]:
    """POST /api/v3/orderList/oco."""
    spec, params = spec_of(call), call.params
    side = read_side(params)
    params.needed("quantity")
    list_id = params.client_id("listClientOrderId") or made_up_id()
    above, below = (read_leg(params, spec, side, leg) for leg in ("above", "below"))
    read_stp(params)
    kind = response_type(params, "RESULT")
    params.finish()
    if above.type.startswith("STOP_LOSS") == below.type.startswith("STOP_LOSS"):
        raise ApiError(-1158, "Order type not supported in OCO.")
    call.exchange.counts.check(call.account.id, 2, call.now_ms)
    one, legs = call.exchange.engine.lists.place_oco(call.account, above, below, list_id, call.now_ms)
    reports = [answer_of(kind, leg, []) for leg in legs]
    return {**list_summary(one, legs), "orderReports": reports}


def _is_stop_loss(type_: str) -> bool:
    return type_.startswith("STOP_LOSS")


def new_otoco(call: Call) -> dict[str, Any]:
    """POST /api/v3/orderList/otoco."""
    return _contingent(call, "OTOCO")


def new_opoco(call: Call) -> dict[str, Any]:
    """POST /api/v3/orderList/opoco: the pair's quantity is what the working order received."""
    return _contingent(call, "OPOCO")


def _contingent(call: Call, kind: str) -> dict[str, Any]:
    spec, params = spec_of(call), call.params
    if not spec.oto_allowed or (kind == "OPOCO" and not spec.opo_allowed):
        raise rejected(f"{kind[:3]} orders are not supported for this symbol.")
    list_id = params.client_id("listClientOrderId") or made_up_id()
    working = read_working(params, spec)
    side = read_side(params, "pendingSide")
    if kind == "OPOCO" and (working.side, side) != OPO_ONLY:
        raise ApiError(-1013, "Only BUY working orders and SELL pending orders are supported.")
    if kind == "OTOCO":
        params.needed("pendingQuantity")
    if params.peek("pendingBelowType") is None:
        raise missing("pendingBelowType")
    names = PENDING_NAMES[kind]
    above, below = (read_leg(params, spec, side, leg, **names) for leg in ("pendingAbove", "pendingBelow"))
    read_stp(params)
    answer = response_type(params, "RESULT")
    params.finish()
    if _is_stop_loss(above.type) == _is_stop_loss(below.type):
        raise ApiError(-1158, "Order type not supported in OCO.")
    call.exchange.counts.check(call.account.id, 3, call.now_ms)
    lists = call.exchange.engine.lists
    one, orders, fills = lists.place_contingent(
        call.account, kind, working, (above, below), list_id, call.now_ms
    )
    reports = [answer_of(answer, order, fills if order is orders[0] else []) for order in orders]
    return {**list_summary(one, orders), "orderReports": reports}


def _find_list(call: Call, id_name: str, client_name: str) -> tuple[Any, list[Order]]:
    list_id, client_id = call.params.integer(id_name), call.params.text(client_name)
    if list_id is None and client_id is None:
        raise one_of_missing(client_name, id_name)
    books = call.exchange.books
    one = books.order_list(call.account, list_id, client_id)
    if one is None or (client_id is not None and one.client_id != client_id):
        return None, []
    orders = [books.order_by_id(call.account, one.symbol, order_id) for order_id in one.order_ids]
    return one, [order for order in orders if order is not None]


def get_order_list(call: Call) -> dict[str, Any]:
    """GET /api/v3/orderList by orderListId or origClientOrderId."""
    one, orders = _find_list(call, "orderListId", "origClientOrderId")
    call.params.finish()
    if one is None or any(is_stale(call, order) for order in orders):
        raise ApiError(-2018, "Order list does not exist.")
    call.exchange.engine.advance(one.symbol, call.now_ms)
    return list_summary(one, orders)


def cancel_order_list(call: Call) -> dict[str, Any]:
    """DELETE /api/v3/orderList by orderListId or listClientOrderId."""
    symbol = spec_of(call).symbol
    one, orders = _find_list(call, "orderListId", "listClientOrderId")
    cancel_id = call.params.client_id("newClientOrderId") or made_up_id()
    call.params.finish()
    if one is None or one.symbol != symbol:
        raise cancel_rejected()
    call.exchange.engine.advance(symbol, call.now_ms)
    live = [order for order in orders if order.is_open]
    if not live:
        raise cancel_rejected()
    # the engine meets what is on the book before what waits for it
    first = next((order for order in live if not (order.is_pending or order.waits_for_stop)), live[0])
    call.exchange.engine.cancel(call.account, first, call.now_ms, "", cancel_id)
    reports = [cancel_report(order, cancel_id) for order in orders]
    return {**list_summary(one, orders), "orderReports": reports}


def _orders_of(call: Call, one: OrderList) -> list[Order]:
    books = call.exchange.books
    found = (books.order_by_id(call.account, one.symbol, order_id) for order_id in one.order_ids)
    return [order for order in found if order is not None]


def open_order_lists(call: Call) -> list[dict[str, Any]]:
    """GET /api/v3/openOrderList."""
    call.params.finish()
    call.exchange.engine.advance_all(call.now_ms)
    mine = [one for one in call.exchange.books.lists.values() if one.account_id == call.account.id]
    return [list_summary(one, _orders_of(call, one)) for one in mine]


def all_order_lists(call: Call) -> list[dict[str, Any]]:
    """GET /api/v3/allOrderList: from fromId or startTime the oldest, otherwise the latest."""
    params: Params = call.params
    first, start, end = (params.integer(name) for name in ("fromId", "startTime", "endTime"))
    limit = params.limit(500, 1000)
    params.finish()
    call.exchange.engine.advance_all(call.now_ms)
    chosen = [
        one
        for one in call.exchange.books.lists_of(call.account)
        if (first is None or one.list_id >= first)
        and (start is None or one.time_ms >= start)
        and (end is None or one.time_ms <= end)
    ]
    forward = first is not None or start is not None
    chosen = chosen[:limit] if forward else chosen[-limit:]
    return [list_summary(one, _orders_of(call, one)) for one in chosen]


ROUTES = (
    Route("POST", "/api/v3/orderList/oco", new_oco, 1, signed=True, engine=True),
    Route("POST", "/api/v3/orderList/otoco", new_otoco, 1, signed=True, engine=True),
    Route("POST", "/api/v3/orderList/opoco", new_opoco, 1, signed=True, engine=True),
    Route("GET", "/api/v3/orderList", get_order_list, 4, signed=True),
    Route("DELETE", "/api/v3/orderList", cancel_order_list, 1, signed=True, engine=True),
    Route("GET", "/api/v3/openOrderList", open_order_lists, 6, signed=True),
    Route("GET", "/api/v3/allOrderList", all_order_lists, 20, signed=True),
)
