"""One WebSocket connection of a user data stream: a queue of events, sent in order or as a fault has it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiohttp import web

from trading.paper.fault_model import EVENT, Fault, Target
from trading.paper.faults import FaultSwitch

PING_SECONDS = 20.0
Frame = dict[str, Any]


class KeptBack(NamedTuple):
    """An event that waits for the next one of its name, or until a monotonic time."""

    frame: Frame
    event: str
    until: float


class Connection:
    """Sends frames. `target` is what faults select by; an event's own words are added to it."""

    def __init__(self, request: web.Request, faults: FaultSwitch, target: Target) -> None:
        self.request = request
        self.faults = faults
        self.target = target
        self.socket = web.WebSocketResponse(heartbeat=PING_SECONDS, compress=False)
        self._queue: asyncio.Queue[tuple[Frame, Target | None]] = asyncio.Queue()
        self._kept_back: KeptBack | None = None

    async def open(self) -> asyncio.Task[None]:
        """Shake hands; the task that sends what is put."""
        await self.socket.prepare(self.request)
        return asyncio.get_running_loop().create_task(self._send_all())

    def put(self, frame: Frame, event: Mapping[str, Any] | None = None, api_key: str | None = None) -> None:
        """Send this after what was put before; `event` is what faults look at, None for an answer."""
        target = None if event is None else self._target_of(event, api_key)
        self._queue.put_nowait((frame, target))

    def _target_of(self, event: Mapping[str, Any], api_key: str | None) -> Target:
        inner = event["o"] if isinstance(event.get("o"), dict) else event
        return self.target._replace(
            event=event["e"],
            symbol=inner.get("s"),
            side=inner.get("S"),
            apiKey=api_key or self.target.apiKey,
        )

    async def _send_all(self) -> None:
        try:
            while True:
                frame, target = await self._next()
                fault = None if target is None else self.faults.take(target, EVENT)
                await self._send(frame, None if target is None else target.event, fault)
        except (ConnectionError, RuntimeError):  # the client has gone
            return

    async def _next(self) -> tuple[Frame, Target | None]:
        """The next frame; an event that was kept back too long is sent first."""
        while self._kept_back is not None:
            left = self._kept_back.until - time.monotonic()
            try:
                return await asyncio.wait_for(self._queue.get(), max(0.0, left))
            except TimeoutError:
                await self._release()
        return await self._queue.get()

    async def _release(self) -> None:
        kept, self._kept_back = self._kept_back, None
        if kept is not None:
            await self._write(kept.frame)

    async def _send(self, frame: Frame, event: str | None, fault: Fault | None) -> None:
        kind = None if fault is None else fault.kind
        if fault is not None and kind == "stream_delay":
            await asyncio.sleep(float(fault.options["seconds"]))
        if kind == "stream_drop":
            self.abort()
            return
        if fault is not None and event is not None and kind == "stream_reorder" and self._kept_back is None:
            self._kept_back = KeptBack(frame, event, time.monotonic() + float(fault.options["seconds"]))
            return
        if kind != "stream_lose":
            await self._write(frame)
        if kind == "stream_duplicate":
            await self._write(frame)
        if self._kept_back is not None and self._kept_back.event == event:
            await self._release()

    async def _write(self, frame: Frame) -> None:
        await self.socket.send_str(json.dumps(frame, separators=(",", ":"), ensure_ascii=False))

    def abort(self) -> None:
        """End the connection without a goodbye."""
        if self.request.transport is not None:
            self.request.transport.abort()
