"""Listening to a paper exchange's user data streams with python-binance's own sockets, or with bare ones."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode

from binance import AsyncClient, BinanceSocketManager

from tests.support.paper import Paper, secret_of

PATIENCE_SECONDS = 10.0
QUICK_SECONDS = 0.2  # how long a socket of the library waits before it sees that it shall end
Act = Callable[[], Any]
Result = TypeVar("Result")


def client_of(paper: Paper, key: str) -> AsyncClient:
    """python-binance's client, unchanged but for its addresses."""
    address = paper.url.removeprefix("http://")
    client = AsyncClient(key, secret_of(key))
    client.API_URL = f"{paper.url}/api"
    client.FUTURES_URL = f"{paper.url}/fapi"
    client.ws_api._url = f"ws://{address}/ws-api/v3"
    client.ws_api.TIMEOUT = QUICK_SECONDS
    return client


def manager_of(paper: Paper, client: AsyncClient) -> BinanceSocketManager:
    """Its socket manager, likewise."""
    manager = BinanceSocketManager(client)
    manager.STREAM_URL = manager.FSTREAM_URL = f"ws://{paper.url.removeprefix('http://')}/"
    return manager


class Ear:
    """An open socket and what was heard."""

    def __init__(self, recv: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._recv = recv
        self.heard: list[dict[str, Any]] = []

    async def until(self, done: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Everything heard once this is true of it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not done(self.heard):
                self.heard.append(await self._recv())
        return self.heard

    async def named(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """The events of this name, once there are so many."""
        await self.until(lambda heard: len([one for one in heard if one.get("e") == name]) >= count)
        return [one for one in self.heard if one.get("e") == name]


@asynccontextmanager
async def spot_ear(paper: Paper, key: str) -> AsyncIterator[Ear]:
    """python-binance's user_socket of an account."""
    client = client_of(paper, key)
    try:
        async with manager_of(paper, client).user_socket() as socket:
            yield Ear(socket.recv)
    finally:
        await client.ws_api.close()
        await client.close_connection()


@asynccontextmanager
async def futures_ear(paper: Paper, key: str) -> AsyncIterator[Ear]:
    """python-binance's futures_user_socket of an account."""
    client = client_of(paper, key)
    try:
        socket = manager_of(paper, client).futures_user_socket()
        socket.TIMEOUT = QUICK_SECONDS
        async with socket:
            yield Ear(socket.recv)
    finally:
        await client.close_connection()


def listened(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it, but not for ever."""

    async def bounded() -> Result:
        async with asyncio.timeout(3 * PATIENCE_SECONDS):
            return await work

    return asyncio.run(bounded())


def subscribe_frame(paper: Paper, key: str, number: int = 1) -> dict[str, Any]:
    """The request that subscribes to an account's events."""
    params = {"apiKey": key, "timestamp": paper.now_ms()}
    signature = hmac.new(secret_of(key).encode(), urlencode(params).encode(), hashlib.sha256).hexdigest()
    return {
        "id": number,
        "method": "userDataStream.subscribe.signature",
        "params": {**params, "signature": signature},
    }


async def beside(act: Act) -> Any:
    """Do something that blocks (a request) while the sockets go on."""
    return await asyncio.to_thread(act)
