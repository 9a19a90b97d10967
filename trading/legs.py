"""What the exchange says of a request's orders, whatever the request was: an order, a list, a conditional."""

from __future__ import annotations

from typing import Any

from tradebot.binance.client import ExchangeClient
from tradebot.errors import OrderNotFound
from trading.models import OrderRequest


def ask(request: OrderRequest, client: ExchangeClient) -> dict[str, Any]:
    """The exchange's word, in the shape that the request's POST answers, with every leg as it is now.

    A list has its orders under "orderReports"; a conditional order has the order that it became, if any,
    under "actualOrder". Raises OrderNotFound when the exchange knows nothing of the request (which may be a
    lag), and the client's errors.
    """
    if request.kind == "order_list":
        return _list(request, client)
    if request.kind == "algo":
        return _conditional(request, client)
    return client.order(request.symbol, request.client_id)


def cancel(request: OrderRequest, client: ExchangeClient) -> None:
    """Withdraw what is open of the request. OrderNotFound: nothing is, which says nothing of what traded."""
    if request.kind == "order_list":
        client.cancel_order_list(request.symbol, request.client_id)
    elif request.kind == "algo":
        client.cancel_algo_order(request.client_id)
    else:
        client.cancel_order(request.symbol, request.client_id)


def _list(request: OrderRequest, client: ExchangeClient) -> dict[str, Any]:
    body = client.order_list(request.client_id)
    names = [leg["clientOrderId"] for leg in body["orders"]]
    return {**body, "orderReports": [client.order(request.symbol, name) for name in names]}


def _conditional(request: OrderRequest, client: ExchangeClient) -> dict[str, Any]:
    """GET algoOrder shows the actual order's number only (USDS-M "Query Algo Order")."""
    body = client.algo_order(request.client_id)
    number = body.get("actualOrderId")
    if not number:
        return body
    try:
        return {**body, "actualOrder": client.order_by_id(request.symbol, int(number))}
    except OrderNotFound:
        return body  # it triggered a moment ago; the order is asked for at the next look
