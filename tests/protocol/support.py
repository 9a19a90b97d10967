"""Short cuts of the protocol's tests: a request at a fixed time, and one step of it."""

from __future__ import annotations

from typing import Any

from tradebot.timings import Timings
from trading import protocol
from trading.protocol import Request, State

T = Timings()
TS = 1_000_000


def request(state: State = "PREPARED", **changes: Any) -> Request:
    """A spot entry, prepared at TS, unless told otherwise."""
    values = {"market": "spot", "lane": "entry", "ts_ms": TS, "recv_window_ms": 5000}
    return Request(state=state, **values | changes)


def go(one: Request, event: protocol.Event, now_ms: int) -> protocol.Step:
    """One step with the default times."""
    return protocol.step(one, event, now_ms, T)
