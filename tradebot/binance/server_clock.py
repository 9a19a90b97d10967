"""The exchange's clock as this machine sees it: an offset, measured now and then, shared by its processes."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from django.conf import settings

from tradebot import clock
from tradebot.binance.redis_guard import RedisDown, read_value, with_redis
from tradebot.binance.sources import Source
from tradebot.errors import RateLimited, Transient

RECHECK_SECONDS = 5.0  # how long a process does not ask Redis for a newer offset
STEP_MS = 500  # a local clock that moved so much against the monotonic one was set
WARN_MS = 500
GOOD_ROUND_TRIP_MS = 1000
TRIES = 3
MACHINE = socket.gethostname()  # an offset is between the exchange's clock and that of one machine

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    offset_ms: int
    measured_at_ms: int  # local clock
    seen_local_ms: int  # both clocks when this process last looked at the value
    seen_monotonic: float


_known: dict[str, _Known] = {}
_failed_at: dict[str, float] = {}  # monotonic time of the last measurement that failed


def local_ms() -> int:
    """This machine's time (or a replay's stepped time) in milliseconds."""
    return clock.to_ms(clock.now())


def server_ms(
    source: Source, max_age_seconds: float, ask: Callable[[], int], now: datetime | None = None
) -> int:
    """The exchange's time in milliseconds: local time (just read, where given) and the offset_ms()."""
    known, local = _known.get(source.name), clock.to_ms(now) if now else local_ms()
    if known is not None and time.monotonic() - known.seen_monotonic <= RECHECK_SECONDS:
        is_fresh = abs(local - known.measured_at_ms) <= max_age_seconds * 1000
        if is_fresh and not _local_clock_was_set(known):
            return local + known.offset_ms
    offset = offset_ms(source, max_age_seconds, ask)
    return local_ms() + offset


def offset_ms(source: Source, max_age_seconds: float, ask: Callable[[], int]) -> int:
    """Milliseconds to add to local time to get the exchange's.

    Measured with `ask` (the exchange's time in ms) when it is missing, older than `max_age_seconds`, or
    when the local clock was set. Raises what `ask` raises when there is no offset at all; with an old one
    it goes on.
    """
    known = _known.get(source.name)
    if known is not None and _local_clock_was_set(known):
        known = replace(known, measured_at_ms=0)
    elif known is None or time.monotonic() - known.seen_monotonic > RECHECK_SECONDS:
        known = _read(source) or known
    if known is not None and _is_fresh(known, max_age_seconds):
        _known[source.name] = known
        return known.offset_ms
    if known is not None and time.monotonic() - _failed_at.get(source.name, -1e9) < RECHECK_SECONDS:
        return known.offset_ms
    try:
        return sync(source, ask)
    except (Transient, RateLimited) as error:
        if known is None:
            raise
        logger.warning("The exchange's time can't be asked; the old offset is used: %s", error)
        _failed_at[source.name] = time.monotonic()
        _known[source.name] = replace(known, seen_local_ms=local_ms(), seen_monotonic=time.monotonic())
        return known.offset_ms


def sync(source: Source, ask: Callable[[], int]) -> int:
    """Measure the offset now and share it: server time less the middle of the request, in ms."""
    best: tuple[int, int] | None = None  # round trip, offset
    for _ in range(TRIES):
        before = local_ms()
        server = ask()
        after = local_ms()
        round_trip = abs(after - before)  # large when slow, or when the local clock was set meanwhile
        if best is None or round_trip < best[0]:
            best = (round_trip, round(server - (before + after) / 2))
        if round_trip <= GOOD_ROUND_TRIP_MS:
            break
    assert best is not None
    offset, now = best[1], local_ms()
    if abs(offset) > WARN_MS:
        logger.warning("The local clock differs from the exchange's (%s) by %s ms", source.name, offset)
    _known[source.name] = _Known(offset, now, now, time.monotonic())
    _write(source, offset, now)
    return offset


def distrust(source: Source) -> None:
    """Have the offset measured anew by whoever needs it next, in all processes (after a -1021)."""
    known = _known.get(source.name) or _read(source)
    if known is not None:
        _known[source.name] = replace(known, measured_at_ms=0)
        _write(source, known.offset_ms, 0)


def forget_process_state() -> None:
    """Drop what this process remembers (for tests)."""
    _known.clear()
    _failed_at.clear()


def _is_fresh(known: _Known, max_age_seconds: float) -> bool:
    return abs(local_ms() - known.measured_at_ms) <= max_age_seconds * 1000


def _local_clock_was_set(known: _Known) -> bool:
    if settings.CLOCK == "stepped":
        return False  # a replay's clock leaps by design, and the exchange's with it
    passed_ms = (time.monotonic() - known.seen_monotonic) * 1000
    return abs(local_ms() - known.seen_local_ms - passed_ms) > STEP_MS


def _key(source: Source) -> str:
    return f"clock:offset:{source.name}:{MACHINE}"


def _read(source: Source) -> _Known | None:
    try:
        text = read_value(_key(source))
        stored = json.loads(text or "")
        return _Known(int(stored["offset_ms"]), int(stored["measured_at_ms"]), local_ms(), time.monotonic())
    except (RedisDown, ValueError, TypeError, KeyError):
        return None


def _write(source: Source, offset: int, measured_at_ms: int) -> None:
    text = json.dumps({"offset_ms": offset, "measured_at_ms": measured_at_ms})
    try:
        with_redis(lambda r: r.set(_key(source), text))
    except RedisDown:
        return
