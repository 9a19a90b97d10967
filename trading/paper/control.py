"""The /paper/ endpoints: what tests and the demo use to look into the exchange and to steer it."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from trading.paper.books import Account
from trading.paper.clock import ClockRefused
from trading.paper.control_hand import POSTS as HAND_POSTS
from trading.paper.control_values import ControlRefused
from trading.paper.exchange import Exchange, is_asset, secret_by_rule
from trading.paper.fault_refusals import REASONS
from trading.paper.faults import FaultRefused
from trading.paper.futures_control import POSTS as FUTURES_POSTS
from trading.paper.futures_control import futures_books
from trading.paper.orders import list_summary, number, order_query, trade
from trading.paper.params import KEY_RANGE
from trading.paper.routes_market import STATUSES
from trading.paper.scenarios import described, scenario_texts
from trading.paper.streams import Streams

EXCHANGE: web.AppKey[Exchange] = web.AppKey("exchange", Exchange)
STREAMS: web.AppKey[Streams] = web.AppKey("streams", Streams)


def is_loopback(request: web.Request) -> bool:
    """Whether the request came from this machine, and not from a page in a browser."""
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback and "Origin" not in request.headers
    except ValueError:
        return False


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.text() or "{}", parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise ControlRefused("the body must be a JSON object") from error
    if not isinstance(body, dict):
        raise ControlRefused("the body must be a JSON object")
    return body


def _amount(value: Any, name: str) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation as error:
        raise ControlRefused(f"{name} must be a number") from error
    if not amount.is_finite() or amount < 0:
        raise ControlRefused(f"{name} must be a number and not negative")
    return amount


def _milliseconds(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ControlRefused(f"{name} must be a whole number of milliseconds")
    return value


async def health(exchange: Exchange, request: web.Request) -> Any:
    """GET /paper/health."""
    return {
        "status": "ok",
        "clock": exchange.clock.mode,
        "nowMs": exchange.clock.now_ms(),
        "market": _market_name(exchange),
        "pricesAgeMs": _ages(exchange),
        "seed": exchange.options.seed,
        "symbols": len(exchange.market.specs),
        "accounts": len(exchange.books.accounts),
        "openOrders": sum(map(len, exchange.books.open.values())),
        "openFuturesOrders": sum(map(len, exchange.futures.books.open.values())),
        "faults": len(exchange.faults.active),
    }


def _market_name(exchange: Exchange) -> str:
    if exchange.live is not None:
        return "live"
    return "synthetic" if exchange.options.candles is None else "replay"


def _ages(exchange: Exchange) -> dict[str, int | None]:
    """How old a live market's prices are, None before the first ones; nothing for other markets."""
    live, now_ms = exchange.live, exchange.clock.now_ms()
    polled = {} if live is None else {market: live.age_since(market) for market in live.markets}
    return {market: now_ms - at_ms if at_ms else None for market, at_ms in polled.items()}


async def post_account(exchange: Exchange, request: web.Request) -> Any:
    """POST /paper/accounts: open an account, or change one (balances, feesInBnb, revoked)."""
    body = await _body(request)
    key = body.get("apiKey")
    if not isinstance(key, str) or not KEY_RANGE.fullmatch(key):
        raise ControlRefused("apiKey must be 1 to 128 letters, digits, - or _")
    wanted = body.get("balances", {})
    if not isinstance(wanted, dict) or not all(is_asset(name) for name in wanted):
        raise ControlRefused("balances must be an object of asset names and amounts")
    balances = {name: _amount(value, name) for name, value in wanted.items()}
    switches = {name: body[name] for name in ("feesInBnb", "revoked") if name in body}
    if not all(isinstance(value, bool) for value in switches.values()):
        raise ControlRefused("feesInBnb and revoked are true or false")
    account = exchange.books.accounts.get(key)
    with exchange.books.transaction():
        if account is None:
            secret = body.get("secretKey", secret_by_rule(key))
            if not isinstance(secret, str) or not secret.isascii() or not secret:
                raise ControlRefused("secretKey must be ASCII text")
            account = exchange.open_account(key, secret, balances)
        else:
            exchange.set_balances(account, balances)
        account.fees_in_bnb = switches.get("feesInBnb", account.fees_in_bnb)
        account.revoked = switches.get("revoked", account.revoked)
        exchange.books.save_account(account)
    return _account_json(account)


def _account_json(account: Account) -> dict[str, Any]:
    return {
        "apiKey": account.api_key,
        "feesInBnb": account.fees_in_bnb,
        "revoked": account.revoked,
        "balances": {
            name: {"free": number(one.free), "locked": number(one.locked)}
            for name, one in sorted(account.balances.items())
            if one.free or one.locked
        },
    }


async def get_books(exchange: Exchange, request: web.Request) -> Any:
    """GET /paper/books[?apiKey=]: all orders, fills, lists and balances of one account, or of each."""
    now_ms, key = exchange.clock.now_ms(), request.query.get("apiKey")
    exchange.engine.advance_all(now_ms)
    exchange.futures.advance_all(now_ms)
    if key is not None and key not in exchange.books.accounts:
        raise ControlRefused("no account has this apiKey")
    accounts = exchange.books.accounts.values() if key is None else [exchange.books.accounts[key]]
    return {"nowMs": now_ms, "accounts": [_books_of(exchange, account) for account in accounts]}


def _books_of(exchange: Exchange, account: Account) -> dict[str, Any]:
    books = exchange.books
    orders = books.orders("account_id = ? ORDER BY symbol, order_id", (account.id,))
    fills = books.fills("account_id = ? ORDER BY symbol, trade_id", (account.id,))
    by_id = {(order.symbol, order.order_id): order for order in orders}
    lists = books.lists_of(account)
    return {
        **_account_json(account),
        "orders": [order_query(order) for order in orders],
        "fills": [trade(fill) for fill in fills],
        "orderLists": [
            list_summary(one, [by_id[one.symbol, order_id] for order_id in one.order_ids]) for one in lists
        ],
        "futures": futures_books(exchange, account),
    }


async def post_clock(exchange: Exchange, request: web.Request) -> Any:
    """POST /paper/clock {"now_ms"} or {"offset_ms"}; resting orders are matched up to the new time."""
    body = await _body(request)
    if "now_ms" in body:
        exchange.clock.set_now(_milliseconds(body["now_ms"], "now_ms"))
    elif "offset_ms" in body:
        exchange.clock.set_offset(_milliseconds(body["offset_ms"], "offset_ms"))
    else:
        raise ControlRefused("send now_ms or offset_ms")
    now_ms = exchange.clock.now_ms()
    with exchange.books.transaction():
        exchange.engine.advance_all(now_ms)
        exchange.futures.advance_all(now_ms)
        if exchange.clock.mode == "stepped":
            exchange.books.set_meta("stepped_ms", str(now_ms))
    return {"nowMs": now_ms, "clock": exchange.clock.mode, "offsetMs": exchange.clock.offset_ms}


async def post_symbol(exchange: Exchange, request: web.Request) -> Any:
    """POST /paper/symbols/{symbol}: halt it, make its book thin, or leave resting orders alone.

    {"status": "BREAK"}, {"levelQuote": 100} (quote units on the best level), {"matchResting": false}.
    """
    body, symbol = await _body(request), _known(exchange, request.match_info["symbol"])
    engine, now_ms = exchange.engine, exchange.clock.now_ms()
    status = body.get("status", engine.status(symbol))
    matched = body.get("matchResting", symbol not in engine.resting_off)
    if status not in STATUSES:
        raise ControlRefused(f"status must be one of {', '.join(STATUSES)}")
    if not isinstance(matched, bool):
        raise ControlRefused("matchResting is true or false")
    if "levelQuote" in body:
        engine.book.by_symbol[symbol] = _amount(body["levelQuote"], "levelQuote")
    engine.set_status(symbol, status, now_ms)  # matches what rests up to now
    for contract in exchange.futures.state.contracts.values():
        if contract.underlying == symbol:
            exchange.futures.advance(contract.symbol, now_ms)
            exchange.futures.state.set_status(contract.symbol, status, now_ms)
    if matched:
        engine.resting_off.discard(symbol)
    else:
        engine.resting_off.add(symbol)
    return {"symbol": symbol, "status": status, "matchResting": matched}


def _known(exchange: Exchange, symbol: Any) -> str:
    if not isinstance(symbol, str) or symbol not in exchange.market.specs:
        raise ControlRefused("no such symbol here")
    return symbol


async def post_price(exchange: Exchange, request: web.Request) -> Any:
    """POST /paper/price {"symbol", "price"}: it jumps there and stays; null follows the market."""
    body, now_ms = await _body(request), exchange.clock.now_ms()
    symbol = _known(exchange, body.get("symbol"))
    exchange.engine.advance(symbol, now_ms)
    exchange.futures.advance_all(now_ms)
    if body.get("price") is None:
        for market in exchange.overlays:
            market.clear_price(symbol, now_ms)
        return {"symbol": symbol, "price": None}
    price = _amount(body["price"], "price")
    if price <= 0:
        raise ControlRefused("price must be above zero")
    for market in exchange.overlays:
        market.set_price(symbol, float(price), now_ms)
    return {"symbol": symbol, "price": f"{price:f}"}


async def faults(exchange: Exchange, request: web.Request) -> Any:
    """GET, POST, DELETE /paper/faults: list them, switch one on, switch all (or ?id=) off."""
    if request.method == "POST":
        body = (await _body(request)).items()
        plain = {name: float(value) if isinstance(value, Decimal) else value for name, value in body}
        return exchange.faults.add(plain).as_json()
    if request.method == "DELETE":
        wanted = request.query.get("id")
        if wanted is not None and not wanted.isdecimal():
            raise ControlRefused("id must be a number")
        return {"cleared": exchange.faults.clear(None if wanted is None else int(wanted))}
    return {"faults": [fault.as_json() for fault in exchange.faults.active]}


async def fault_kinds(exchange: Exchange, request: web.Request) -> Any:
    """GET /paper/faults/kinds: every kind, its options and what it does; the named scenarios."""
    return {"kinds": described(), "reasons": sorted(REASONS), "scenarios": scenario_texts()}


async def get_streams(exchange: Exchange, request: web.Request) -> Any:
    """GET /paper/streams: how many connections there are."""
    markets = list(request.app[STREAMS].open.values())
    return {market: markets.count(market) for market in ("spot", "futures")}


async def post_streams(exchange: Exchange, request: web.Request) -> Any:
    """POST /paper/streams {"drop": true, "market"?} ends connections, {"expire": true} listen keys."""
    body = await _body(request)
    if body.get("market") not in (None, "spot", "futures"):
        raise ControlRefused("market must be spot or futures")
    if body.get("drop") is True:
        return {"dropped": request.app[STREAMS].drop_all(body.get("market"))}
    if body.get("expire") is True:
        return {"expired": exchange.listen_keys.expire()}
    raise ControlRefused('send {"drop": true} or {"expire": true}')


def _posted(act: Callable[[Exchange, dict[str, Any]], Any]) -> Any:
    async def posted(exchange: Exchange, request: web.Request) -> Any:
        return act(exchange, await _body(request))

    return posted


def _guarded(handler: Callable[[Exchange, web.Request], Any]) -> Any:
    async def guarded(request: web.Request) -> web.Response:
        if not is_loopback(request):
            return web.json_response({"error": "only from this machine"}, status=403)
        try:
            return web.json_response(await handler(request.app[EXCHANGE], request))
        except (ControlRefused, ClockRefused, FaultRefused) as error:
            return web.json_response({"error": str(error)}, status=400)

    return guarded


def add_control_routes(app: web.Application) -> None:
    """Add the /paper/ endpoints."""
    app.router.add_get("/paper/health", _guarded(health))
    app.router.add_post("/paper/accounts", _guarded(post_account))
    app.router.add_get("/paper/books", _guarded(get_books))
    app.router.add_post("/paper/clock", _guarded(post_clock))
    app.router.add_post("/paper/symbols/{symbol}", _guarded(post_symbol))
    app.router.add_post("/paper/price", _guarded(post_price))
    app.router.add_get("/paper/streams", _guarded(get_streams))
    app.router.add_post("/paper/streams", _guarded(post_streams))
    app.router.add_get("/paper/faults/kinds", _guarded(fault_kinds))
    for path, act in {**FUTURES_POSTS, **HAND_POSTS}.items():
        app.router.add_post(path, _guarded(_posted(act)))
    for method in ("GET", "POST", "DELETE"):
        app.router.add_route(method, "/paper/faults", _guarded(faults))
