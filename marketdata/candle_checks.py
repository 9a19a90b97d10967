"""Which of the exchange's candles are taken, and how they join what is there. Pure: `now` is an argument."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from marketdata.intervals import MONTH, following_open_ms, interval_ms, is_aligned
from marketdata.types import Candles

JUMP = 10.0  # a price this many times the last accepted close, or this part of it, is not believed at once
CONFIRMATIONS = 2  # how often the exchange must repeat such a candle ...
CONFIRM_GAP = timedelta(seconds=20)  # ... at least this far apart

LAST_MS = 4_102_444_800_000  # 2100-01-01: a time beyond it is no candle's

Bar = tuple[int, float, float, float, float, float]  # open time in ms, open, high, low, close, volume


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candle that was not taken, and why, in a sentence."""

    open_time_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing candles: from the open time of the first to that of the next present one, in ms."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A price level that jumped and has not come back; `seen` counts looks at least CONFIRM_GAP apart."""

    open_time_ms: int
    close: float
    seen: int
    last_seen: datetime

    @property
    def is_confirmed(self) -> bool:
        """Whether the exchange has repeated it often enough for it to be the truth."""
        return self.seen > CONFIRMATIONS


@dataclass(frozen=True, slots=True)
class Checked:
    """What check_rows() took. `suspect` is (open time, close) of the candle from which on all were refused
    for a jump; it is None when the series came back to its old level, or never jumped."""

    candles: Candles
    rejections: tuple[Rejection, ...]
    suspect: tuple[int, float] | None


def check_rows(
    rows: Sequence[Any],
    interval: str,
    server_ms: int,
    *,
    previous_close: float | None = None,
    trusted: tuple[int, float] | None = None,
) -> Checked:
    """The closed, sane candles of a klines answer, sorted, each once (of two the later row counts).

    A candle is closed when its close time is before the exchange's time `server_ms`; an open one is left out
    silently, a broken one with a reason. A candle with a price more than JUMP times off the last accepted
    close is refused too (a first candle has `previous_close` to compare with), unless it is `trusted`.
    """
    bars: dict[int, Bar] = {}
    rejections: list[Rejection] = []
    for row in rows:
        bar, close_ms, reason = _read(row, interval)
        if 0 < bar[0] < LAST_MS and following_open_ms(bar[0], interval) > server_ms:
            continue
        if reason:
            rejections.append(Rejection(bar[0], reason))
        elif close_ms < server_ms:
            bars[bar[0]] = bar
    taken: list[Bar] = []
    suspect: tuple[int, float] | None = None
    for bar in (bars[open_ms] for open_ms in sorted(bars)):
        identity = (bar[0], bar[4])
        if previous_close is None or identity == trusted or not _jumps(bar, previous_close):
            taken.append(bar)
            previous_close, suspect = bar[4], None
        else:
            suspect = suspect or identity
            rejections.append(
                Rejection(
                    bar[0],
                    f"The price jumped from {previous_close:.8g} to {bar[2]:.8g} / {bar[3]:.8g} "
                    "(high / low); it counts once the exchange has repeated it twice.",
                )
            )
    return Checked(from_bars(taken, interval), tuple(rejections), suspect)


def look_again(before: Suspicion | None, suspect: tuple[int, float], now: datetime) -> Suspicion:
    """The suspicion after one more look at `suspect`; another candle or price starts the count anew."""
    if before is None or (before.open_time_ms, before.close) != suspect:
        return Suspicion(*suspect, seen=1, last_seen=now)
    if now - before.last_seen < CONFIRM_GAP:
        return before
    return Suspicion(*suspect, seen=before.seen + 1, last_seen=now)


def from_bars(bars: Sequence[Bar], interval: str) -> Candles:
    """The candles of sorted, unique bars."""
    columns = np.array([bar[1:] for bar in bars], dtype=np.float64).reshape(len(bars), 5)
    times = np.array([bar[0] for bar in bars], dtype=np.int64)
    return _with_clean_since(times, np.ascontiguousarray(columns.T), interval)


def join(old: Candles | None, new: Candles, interval: str, keep: int) -> Candles:
    """`old` and `new` in one series, sorted, the newer row winning, the last `keep` candles of it."""
    if old is None or not len(old):
        times, columns = new.open_time_ms, _columns(new)
    else:
        times = np.concatenate((new.open_time_ms, old.open_time_ms))
        columns = np.concatenate((_columns(new), _columns(old)), axis=1)
        times, first_at = np.unique(times, return_index=True)  # of equals the first: the new one
        columns = columns[:, first_at]
    return _with_clean_since(times[-keep:], np.ascontiguousarray(columns[:, -keep:]), interval)


def gaps(candles: Candles, interval: str) -> tuple[Gap, ...]:
    """The holes between the candles, oldest first."""
    times = candles.open_time_ms
    return tuple(
        Gap(following_open_ms(int(times[at]), interval), int(times[at + 1]))
        for at in _gap_indexes(times, interval)
    )


def since(candles: Candles, open_ms: int, interval: str) -> Candles:
    """The candles that open at `open_ms` or later."""
    first = int(np.searchsorted(candles.open_time_ms, open_ms))
    return _with_clean_since(candles.open_time_ms[first:], _columns(candles)[:, first:], interval)


def _read(row: Any, interval: str) -> tuple[Bar, int, str]:
    """The bar of a kline row, its close time in ms, and why it is refused ("" if not)."""
    try:
        open_ms, close_ms = int(row[0]), int(row[6])
        bar: Bar = (open_ms, *(float(row[at]) for at in (1, 2, 3, 4, 5)))  # type: ignore[assignment]
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return (0, 0.0, 0.0, 0.0, 0.0, 0.0), 0, f"The row is no candle: {str(row)[:80]}."
    return bar, close_ms, _fault(bar, close_ms, interval)


def _fault(bar: Bar, close_ms: int, interval: str) -> str:
    open_ms, opened, high, low, closed, volume = bar
    if not 0 < open_ms < LAST_MS or close_ms <= open_ms or not is_aligned(open_ms, interval):
        return f"The candle's times are no {interval} candle's: {open_ms} to {close_ms}."
    if not all(math.isfinite(value) for value in bar):
        return "A price or the volume is not a number."
    if min(opened, high, low, closed) <= 0 or volume < 0:
        return "A price is not above 0, or the volume is negative."
    if high < max(opened, low, closed) or low > min(opened, closed):
        return f"High {high:.8g} and low {low:.8g} do not enclose open and close."
    return ""


def _jumps(bar: Bar, previous_close: float) -> bool:
    return bar[2] > previous_close * JUMP or bar[3] * JUMP < previous_close


def _columns(candles: Candles) -> np.ndarray:
    return np.stack((candles.open, candles.high, candles.low, candles.close, candles.volume))


def _gap_indexes(times: np.ndarray, interval: str) -> list[int]:
    """Where, in `times`, a hole follows."""
    if interval == MONTH:
        pairs = zip(times[:-1].tolist(), times[1:].tolist(), strict=True)
        return [at for at, (one, two) in enumerate(pairs) if following_open_ms(one, MONTH) != two]
    return [int(at) for at in np.flatnonzero(np.diff(times) != interval_ms(interval))]


def _with_clean_since(times: np.ndarray, columns: np.ndarray, interval: str) -> Candles:
    holes = _gap_indexes(times, interval)
    opened, high, low, closed, volume = columns
    clean_since = holes[-1] + 1 if holes else 0
    return Candles(interval_ms(interval), times, opened, high, low, closed, volume, clean_since)
