"""The user stream of one account over python-binance's sockets: what happens to it, until the line breaks.

Spot: the WebSocket API's userDataStream.subscribe.signature (listen keys are gone since 2026-02-20).
Futures: a listen key, which python-binance prolongs. python-binance reconnects by itself, but without
subscribing anew on spot: here the first fault ends the stream, and the caller opens another one.
"""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tradebot.binance.sources import Source
from tradebot.errors import Transient
from tradebot.secrets import Secret

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # python-binance 1.0.37 uses old names of websockets
    from binance.async_client import AsyncClient
    from binance.exceptions import (
        BinanceAPIException,
        BinanceRequestException,
        BinanceWebsocketClosed,
        BinanceWebsocketQueueOverflow,
        BinanceWebsocketUnableToConnect,
        ReadLoopClosed,
    )
    from binance.ws.constants import WSListenerState
    from binance.ws.streams import BinanceSocketManager
    from websockets.exceptions import WebSocketException

OPEN_SECONDS = 15.0  # to connect and subscribe
CLOSE_SECONDS = 5.0
PROLONG_SECONDS = 30 * 60  # a listen key lives for 60 minutes
QUEUE = 10_000  # events that wait here before the stream is given up
OVER = ("eventStreamTerminated", "listenKeyExpired", "serverShutdown", "error")
# binance-spot-api-docs web-socket-api.md and testnet/general-info.md; USDS-M "WebSocket change notice"
_SPOT = {
    "live": "wss://ws-api.binance.com/ws-api/v3",
    "testnet": "wss://ws-api.testnet.binance.vision/ws-api/v3",
}
_FUTURES = {"live": "wss://fstream.binance.com/", "testnet": "wss://fstream.binancefuture.com/"}
_FAULTS = (
    BinanceAPIException,
    BinanceRequestException,
    BinanceWebsocketClosed,
    BinanceWebsocketQueueOverflow,
    BinanceWebsocketUnableToConnect,
    ReadLoopClosed,
    WebSocketException,
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    ValueError,
)


class StreamLost(Transient):
    """Raised when a stream can't be opened or has ended; what happened meanwhile was not heard."""


class _Client(AsyncClient):  # type: ignore[misc]
    """python-binance's client at one source. It pings nobody and logs nothing."""

    def __init__(self, source: Source, key: Secret, secret: Secret, offset_ms: int) -> None:
        super().__init__(key.reveal(), secret.reveal())
        for name in ("binance.ws", "binance.base_client", "websockets"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # they print what was sent: keys, signatures
        self.API_URL = source.base_url + "/api"
        self.FUTURES_URL = source.base_url + "/fapi"
        self.timestamp_offset = offset_ms
        self.ws_api._url = spot_url(source)
        self.ws_api._ws_kwargs = {"proxy": None}
        self.ws_api.MAX_RECONNECTS = 0  # the caller opens another stream


def spot_url(source: Source) -> str:
    """The address of the spot WebSocket API."""
    return _SPOT.get(source.environment) or f"{_ws(source)}/ws-api/v3"


def futures_url(source: Source) -> str:
    """The address of the futures streams, with a slash at its end."""
    return _FUTURES.get(source.environment) or f"{_ws(source)}/"


def _ws(source: Source) -> str:
    scheme = "wss" if urlsplit(source.base_url).scheme == "https" else "ws"
    return f"{scheme}://{source.host}"


@asynccontextmanager
async def user_stream(
    source: Source, key: Secret, secret: Secret, exchange_now_ms: int
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The events of an account as the exchange writes them, while the block lasts.

    `exchange_now_ms` is the exchange's clock now, for the signature. Raises StreamLost when it can't be
    opened, and out of the iteration when it ends. No text of an error holds a key.
    """
    client = _Client(source, key, secret, exchange_now_ms - round(time.time() * 1000))
    socket: Any = None
    try:
        try:
            manager = BinanceSocketManager(client, user_timeout=PROLONG_SECONDS, max_queue_size=QUEUE)
            manager.FSTREAM_URL = futures_url(source)
            manager.ws_kwargs = {"proxy": None}
            socket = manager.user_socket() if source.market == "spot" else manager.futures_user_socket()
            socket.MAX_RECONNECTS = 0
            await asyncio.wait_for(socket.connect(), OPEN_SECONDS)
        except _FAULTS as error:
            raise StreamLost(_sentence(error)) from None
        yield _events(socket)
    finally:
        await _close(client, socket)


async def _events(socket: Any) -> AsyncIterator[dict[str, Any]]:
    while True:
        try:
            event = await socket.recv()
        except _FAULTS as error:
            raise StreamLost(_sentence(error)) from None
        if not isinstance(event, dict):
            continue
        if event.get("e") in OVER:
            raise StreamLost(f"The stream ended: {event.get('type') or event['e']}.")
        yield event


async def _close(client: _Client, socket: Any) -> None:
    """Hang up at once: python-binance would wait for ten seconds, or connect anew to say good-bye."""
    for line in (socket, client.ws_api):
        if line is None:
            continue
        if getattr(line, "_timer", None):
            line._timer.cancel()
            line._timer = None
        line.ws_state = WSListenerState.EXITING
        if line.ws is not None:
            try:
                await asyncio.wait_for(line.ws.close(), CLOSE_SECONDS)
            except _FAULTS:
                continue
        await _read_no_more(line)
    if client.session is not None:
        await client.session.close()


async def _read_no_more(line: Any) -> None:
    """Wait until python-binance's task has noticed the end, so that none outlives its loop."""
    end = time.monotonic() + CLOSE_SECONDS
    while line._handle_read_loop and time.monotonic() < end:
        await asyncio.sleep(0.005)


def _sentence(error: BaseException) -> str:
    """What went wrong, without what was sent."""
    if isinstance(error, BinanceAPIException):
        return f"The exchange refused the stream (code {error.code}, HTTP {error.status_code})."
    return f"The stream failed: {type(error).__name__}."
