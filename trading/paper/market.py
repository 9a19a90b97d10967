"""The synthetic market: every price is a pure function of (seed, symbol, time), so any past exists unstored.

The logarithm of the price is a Brownian bridge in Lévy's construction: a sum of tents, one for each power of
two of minutes, with a height drawn from a hash of (seed, symbol, level, place). At whole minutes the
increments are those of a random walk; inside a minute the same construction goes on down to 3.75 s, and
between those knots the price moves in a straight line. A candle is read off that path: it opens where the
last one closed.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trading.paper.symbols import SymbolSpec

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
HashArray = NDArray[np.uint64]

MINUTE_MS = 60_000
TOP_LEVEL = 17  # the bridge spans 2**17 minutes, 91 days
INNER_LEVELS = 4  # and is drawn down to 1/16 minute
KNOTS = 2**INNER_LEVELS
KNOT_MS = MINUTE_MS // KNOTS
LISTED_MS = 1_577_836_800_000  # 2020-01-01: no candle before this
CHUNK_MINUTES = 4096  # what a processor's cache holds
_VOLUME_LEVEL = 40
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LOW_32 = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Bars:
    """Complete base candles, oldest first; all arrays have shape (n,), prices in quote units."""

    open_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __len__(self) -> int:
        return int(self.open_ms.shape[0])


@dataclass(frozen=True, slots=True)
class Touch:
    """The first moment at which a price reached one of two thresholds."""

    at_ms: int
    price: float


class Market(Protocol):
    """What the exchange asks of a market. Times are server milliseconds; nothing depends on "now"."""

    specs: dict[str, SymbolSpec]

    def base_ms(self, symbol: str) -> int:
        """The length of the candles that `bars` gives."""

    def first_ms(self, symbol: str) -> int:
        """The open time of the oldest candle."""

    def bars(self, symbol: str, start_ms: int, end_ms: int) -> Bars:
        """The complete candles with start <= open time < end, future ones too; holes stay holes."""

    def points(self, symbol: str, open_ms: int) -> tuple[IntArray, FloatArray] | None:
        """The path of the candle that opens at `open_ms`: times and prices of its knots, ends included."""

    def price(self, symbol: str, at_ms: int) -> float | None:
        """The last traded price, None before the first trade."""

    def prices(self, at_ms: int) -> dict[str, float]:
        """The last traded prices of all symbols that had a trade."""

    def first_touch(self, symbol: str, from_ms: int, until_ms: int, down: float, up: float) -> Touch | None:
        """The first moment in [from, until] with price <= down or price >= up, None if there is none."""


def seed_of(seed: int, symbol: str) -> np.uint64:
    """64 bits that stand for (seed, symbol)."""
    digest = hashlib.sha256(f"{seed}:{symbol}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def _mix(x: HashArray) -> HashArray:
    """splitmix64's finaliser: every bit of the input moves every bit of the output."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def _hash(seeds: HashArray, level: int, index: IntArray) -> HashArray:
    with np.errstate(over="ignore"):
        salt = seeds + np.uint64(level + 64) * _MIX_1
        return _mix(_mix(salt) ^ (index.astype(np.uint64) * _GOLDEN))


def _noise(seeds: HashArray, level: int, index: IntArray) -> FloatArray:
    """Triangular noise with mean 0 and variance 1, a pure function of its arguments."""
    bits = _hash(seeds, level, index)
    total = (bits >> np.uint64(32)).astype(np.float64) + (bits & _LOW_32).astype(np.float64)
    result: FloatArray = (total / 2.0**32 - 1.0) * math.sqrt(6.0)
    return result


class SyntheticMarket:
    """Implements Market for a list of symbols and a seed."""

    def __init__(self, specs: Iterable[SymbolSpec], seed: int = 1) -> None:
        self.specs = {spec.symbol: spec for spec in specs}
        self._rows = {symbol: row for row, symbol in enumerate(self.specs)}
        listed = list(self.specs.values())
        self._seeds = np.array([seed_of(seed, spec.symbol) for spec in listed], dtype=np.uint64)
        self._sigma = np.array([spec.volatility for spec in listed])
        self._log_start = np.log(np.array([spec.start_price for spec in listed]))
        self._scale = np.array([10.0**spec.price_decimals for spec in listed])
        self._minute_cache: OrderedDict[int, FloatArray] = OrderedDict()

    def base_ms(self, symbol: str) -> int:
        """One minute."""
        return MINUTE_MS

    def first_ms(self, symbol: str) -> int:
        """The day all symbols were listed."""
        return LISTED_MS

    def bars(self, symbol: str, start_ms: int, end_ms: int) -> Bars:
        """See Market. Computed in chunks, so that years fit in memory."""
        first = max(start_ms, LISTED_MS) // MINUTE_MS
        first += 1 if first * MINUTE_MS < start_ms else 0
        last = -(-end_ms // MINUTE_MS)
        chunks = [
            self._chunk(symbol, minute, min(last, minute + CHUNK_MINUTES))
            for minute in range(first, max(first, last), CHUNK_MINUTES)
        ]
        if len(chunks) == 1:
            return chunks[0]
        if not chunks:
            return Bars(np.empty(0, np.int64), *(np.empty(0) for _ in range(5)))
        columns = ("open_ms", "open", "high", "low", "close", "volume")
        return Bars(*(np.concatenate([getattr(part, name) for part in chunks]) for name in columns))

    def points(self, symbol: str, open_ms: int) -> tuple[IntArray, FloatArray] | None:
        """See Market: 17 knots, 3.75 s apart."""
        if open_ms < LISTED_MS:
            return None
        minute = open_ms // MINUTE_MS
        times = minute * MINUTE_MS + np.arange(KNOTS + 1, dtype=np.int64) * KNOT_MS
        return times, self._minute(minute)[self._rows[symbol]]

    def price(self, symbol: str, at_ms: int) -> float | None:
        """See Market."""
        if at_ms < LISTED_MS:
            return None
        row = self._rows[symbol]
        return self._between(self._minute(at_ms // MINUTE_MS)[row], at_ms, self._scale[row])

    def prices(self, at_ms: int) -> dict[str, float]:
        """See Market."""
        if at_ms < LISTED_MS:
            return {}
        knots = self._minute(at_ms // MINUTE_MS)
        return {
            symbol: self._between(knots[row], at_ms, self._scale[row]) for symbol, row in self._rows.items()
        }

    def first_touch(self, symbol: str, from_ms: int, until_ms: int, down: float, up: float) -> Touch | None:
        """See Market."""
        return search_touch(self, symbol, from_ms, until_ms, down, up)

    @staticmethod
    def _between(knots: FloatArray, at_ms: int, scale: float) -> float:
        place, rest = divmod(at_ms % MINUTE_MS, KNOT_MS)
        low, high = float(knots[place]), float(knots[place + 1])
        return float(round((low + (high - low) * (rest / KNOT_MS)) * scale) / scale)

    def _minute(self, minute: int) -> FloatArray:
        """Prices of all symbols at the knots of one minute, shape (symbols, 17)."""
        cached = self._minute_cache.get(minute)
        if cached is None:
            paths = self._paths(slice(None), np.array([minute], dtype=np.int64))
            cached = self._prices(slice(None), paths)[:, 0, :]
            self._minute_cache[minute] = cached
            if len(self._minute_cache) > 64:
                self._minute_cache.popitem(last=False)
        return cached

    def _chunk(self, symbol: str, first: int, last: int) -> Bars:
        row = self._rows[symbol]
        rows = slice(row, row + 1)
        minutes = np.arange(first, last, dtype=np.int64)
        paths = self._paths(rows, minutes)
        # rounding keeps the order, so the extremes of the path are those of the prices
        turns = (paths[:, :, 0], paths.max(axis=2), paths.min(axis=2), paths[:, :, -1])
        opens, highs, lows, closes = self._prices(rows, np.stack(turns))[:, 0, :]
        spec = self.specs[symbol]
        move = np.abs(closes / opens - 1.0) / spec.volatility
        chance = (_hash(self._seeds[row], _VOLUME_LEVEL, minutes) >> np.uint64(11)) / 2.0**53
        turnover = spec.turnover * (0.15 + 1.5 * chance**3) * (1.0 + move)
        volume = np.maximum(np.rint(turnover / opens / float(spec.lot)), 1.0) * float(spec.lot)
        return Bars(minutes * MINUTE_MS, opens, highs, lows, closes, volume)

    def _paths(self, rows: slice, minutes: IntArray) -> FloatArray:
        """The bridge at the 17 knots of each minute, in volatilities; shape (symbols, minutes, 17)."""
        seeds = self._seeds[rows, None]
        share = np.arange(KNOTS + 1) / KNOTS
        left, right = self._walk(seeds, minutes), self._walk(seeds, minutes + 1)
        paths: FloatArray = left[:, :, None] + (right - left)[:, :, None] * share
        paths[:, :, -1] = right
        for level in range(INNER_LEVELS):
            parts = 2**level
            index = minutes[:, None] * parts + np.arange(parts, dtype=np.int64)
            heights = _noise(seeds[:, :, None], -level, index[None, :, :]) * (math.sqrt(1.0 / parts) / 2.0)
            tent = 1.0 - np.abs(2.0 * np.arange(KNOTS // parts) * parts / KNOTS - 1.0)
            shape = (*paths.shape[:2], parts, KNOTS // parts)
            paths[:, :, :-1] += (heights[:, :, :, None] * tent).reshape(*shape[:2], KNOTS)
        return paths

    def _prices(self, rows: slice, paths: FloatArray) -> FloatArray:
        """Prices on the tick, at least one tick, for values of the bridge."""
        scale = self._scale[rows, None, None]
        logs = self._log_start[rows, None, None] + self._sigma[rows, None, None] * paths
        result: FloatArray = np.maximum(np.rint(np.exp(logs) * scale), 1.0) / scale
        return result

    def _walk(self, seeds: HashArray, minutes: IntArray) -> FloatArray:
        """The bridge at whole minutes in units of the volatility, shape (symbols, minutes)."""
        span = np.uint64(2**TOP_LEVEL)
        places = minutes[None, :] + (seeds % span).astype(np.int64)
        total = np.zeros(places.shape)
        for level in range(1, TOP_LEVEL + 1):
            index = places >> level
            low = int(index[0, 0])
            if index.shape[0] == 1:  # one symbol, minutes in a row: few places, each hashed once
                drawn = _noise(seeds, level, np.arange(low, int(index[0, -1]) + 1)[None, :])
                heights = drawn[:, index[0] - low]
            else:
                heights = _noise(seeds, level, index)
            within = (places & (2**level - 1)) / 2.0**level
            total += heights * (math.sqrt(2.0**level) / 2.0) * (1.0 - np.abs(2.0 * within - 1.0))
        return total


def touch_on_path(
    times: IntArray, prices: FloatArray, from_ms: int, until_ms: int, down: float, up: float
) -> Touch | None:
    """The first touch on one candle's path within [from, until]; between two knots the threshold itself."""
    start, stop = max(from_ms, int(times[0])), min(until_ms, int(times[-1]))
    if start > stop:
        return None
    inside = times[(times > start) & (times < stop)]
    moments = [start, *inside.tolist(), stop]
    path = np.interp(moments, times, prices).tolist()
    if path[0] <= down or path[0] >= up:
        return Touch(start, path[0])
    for place in range(1, len(path)):
        before, after = path[place - 1], path[place]
        threshold = down if after <= down else up if after >= up else None
        if threshold is not None:
            share = (threshold - before) / (after - before)
            span = moments[place] - moments[place - 1]
            return Touch(moments[place - 1] + math.ceil(span * share), threshold)
    return None


def search_touch(
    market: Market, symbol: str, from_ms: int, until_ms: int, down: float, up: float
) -> Touch | None:
    """First touch: over a long time by candles first, then on the paths of those whose range reaches it."""
    base = market.base_ms(symbol)
    first = from_ms - from_ms % base
    if until_ms - first <= 4 * base:
        opens = list(range(first, until_ms + 1, base))
    else:
        bars = market.bars(symbol, first, until_ms + 1)
        opens = bars.open_ms[(bars.low <= down) | (bars.high >= up)].tolist()
    for open_ms in opens:
        path = market.points(symbol, open_ms)
        if path is not None:
            touch = touch_on_path(*path, from_ms, until_ms, down, up)
            if touch is not None:
                return touch
    return None
