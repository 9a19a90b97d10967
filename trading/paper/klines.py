"""Candles of every interval out of base candles, and the rows in which /klines shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from trading.paper.market import Bars, FloatArray, IntArray, Market

MINUTE_MS = 60_000
DAY_MS = 86_400_000
WEEK_OFFSET_MS = 4 * DAY_MS  # 1970-01-01 was a Thursday; Binance's weeks start on Monday
FIXED_INTERVALS = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
}
INTERVALS = ("1s", *FIXED_INTERVALS, "1M")
LONGEST_MONTH_MS = 31 * DAY_MS
NO_BARS = Bars(np.empty(0, np.int64), *(np.empty(0) for _ in range(5)))


@dataclass(frozen=True, slots=True)
class Interval:
    """How one interval cuts time: `start_of` maps open times of base candles to those of its candles."""

    name: str
    longest_ms: int
    start_of: Callable[[IntArray], IntArray]
    next_after: Callable[[int], int]


def interval_of(name: str) -> Interval | None:
    """The interval with this case-sensitive name, None if there is none."""
    if name == "1M":
        return Interval(name, LONGEST_MONTH_MS, _month_starts, _next_month)
    length = 1000 if name == "1s" else FIXED_INTERVALS.get(name)
    if length is None:
        return None
    offset = WEEK_OFFSET_MS if name == "1w" else 0

    def start_of(times: IntArray) -> IntArray:
        starts: IntArray = (times - offset) // length * length + offset
        return starts

    return Interval(name, length, start_of, lambda start: start + length)


def _month_starts(times: IntArray) -> IntArray:
    months = times.astype("datetime64[ms]").astype("datetime64[M]")
    starts: IntArray = months.astype("datetime64[ms]").astype(np.int64)
    return starts


def _next_month(start_ms: int) -> int:
    start = datetime.fromtimestamp(start_ms / 1000, UTC)
    year, month = divmod(start.year * 12 + start.month, 12)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp() * 1000)


def klines(
    market: Market,
    symbol: str,
    interval: Interval,
    now_ms: int,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    limit: int = 500,
) -> Bars:
    """At most `limit` candles, oldest first, the one that is still open last, none that opens after `now_ms`.

    With `start_ms` the oldest from there on, otherwise the latest ones up to `end_ms` (rest-api.md). Holes
    have no candle, so the time looked at grows until there are enough or there is nothing left.
    """
    last = now_ms if end_ms is None else min(now_ms, end_ms)
    first = int(interval.start_of(np.array([market.first_ms(symbol)], dtype=np.int64))[0])
    span = (limit + 1) * interval.longest_ms
    if last < first or (start_ms is not None and start_ms > last):
        return NO_BARS
    while True:
        if start_ms is not None:
            low, high = max(start_ms, first), min(last, max(start_ms, first) + span)
        else:
            low, high = max(first, last - span), last
        found = _between(market, symbol, interval, now_ms, low, high)
        whole = high >= last if start_ms is not None else low <= first
        if len(found) >= limit or whole:
            break
        span *= 4
    return _part(found, slice(0, limit) if start_ms is not None else slice(-limit, None))


def _between(market: Market, symbol: str, interval: Interval, now_ms: int, low: int, high: int) -> Bars:
    """The candles of the interval whose open time lies in [low, high]."""
    start = int(interval.start_of(np.array([low], dtype=np.int64))[0])
    if start < low:
        start = interval.next_after(start)
    stop = interval.next_after(int(interval.start_of(np.array([high], dtype=np.int64))[0]))
    if interval.name == "1s":
        return second_bars(market, symbol, start, min(stop, now_ms + 1), now_ms)
    base = base_bars(market, symbol, start, min(stop, now_ms + 1), now_ms)
    return aggregate(base, interval)


def base_bars(market: Market, symbol: str, start_ms: int, end_ms: int, now_ms: int) -> Bars:
    """Base candles with start <= open time < end; the one that `now_ms` falls into as far as it has come."""
    bars = market.bars(symbol, start_ms, end_ms)
    base = market.base_ms(symbol)
    if len(bars) == 0 or int(bars.open_ms[-1]) + base <= now_ms:
        return bars
    open_ms = int(bars.open_ms[-1])
    path = market.points(symbol, open_ms)
    price = market.price(symbol, now_ms)
    assert path is not None  # there is a candle at now
    assert price is not None
    times, prices = path
    seen = np.append(prices[times <= now_ms], price)
    share = (now_ms - open_ms) / base
    changed = {"high": seen.max(), "low": seen.min(), "close": price, "volume": bars.volume[-1] * share}
    columns = {name: getattr(bars, name).copy() for name in ("open", *changed)}
    for name, value in changed.items():
        columns[name][-1] = value
    return Bars(open_ms=bars.open_ms, **columns)


def second_bars(market: Market, symbol: str, start_ms: int, end_ms: int, now_ms: int) -> Bars:
    """Candles of one second, read off the path between knots. Their volume is a constant."""
    base = market.base_ms(symbol)
    seconds: list[tuple[float, ...]] = []
    for open_ms in range(start_ms, end_ms, 1000):
        path = market.points(symbol, open_ms - open_ms % base)
        start, end = market.price(symbol, open_ms), market.price(symbol, min(now_ms, open_ms + 1000))
        if path is None or start is None or end is None:
            continue
        times, prices = path
        inside = prices[(times > open_ms) & (times < min(now_ms, open_ms + 1000))].tolist()
        seconds.append((open_ms, start, max(start, end, *inside), min(start, end, *inside), end))
    table = np.array(seconds, dtype=np.float64).reshape(-1, 5)
    first, high, low, last = (np.ascontiguousarray(table[:, place]) for place in range(1, 5))
    return Bars(table[:, 0].astype(np.int64), first, high, low, last, np.ones(table.shape[0]))


def aggregate(bars: Bars, interval: Interval) -> Bars:
    """Candles of a longer interval. A candle with a hole in it is made of what there is."""
    if len(bars) == 0:
        return bars
    starts = interval.start_of(bars.open_ms)
    heads = np.flatnonzero(np.append(True, starts[1:] != starts[:-1]))
    tails = np.append(heads[1:], len(bars)) - 1
    return Bars(
        starts[heads],
        bars.open[heads],
        np.maximum.reduceat(bars.high, heads),
        np.minimum.reduceat(bars.low, heads),
        bars.close[tails],
        np.add.reduceat(bars.volume, heads),
    )


def _part(bars: Bars, part: slice) -> Bars:
    return Bars(
        bars.open_ms[part],
        bars.open[part],
        bars.high[part],
        bars.low[part],
        bars.close[part],
        bars.volume[part],
    )


def rows(bars: Bars, interval: Interval) -> list[list[Any]]:
    """The twelve columns of GET /api/v3/klines. Trades and taker volumes are plausible, not traded."""
    typical = _typical(bars)
    columns = (bars.open_ms, bars.open, bars.high, bars.low, bars.close, bars.volume, typical)
    return [
        [
            open_ms,
            f"{first:.8f}",
            f"{high:.8f}",
            f"{low:.8f}",
            f"{last:.8f}",
            f"{volume:.8f}",
            interval.next_after(open_ms) - 1,
            f"{volume * price:.8f}",
            1 + int(volume * price / 400),
            f"{volume / 2:.8f}",
            f"{volume * price / 2:.8f}",
            "0",
        ]
        for open_ms, first, high, low, last, volume, price in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def _typical(bars: Bars) -> FloatArray:
    middle: FloatArray = (bars.high + bars.low + bars.close) / 3.0
    return middle
