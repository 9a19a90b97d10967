"""Faults of the user data streams; `method` and `path` select nothing here, `event` does."""

from __future__ import annotations

from trading.paper.fault_model import CONNECT, EVENT, Kind

STREAM: dict[str, Kind] = {
    "stream_drop": Kind("the connection ends instead of an event", (EVENT,)),
    "stream_lose": Kind("an event is not sent", (EVENT,)),
    "stream_delay": Kind("an event, and what is behind it, waits `seconds`", (EVENT,), needs=("seconds",)),
    "stream_duplicate": Kind("an event is sent twice", (EVENT,)),
    "stream_reorder": Kind(
        "an event is sent after the next one of its name, or after `seconds` (1) when none comes",
        (EVENT,),
        takes=("seconds",),
        defaults={"seconds": 1.0},
    ),
    "stream_refuse": Kind("a new stream connection is answered with 503", (CONNECT,)),
}
