"""The /paper/ endpoints for what happens beside the bots: money that comes and goes, orders made by hand."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trading.paper.control_values import Body, ControlRefused, account_of, amount, as_params
from trading.paper.errors import ApiError
from trading.paper.futures_ordering import read_algo
from trading.paper.futures_ordering import read_order as read_futures
from trading.paper.futures_orders import AlgoOrder, FuturesOrder, algo_json, order_json
from trading.paper.ordering import read_order
from trading.paper.orders import Order, number, order_query
from trading.paper.user_feed import balance_update

if TYPE_CHECKING:
    from trading.paper.books import Account
    from trading.paper.exchange import Exchange


def web_id() -> str:
    """The client id of an order made in the web page."""
    return f"web_{secrets.token_hex(8)}"


def _moved(exchange: Exchange, body: Body, sign: int) -> Any:
    account, by, now_ms = account_of(exchange, body), amount(body, "amount"), exchange.clock.now_ms()
    asset = str(body.get("asset", "USDT"))
    if asset not in exchange.assets() and asset not in account.balances:
        raise ControlRefused("no such asset here")
    exchange.engine.advance_all(now_ms)
    balance = account.balance(asset)
    if sign < 0 and balance.free < by:
        raise ControlRefused(f"only {number(balance.free)} {asset} are free")
    with exchange.books.transaction():
        balance.free += sign * by
        exchange.books.save_balance(account, asset)
        exchange.books.feed.tell("spot", account.id, balance_update(asset, sign * by, now_ms))
    return {
        "apiKey": account.api_key,
        "asset": asset,
        "free": number(balance.free),
        "locked": number(balance.locked),
    }


def deposit(exchange: Exchange, body: Body) -> Any:
    """POST /paper/deposit {"apiKey", "asset", "amount"}."""
    return _moved(exchange, body, 1)


def withdraw(exchange: Exchange, body: Body) -> Any:
    """POST /paper/withdraw {"apiKey", "asset", "amount"}: out of what is free."""
    return _moved(exchange, body, -1)


def _done(act: Callable[[], Any]) -> Any:
    """What the exchange answers, its refusal as a sentence."""
    try:
        return act()
    except ApiError as error:
        raise ControlRefused(str(error)) from error


def order_by_hand(exchange: Exchange, body: Body) -> Any:
    """POST /paper/order {"apiKey", and the parameters of POST /api/v3/order}: as in the web page."""
    account = account_of(exchange, body)
    spec = exchange.market.specs.get(str(body.get("symbol")))
    if spec is None:
        raise ControlRefused("no such symbol here")
    wanted = {"newClientOrderId": web_id(), **body}

    def act() -> Any:
        params = as_params(wanted, "apiKey", "symbol")
        new = read_order(params, spec)
        params.finish()
        return order_query(exchange.engine.place(account, new, exchange.clock.now_ms())[0])

    return _done(act)


def _spot_order(exchange: Exchange, account: Account, body: Body) -> Order:
    symbol = str(body.get("symbol"))
    exchange.engine.advance(symbol, exchange.clock.now_ms())
    order_id, client_id = body.get("orderId"), body.get("clientOrderId")
    if isinstance(order_id, int):
        order = exchange.books.order_by_id(account, symbol, order_id)
    else:
        order = exchange.books.order_by_client_id(account, symbol, str(client_id))
    if order is None or not order.is_open:
        raise ControlRefused("no such open order: give symbol, and orderId or clientOrderId")
    return order


def cancel_by_hand(exchange: Exchange, body: Body) -> Any:
    """POST /paper/cancel {"apiKey", "symbol", "orderId" or "clientOrderId"}: its list goes with it."""
    account, now_ms = account_of(exchange, body), exchange.clock.now_ms()
    if str(body.get("symbol")) not in exchange.market.specs:
        raise ControlRefused("no such symbol here")
    order = _spot_order(exchange, account, body)
    cancelled = _done(lambda: exchange.engine.cancel(account, order, now_ms, "", web_id()))
    return {"cancelled": [order_query(one) for one in cancelled]}


def fill_by_hand(exchange: Exchange, body: Body) -> Any:
    """POST /paper/fill {"apiKey", "symbol", "orderId" or "clientOrderId", "quantity"?}: at its own price."""
    account, now_ms = account_of(exchange, body), exchange.clock.now_ms()
    if str(body.get("symbol")) not in exchange.market.specs:
        raise ControlRefused("no such symbol here")
    order = _spot_order(exchange, account, body)
    if order.is_pending:
        raise ControlRefused("the order is not on the book yet")
    exchange.engine.fill_now(account, order, _share(body, order.remaining), now_ms)
    return order_query(order)


def _share(body: Body, remaining: Decimal) -> Decimal:
    quantity = remaining if body.get("quantity") is None else amount(body, "quantity")
    if quantity > remaining:
        raise ControlRefused(f"only {number(remaining)} are left of the order")
    return quantity


# -- futures


def futures_order_by_hand(exchange: Exchange, body: Body) -> Any:
    """POST /paper/futures/order {"apiKey", parameters of the order}; with `algoType` a conditional one."""
    account, now_ms = account_of(exchange, body), exchange.clock.now_ms()
    exchange.futures_wallet(account)
    contract = exchange.futures.state.contracts.get(str(body.get("symbol")))
    if contract is None:
        raise ControlRefused("no such contract here")

    def act() -> Any:
        if "algoType" in body:
            params = as_params({"clientAlgoId": web_id(), **body}, "apiKey", "symbol")
            algo = exchange.futures.place_algo(account, read_algo(params, contract, is_dual=False), now_ms)
            return algo_json(algo)
        params = as_params({"newClientOrderId": web_id(), **body}, "apiKey", "symbol")
        order, _ = exchange.futures.place(account, read_futures(params, contract, is_dual=False), now_ms)
        return order_json(order)

    return _done(act)


def _futures_order(exchange: Exchange, body: Body) -> FuturesOrder | AlgoOrder:
    account, books = account_of(exchange, body), exchange.futures.books
    symbol, order_id, algo_id = str(body.get("symbol")), body.get("orderId"), body.get("algoId")
    exchange.futures.advance_all(exchange.clock.now_ms())
    for one in books.open_orders(account.id, symbol):
        if order_id == one.order_id or body.get("clientOrderId") == one.client_id:
            return one
    for algo in books.live_algos(account.id, symbol):
        if algo_id == algo.algo_id or body.get("clientAlgoId") == algo.client_id:
            return algo
    raise ControlRefused(
        "no such open order: give symbol, and orderId, clientOrderId, algoId or clientAlgoId"
    )


def cancel_futures_by_hand(exchange: Exchange, body: Body) -> Any:
    """POST /paper/futures/cancel {"apiKey", "symbol", "orderId" or "clientOrderId" or "algoId" or ...}."""
    found, now_ms = _futures_order(exchange, body), exchange.clock.now_ms()
    if isinstance(found, AlgoOrder):
        algo = found
        return algo_json(_done(lambda: exchange.futures.cancel_algo(algo, now_ms)))
    order = found
    return order_json(_done(lambda: exchange.futures.cancel(order, now_ms)))


def fill_futures_by_hand(exchange: Exchange, body: Body) -> Any:
    """POST /paper/futures/fill {"apiKey", "symbol", "orderId" or "clientOrderId", "quantity"?}."""
    found = _futures_order(exchange, body)
    if isinstance(found, AlgoOrder):
        raise ControlRefused("a conditional order is filled when it triggers")
    exchange.futures.events.fill_now(found, _share(body, found.remaining), exchange.clock.now_ms())
    return order_json(found)


POSTS: dict[str, Callable[[Exchange, Body], Any]] = {
    "/paper/deposit": deposit,
    "/paper/withdraw": withdraw,
    "/paper/order": order_by_hand,
    "/paper/cancel": cancel_by_hand,
    "/paper/fill": fill_by_hand,
    "/paper/futures/order": futures_order_by_hand,
    "/paper/futures/cancel": cancel_futures_by_hand,
    "/paper/futures/fill": fill_futures_by_hand,
}
