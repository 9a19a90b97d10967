"""A small exchange that speaks the user streams only: spot's WebSocket API and futures' listen keys."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from aiohttp import WSMsgType, web

from tests.support.paper import secret_of


class StreamServer:
    """Runs in a thread of its own: `send` writes an event to all lines, `drop` hangs up."""

    def __init__(self) -> None:
        self.lines: list[tuple[web.WebSocketResponse, bool]] = []  # and whether it is a spot line
        self.subscribed = 0
        self.paths: list[str] = []
        self.refuse = False
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self._run, args=(started,), daemon=True).start()
        started.wait(10)
        self.url = f"http://127.0.0.1:{self.port}"

    def send(self, event: dict[str, Any]) -> None:
        """Write an event to every line, wrapped as its market does."""
        asyncio.run_coroutine_threadsafe(self._send(event), self._loop).result(5)

    def drop(self) -> None:
        """Hang up on everybody."""
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(5)

    def close(self) -> None:
        """End it."""
        self.drop()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_get("/api/v3/time", self._time)
        app.router.add_get("/fapi/v1/time", self._time)
        app.router.add_get("/ws-api/v3", self._spot)
        app.router.add_post("/fapi/v1/listenKey", self._listen_key)
        app.router.add_get("/private/ws", self._futures)
        app.router.add_get("/private/ws/{key}", self._futures)
        runner = web.AppRunner(app)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        started.set()
        self._loop.run_forever()

    async def _time(self, request: web.Request) -> web.Response:
        return web.json_response({"serverTime": round(time.time() * 1000)})

    async def _listen_key(self, request: web.Request) -> web.Response:
        assert request.headers["X-MBX-APIKEY"].startswith("paper")
        return web.json_response({"listenKey": "the-listen-key"})

    async def _spot(self, request: web.Request) -> web.WebSocketResponse:
        line = web.WebSocketResponse()
        await line.prepare(request)
        async for message in line:
            if message.type != WSMsgType.TEXT:
                break
            wanted = json.loads(message.data)
            if self.refuse or not _is_signed(wanted["params"]):
                error = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
                await line.send_json({"id": wanted["id"], "status": 401, "error": error})
                continue
            assert wanted["method"] == "userDataStream.subscribe.signature"
            await line.send_json({"id": wanted["id"], "status": 200, "result": {"subscriptionId": 0}})
            self.lines.append((line, True))
            self.subscribed += 1
        return line

    async def _futures(self, request: web.Request) -> web.WebSocketResponse:
        assert "the-listen-key" in str(request.rel_url)
        line = web.WebSocketResponse()
        await line.prepare(request)
        self.lines.append((line, False))
        self.subscribed += 1
        async for _ in line:
            continue
        return line

    async def _send(self, event: dict[str, Any]) -> None:
        for line, is_spot in self.lines:
            await line.send_json({"subscriptionId": 0, "event": event} if is_spot else event)

    async def _drop(self) -> None:
        lines, self.lines = self.lines, []
        for line, _ in lines:
            await line.close()


def _is_signed(params: dict[str, Any]) -> bool:
    given = params.pop("signature")
    payload = urlencode(sorted(params.items()))
    made = hmac.new(secret_of(params["apiKey"]).encode(), payload.encode(), hashlib.sha256).hexdigest()
    return given == made and abs(int(params["timestamp"]) - time.time() * 1000) < 5000


@contextmanager
def stream_server() -> Iterator[StreamServer]:
    """A server for the length of a with block."""
    server = StreamServer()
    try:
        yield server
    finally:
        server.close()
