"""The door of a running exchange: it can be shut for a while, so that connections are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

ANSWERED_SECONDS = 0.1  # until whoever asked for it has his answer


class Listener:
    """Without a server behind it (an exchange inside a test) nothing happens."""

    def __init__(self) -> None:
        self._shut: Callable[[], Awaitable[None]] | None = None
        self._open: Callable[[], Awaitable[None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, shut: Callable[[], Awaitable[None]], reopen: Callable[[], Awaitable[None]]) -> None:
        """Give it the server: what stops listening and ends connections, and what listens again."""
        self._shut, self._open = shut, reopen

    def close_for(self, seconds: float) -> None:
        """Refuse connections for so long, from a moment later on."""
        if self._shut is not None:
            task = asyncio.get_running_loop().create_task(self._closed(seconds))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _closed(self, seconds: float) -> None:
        assert self._shut is not None
        assert self._open is not None
        await asyncio.sleep(ANSWERED_SECONDS)
        await self._shut()
        await asyncio.sleep(seconds)
        await self._open()
