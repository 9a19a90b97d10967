"""The HTTP server: routes, weights, signatures, timing, faults around every request."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from trading.paper.books import Account
from trading.paper.control import EXCHANGE, STREAMS, add_control_routes
from trading.paper.errors import CLOSED, ApiError, missing, rejected
from trading.paper.exchange import Exchange
from trading.paper.fault_model import AGAIN
from trading.paper.faults import AFTER, BEFORE, ENGINE, Dropped, target_of
from trading.paper.futures_errors import refused
from trading.paper.futures_routes import ROUTES as FUTURES_ROUTES
from trading.paper.futures_routes_account import ROUTES as FUTURES_ACCOUNT_ROUTES
from trading.paper.futures_routes_market import ROUTES as FUTURES_MARKET_ROUTES
from trading.paper.live import source_down
from trading.paper.params import (
    DEFAULT_RECV_WINDOW,
    LONGEST_RECV_WINDOW,
    Params,
    check_time,
    signature_of,
    split_signature,
)
from trading.paper.routes_lists import ROUTES as LIST_ROUTES
from trading.paper.routes_market import ROUTES as MARKET_ROUTES
from trading.paper.routes_other import ROUTES as OTHER_ROUTES
from trading.paper.routes_trade import ROUTES as TRADE_ROUTES
from trading.paper.routing import Call, Route
from trading.paper.streams import Streams

FORM = "application/x-www-form-urlencoded"
ALL_ROUTES = (
    *MARKET_ROUTES,
    *TRADE_ROUTES,
    *LIST_ROUTES,
    *FUTURES_MARKET_ROUTES,
    *FUTURES_ROUTES,
    *FUTURES_ACCOUNT_ROUTES,
    *OTHER_ROUTES,
)


def make_app(exchange: Exchange) -> web.Application:
    """The web application of an exchange; closing it closes the books."""
    app = web.Application(client_max_size=1_000_000)
    app[EXCHANGE] = exchange
    for route in ALL_ROUTES:
        app.router.add_route(route.method, route.path, _endpoint(exchange, route))
    app[STREAMS] = Streams(exchange)
    app[STREAMS].add_routes(app)
    add_control_routes(app)
    app.on_startup.append(_begin)
    app.on_cleanup.append(_close)
    return app


async def _begin(app: web.Application) -> None:
    exchange = app[EXCHANGE]
    if exchange.live is not None:
        exchange.live.start({"spot": exchange.engine.advance_all, "futures": exchange.futures.advance_all})


async def _close(app: web.Application) -> None:
    for task in list(app[EXCHANGE].tasks):
        task.cancel()
    live = app[EXCHANGE].live
    if live is not None:
        await live.stop()
    app[EXCHANGE].close()


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON as the exchange writes it: no spaces, UTF-8 as it is."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return web.Response(
        text=text, status=status, content_type="application/json", headers=dict(headers or {})
    )


def _endpoint(exchange: Exchange, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        try:
            early = await exchange.faults.strike(request, route.path, BEFORE)
            answer = early if early is not None else await _answer(exchange, route, request)
            await _replay(exchange, route, request)
            struck = await exchange.faults.strike(request, route.path, AFTER, answer)
        except Dropped:
            return web.Response()  # the connection is closed: nobody reads this
        assert struck is not None  # AFTER always has an answer
        return struck

    return endpoint


async def _replay(exchange: Exchange, route: Route, request: web.Request) -> None:
    """Carry the request out again if a fault has it so; nobody sees the second answer."""
    if not exchange.faults.has(AGAIN):
        return
    fault = exchange.faults.take(await target_of(request, route.path), AGAIN)
    if fault is None:
        return
    seconds = float(fault.options.get("seconds", 0))
    if not seconds:
        await _answer(exchange, route, request)
        return

    async def later() -> None:
        await asyncio.sleep(seconds)
        await _answer(exchange, route, request)

    exchange.background(later())


async def _answer(exchange: Exchange, route: Route, request: web.Request) -> web.StreamResponse:
    """Weight, then the request itself; errors in the exchange's own shape, headers on everything."""
    weights, address = exchange.weights[route.market], request.remote or ""
    headers: dict[str, str] = {}
    status, body = 200, None
    try:
        params, payload, signature = await _read(request)
        weight = route.weight_of(params)
        weights.charge(address, weight, exchange.clock.now_ms())
        body = await _carry_out(exchange, route, request, params, payload, signature, headers)
        if isinstance(body, web.StreamResponse):
            return body
        if route.engine:
            weights.refund(address, weight)
    except ApiError as error:
        status, body = error.status, {"code": error.code, "msg": error.message}
        headers.update(error.headers)
    headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(
        weights.used(address, exchange.clock.now_ms())
    )
    return json_answer(body, status, headers)


async def _read(request: web.Request) -> tuple[Params, str, str | None]:
    """Parameters, signed payload and signature, from the bytes as they came."""
    query = request.raw_path.partition("?")[2]
    body = ""
    if request.method != "GET" and request.body_exists:
        if request.content_type not in (FORM, "application/octet-stream"):
            raise ApiError(-1102, "The body must be application/x-www-form-urlencoded.")
        body = (await request.read()).decode("utf-8", errors="replace")
    payload, signature = split_signature(query, body)
    return Params(query, body), payload, signature


async def _carry_out(
    exchange: Exchange,
    route: Route,
    request: web.Request,
    params: Params,
    payload: str,
    signature: str | None,
    headers: dict[str, str],
) -> Any:
    account: Account | None = None
    if route.signed or route.keyed:
        account = exchange.account_of(request.headers.get("X-MBX-APIKEY"))
        if route.market == "futures":
            exchange.futures_wallet(account)
    if account is not None and route.signed:
        timestamp, window = _timing(params)
        _check_signature(account, params, payload, signature)
        check_time(timestamp, window, exchange.clock.now_ms())
    _refuse_stale(exchange, route)
    struck = await exchange.faults.strike(request, route.path, ENGINE)
    if struck is not None:
        return struck
    now_ms = exchange.clock.now_ms()
    if route.signed and route.engine:
        check_time(timestamp, window, now_ms, late_only=True)
    result = route.handler(Call(exchange, params, now_ms, account))
    if inspect.isawaitable(result):
        result = await result
    if route.market == "spot":  # futures do not mind parameters that nobody asked for
        params.finish()
    if account is not None and route.engine and route.method == "POST":
        headers.update(exchange.counts.headers(account.id, now_ms))
    if account is not None and route.counted:
        headers.update(exchange.futures.counts.headers(account.id, now_ms))
    return result


def _refuse_stale(exchange: Exchange, route: Route) -> None:
    """While a live market has no fresh prices there are none to show, and none to trade at."""
    live = exchange.live
    if live is None or not live.is_stale(route.market, exchange.clock.now_ms()):
        return
    if route.method == "POST" and (route.engine or route.counted):
        raise rejected(CLOSED) if route.market == "spot" else refused(-4140)
    if route.priced:
        raise source_down(route.market)


def _timing(params: Params) -> tuple[int, Decimal]:
    params.needed("timestamp")
    timestamp, window = params.integer("timestamp"), params.decimal("recvWindow")
    assert timestamp is not None
    if window is None:
        return timestamp, DEFAULT_RECV_WINDOW
    if window > LONGEST_RECV_WINDOW:
        raise ApiError(-1131, "recvWindow must be less than 60000.")
    exponent = window.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -3:
        raise ApiError(-1111, "Parameter 'recvWindow' has too much precision.")
    return timestamp, window


def _check_signature(account: Account, params: Params, payload: str, signature: str | None) -> None:
    if signature is None and not params.was_signed:
        raise missing("signature")
    expected = signature_of(account.secret, payload)
    given = (signature or "").lower()
    if not given.isascii() or not hmac.compare_digest(given, expected):
        raise ApiError(-1022, "Signature for this request is not valid.")
