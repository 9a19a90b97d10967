"""User data streams: spot's WebSocket API (/ws-api/v3) and futures' listen keys (/private/ws, /ws)."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import WSMsgType, web

from trading.paper.errors import ApiError, missing
from trading.paper.fault_model import CONNECT, Target
from trading.paper.params import DEFAULT_RECV_WINDOW, LONGEST_RECV_WINDOW, check_time, signature_of
from trading.paper.stream_connection import Connection
from trading.paper.user_feed import Event

if TYPE_CHECKING:
    from trading.paper.exchange import Exchange

LOOK_SECONDS = 0.25  # how often resting orders are looked at while somebody listens
MOST_SUBSCRIPTIONS = 1000
SUBSCRIBE_WEIGHT = 2
SPOT_PATH = "/ws-api/v3"
FUTURES_PATHS = ("/private/ws", "/private/ws/{key}", "/ws", "/ws/{key}")


class Streams:
    """All open stream connections of an exchange, and the task that keeps its time."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.open: dict[Connection, str] = {}
        self._task: asyncio.Task[None] | None = None

    def add_routes(self, app: web.Application) -> None:
        """Add the endpoints, and have connections end with the application."""
        app.router.add_get(SPOT_PATH, self._spot)
        for path in FUTURES_PATHS:
            app.router.add_get(path, self._futures)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)

    async def _start(self, app: web.Application) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep_time())

    async def _stop(self, app: web.Application) -> None:
        if self._task is not None:
            self._task.cancel()
        for connection in list(self.open):
            await connection.socket.close(code=1001)

    async def _keep_time(self) -> None:
        """What happens by itself: faults begin and end, orders fill, listen keys expire."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            exchange = self.exchange
            exchange.faults.tend()
            now_ms = exchange.clock.now_ms()
            if exchange.books.feed.has_listeners:
                exchange.engine.advance_all(now_ms)
                exchange.futures.advance_all(now_ms)
            exchange.listen_keys.end_expired(now_ms)

    def drop_all(self, market: str | None = None) -> int:
        """End every connection, or those of a market, without a goodbye; how many that were."""
        chosen = [one for one, its in self.open.items() if market in (None, its)]
        for connection in chosen:
            connection.abort()
        return len(chosen)

    async def _serve(
        self, request: web.Request, market: str, path: str, session: Callable[[Connection], Session]
    ) -> web.StreamResponse:
        target = Target(method="GET", path=path, market=market)
        self.exchange.faults.tend()
        if self.exchange.faults.take(target, CONNECT) is not None:
            return web.Response(status=503, text="Service Unavailable")
        connection = Connection(request, self.exchange.faults, target)
        sender = await connection.open()
        self.open[connection] = market
        mine = session(connection)
        try:
            async for message in connection.socket:
                if message.type is WSMsgType.TEXT:
                    mine.said(message.data)
        finally:
            mine.end()
            self.open.pop(connection, None)
            sender.cancel()
        return connection.socket

    async def _spot(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.json_response({"error": "this is a WebSocket"}, status=426)
        return await self._serve(
            request, "spot", SPOT_PATH, lambda one: SpotSession(self.exchange, one, request.remote or "")
        )

    async def _futures(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.json_response({"error": "this is a WebSocket"}, status=426)
        key = request.match_info.get("key") or request.query.get("listenKey", "")
        path = "/private/ws" if request.path.startswith("/private") else "/ws"
        return await self._serve(
            request, "futures", path, lambda one: FuturesSession(self.exchange, one, key)
        )


class Session:
    """What a connection listens to."""

    def said(self, text: str) -> None:
        """A message of the client."""

    def end(self) -> None:
        """The connection is gone."""


class FuturesSession(Session):
    """Events of the account of a listen key. An unknown key is taken, and never hears anything."""

    def __init__(self, exchange: Exchange, connection: Connection, key: str) -> None:
        self._leave: Callable[[], None] | None = None
        self._forget = exchange.listen_keys.on_end(key, self._ended)
        self._connection = connection
        self._key = key
        self._now_ms = exchange.clock.now_ms
        account_id = exchange.listen_keys.account_of(key, exchange.clock.now_ms())
        if account_id is not None:
            self._api_key = exchange.books.by_id[account_id].api_key
            self._leave = exchange.books.feed.listen("futures", account_id, self._deliver)

    def _deliver(self, event: Event) -> None:
        self._connection.put(event, event, self._api_key)

    def _ended(self, expired: bool) -> None:
        """The key is over: nothing more comes over this connection."""
        self.end()
        if expired:
            event = {"e": "listenKeyExpired", "E": self._now_ms(), "listenKey": self._key}
            self._connection.put(event, event)

    def end(self) -> None:
        """Listen no longer."""
        self._forget()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


class SpotSession(Session):
    """Requests of the WebSocket API that a user data stream needs, and the events of what is subscribed."""

    def __init__(self, exchange: Exchange, connection: Connection, address: str) -> None:
        self._exchange = exchange
        self._connection = connection
        self._address = address
        self._subscribed: dict[int, tuple[int, Callable[[], None]]] = {}
        self._next = 0
        self._methods: dict[str, Callable[[dict[str, Any]], Any]] = {
            "ping": lambda params: {},
            "time": lambda params: {"serverTime": exchange.clock.now_ms()},
            "session.subscriptions": lambda params: [{"subscriptionId": one} for one in self._subscribed],
            "session.status": self._status,
            "userDataStream.subscribe.signature": self._subscribe,
            "userDataStream.unsubscribe": self._unsubscribe,
        }

    def said(self, text: str) -> None:
        """One request; its answer goes into the queue."""
        request_id: Any = None
        try:
            request = json.loads(text)
            if not isinstance(request, dict):
                raise ApiError(-1135, "Invalid JSON Request")
            request_id = request.get("id")
            params = request.get("params") or {}
            method = str(request.get("method", "")).removeprefix("v3/")
            if not isinstance(params, dict) or method not in self._methods:
                raise ApiError(-1020, "This operation is not supported.")
            weights, now_ms = self._exchange.weights["spot"], self._exchange.clock.now_ms()
            weights.charge(self._address, SUBSCRIBE_WEIGHT, now_ms)
            answer = {"id": request_id, "status": 200, "result": self._methods[method](params)}
        except (ValueError, RecursionError):
            answer = _error(None, ApiError(-1135, "Invalid JSON Request"))
        except ApiError as error:
            answer = _error(request_id, error)
        self._connection.put({**answer, "rateLimits": []})

    def _status(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": None,
            "returnRateLimits": True,
            "serverTime": self._exchange.clock.now_ms(),
            "userDataStream": bool(self._subscribed),
        }

    def _subscribe(self, params: dict[str, Any]) -> dict[str, Any]:
        """userDataStream.subscribe.signature (web-socket-api.md)."""
        account = self._exchange.account_of(params.get("apiKey"))
        _check_signed(params, account.secret, self._exchange.clock.now_ms())
        if any(account_id == account.id for account_id, _ in self._subscribed.values()):
            raise ApiError(-2035, "User Data Stream subscription already active.")
        if len(self._subscribed) >= MOST_SUBSCRIPTIONS:
            raise ApiError(-2042, "Maximum subscription ID reached for this connection.")
        subscription, self._next = self._next, self._next + 1

        def deliver(event: Event) -> None:
            frame = {"subscriptionId": subscription, "event": event}
            self._connection.put(frame, event, account.api_key)

        leave = self._exchange.books.feed.listen("spot", account.id, deliver)
        self._subscribed[subscription] = (account.id, leave)
        return {"subscriptionId": subscription}

    def _unsubscribe(self, params: dict[str, Any]) -> dict[str, Any]:
        """userDataStream.unsubscribe: one subscription or all; each ends with eventStreamTerminated."""
        wanted = params.get("subscriptionId")
        chosen = list(self._subscribed) if wanted is None else [wanted]
        if wanted is not None and wanted not in self._subscribed:
            raise ApiError(-2036, "User Data Stream subscription not active.")
        for subscription in chosen:
            _, leave = self._subscribed.pop(subscription)
            leave()
            event = {"e": "eventStreamTerminated", "E": self._exchange.clock.now_ms()}
            self._connection.put({"subscriptionId": subscription, "event": event}, event)
        return {}

    def end(self) -> None:
        """Listen no longer."""
        for _, leave in self._subscribed.values():
            leave()
        self._subscribed.clear()


def _error(request_id: Any, error: ApiError) -> dict[str, Any]:
    return {
        "id": request_id,
        "status": error.status,
        "error": {"code": error.code, "msg": error.message},
    }


def _check_signed(params: dict[str, Any], secret: str, now_ms: int) -> None:
    """Timestamp and signature: HMAC over the other parameters, sorted by name (web-socket-api.md)."""
    signature = params.get("signature")
    if not isinstance(signature, str):
        raise missing("signature")
    payload = urlencode(sorted((name, value) for name, value in params.items() if name != "signature"))
    given = signature.lower()
    if not given.isascii() or not hmac.compare_digest(given, signature_of(secret, payload)):
        raise ApiError(-1022, "Signature for this request is not valid.")
    try:
        timestamp = int(params["timestamp"])
        window = Decimal(str(params.get("recvWindow", DEFAULT_RECV_WINDOW)))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise missing("timestamp") from error
    if window > LONGEST_RECV_WINDOW:
        raise ApiError(-1131, "recvWindow must be less than 60000.")
    check_time(timestamp, window, now_ms)
