"""The replayed market: recorded candles from CSV files, shifted by whole days or as they are."""

from __future__ import annotations

import csv
import gzip
import io
from decimal import Decimal
from pathlib import Path

import numpy as np

from trading.paper.klines import FIXED_INTERVALS
from trading.paper.market import Bars, FloatArray, IntArray, Touch, search_touch
from trading.paper.symbols import PRICES, SymbolSpec, make_spec

DAY_MS = 86_400_000
COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume")
UNRANKED = 48  # a symbol of the middle field, with every order type
QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR", "TRY")


class CandlesRefused(ValueError):
    """Raised when a folder or file of candles cannot be replayed; the text names the file and the line."""


def load_folder(folder: Path) -> ReplayMarket:
    """Read every SYMBOL-INTERVAL.csv[.gz] in `folder`; of several intervals of a symbol the finest counts.

    Raises CandlesRefused when there is none, or one has a wrong name, header or row.
    """
    if not folder.is_dir():
        raise CandlesRefused(f"{folder} is not a folder")
    found: dict[str, tuple[int, Path]] = {}
    for path in sorted(folder.iterdir()):
        if not path.name.endswith((".csv", ".csv.gz")):
            continue
        symbol, interval_ms = _parse_name(path)
        if symbol not in found or interval_ms < found[symbol][0]:
            found[symbol] = (interval_ms, path)
    if not found:
        raise CandlesRefused(f"{folder} has no files named like BTCUSDT-1m.csv.gz")
    series = {symbol: _read(path, base_ms) for symbol, (base_ms, path) in found.items()}
    return ReplayMarket(series)


def _parse_name(path: Path) -> tuple[str, int]:
    symbol, _, interval = path.name.removesuffix(".gz").removesuffix(".csv").rpartition("-")
    if not symbol or interval not in FIXED_INTERVALS:
        raise CandlesRefused(f"{path.name}: the name must be SYMBOL-INTERVAL.csv or .csv.gz")
    return symbol, FIXED_INTERVALS[interval]


class Series:
    """The candles of one symbol as recorded, and how many decimals its prices have."""

    def __init__(self, base_ms: int, bars: Bars, decimals: int) -> None:
        self.base_ms = base_ms
        self.bars = bars
        self.decimals = decimals


def _read(path: Path, base_ms: int) -> Series:
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CandlesRefused(f"{path.name}: cannot be read ({error})") from error
    header, _, body = text.partition("\n")
    if tuple(header.strip().split(",")) != COLUMNS:
        raise CandlesRefused(f"{path.name}: the first line must be {','.join(COLUMNS)}")
    try:
        table = np.loadtxt(io.StringIO(body), delimiter=",", ndmin=2)
    except ValueError as error:
        raise CandlesRefused(f"{path.name}: {error}") from error
    if table.shape[0] == 0 or table.shape[1] != len(COLUMNS):
        raise CandlesRefused(f"{path.name}: no candles in it")
    opens = table[:, 0].astype(np.int64)
    if np.any(np.diff(opens) <= 0) or np.any(opens % base_ms):
        raise CandlesRefused(f"{path.name}: open times must rise and be multiples of the interval")
    if not np.all(np.isfinite(table)) or np.any(table[:, 1:5] <= 0):
        raise CandlesRefused(f"{path.name}: prices must be positive numbers")
    columns = [np.ascontiguousarray(table[:, place]) for place in range(1, 6)]
    return Series(base_ms, Bars(opens, *columns), _decimals(body))


def _decimals(body: str) -> int:
    """The most decimals that a price of the first thousand rows has, between 2 and 8."""
    rows = csv.reader(io.StringIO(body[:100_000]))
    prices = (value for row in list(rows)[:1000] for value in row[1:5])
    exponents = (-int(Decimal(price).normalize().as_tuple().exponent) for price in prices)
    return min(8, max(2, *exponents))


def _spec_for(symbol: str, series: Series) -> SymbolSpec:
    quote = next((quote for quote in QUOTES if symbol.endswith(quote)), symbol[-4:])
    base = symbol.removesuffix(quote)
    names = list(PRICES)
    rank = names.index(base) if base in names else UNRANKED
    price = float(series.bars.close[-1])
    return make_spec(base, quote, price, rank=rank, price_decimals=series.decimals)


class ReplayMarket:
    """Implements Market for recorded candles. Holes in the files are holes; the last price stands in them.

    Inside a candle the price goes in straight lines: open, then the extreme against the candle's direction,
    the other extreme, close; each leg a third of the candle.
    """

    def __init__(self, series: dict[str, Series], *, shift_days: int = 0) -> None:
        self._series = series
        self.shift_days = shift_days
        shift = shift_days * DAY_MS
        self._base = {symbol: one.base_ms for symbol, one in series.items()}
        self._bars = {symbol: _shifted(one.bars, shift) for symbol, one in series.items()}
        specs = [_spec_for(symbol, one) for symbol, one in series.items()]
        names = list(PRICES)
        specs.sort(key=lambda spec: names.index(spec.base) if spec.base in names else len(names))
        self.specs = {spec.symbol: spec for spec in specs}

    def shifted(self, days: int) -> ReplayMarket:
        """The same recordings, `days` later than recorded."""
        return ReplayMarket(self._series, shift_days=days)

    @property
    def last_ms(self) -> int:
        """When the longest recording ends."""
        return max(int(bars.open_ms[-1]) + self._base[symbol] for symbol, bars in self._bars.items())

    @property
    def start_ms(self) -> int:
        """When the first recording starts."""
        return min(int(bars.open_ms[0]) for bars in self._bars.values())

    def base_ms(self, symbol: str) -> int:
        """The interval of the symbol's file."""
        return self._base[symbol]

    def first_ms(self, symbol: str) -> int:
        """See Market."""
        return int(self._bars[symbol].open_ms[0])

    def bars(self, symbol: str, start_ms: int, end_ms: int) -> Bars:
        """See Market."""
        bars = self._bars[symbol]
        low, high = np.searchsorted(bars.open_ms, [start_ms, end_ms])
        part = slice(int(low), int(high))
        return Bars(
            bars.open_ms[part],
            bars.open[part],
            bars.high[part],
            bars.low[part],
            bars.close[part],
            bars.volume[part],
        )

    def points(self, symbol: str, open_ms: int) -> tuple[IntArray, FloatArray] | None:
        """See Market: four knots, none in a hole."""
        bars = self._bars[symbol]
        place = int(np.searchsorted(bars.open_ms, open_ms))
        if place == len(bars) or bars.open_ms[place] != open_ms:
            return None
        base = self._base[symbol]
        times = open_ms + np.array([0, base // 3, 2 * base // 3, base], dtype=np.int64)
        first, last = float(bars.open[place]), float(bars.close[place])
        low, high = float(bars.low[place]), float(bars.high[place])
        turns = (low, high) if last >= first else (high, low)
        return times, np.array([first, *turns, last])

    def price(self, symbol: str, at_ms: int) -> float | None:
        """See Market. In a hole and behind the end it is the last close."""
        bars, base = self._bars[symbol], self._base[symbol]
        place = int(np.searchsorted(bars.open_ms, at_ms, side="right")) - 1
        if place < 0:
            return None
        open_ms = int(bars.open_ms[place])
        if at_ms >= open_ms + base:
            return float(bars.close[place])
        path = self.points(symbol, open_ms)
        assert path is not None  # the candle is there
        scale = 10 ** self.specs[symbol].price_decimals
        return float(round(float(np.interp(at_ms, *path)) * scale) / scale)

    def prices(self, at_ms: int) -> dict[str, float]:
        """See Market."""
        found = {symbol: self.price(symbol, at_ms) for symbol in self.specs}
        return {symbol: price for symbol, price in found.items() if price is not None}

    def first_touch(self, symbol: str, from_ms: int, until_ms: int, down: float, up: float) -> Touch | None:
        """See Market. A price that stands in a hole or behind the end counts at `from`."""
        price = self.price(symbol, from_ms)
        if price is not None and (price <= down or price >= up):
            return Touch(from_ms, price)
        return search_touch(self, symbol, from_ms, until_ms, down, up)


def _shifted(bars: Bars, shift_ms: int) -> Bars:
    return Bars(bars.open_ms + shift_ms, bars.open, bars.high, bars.low, bars.close, bars.volume)


def days_until_future(market: ReplayMarket, now_ms: int) -> int:
    """The smallest whole number of days by which unshifted files must move to end in the future."""
    return max(0, -(-(now_ms + 1 - market.last_ms) // DAY_MS))
