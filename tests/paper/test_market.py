"""The synthetic market is a pure function, and moves like a market."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from trading.paper.klines import INTERVALS, aggregate, interval_of, klines
from trading.paper.market import KNOT_MS, MINUTE_MS, SyntheticMarket
from trading.paper.overlay import OverlayMarket
from trading.paper.symbols import default_symbols

NOW_MS = 1_790_000_040_000
SYMBOLS = ("BTCUSDT", "SOLUSDT", "PEPEUSDT", "币安人生USDT")


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket(default_symbols(), seed=1)


def test_any_two_questions_about_a_minute_agree(market: SyntheticMarket) -> None:
    other = SyntheticMarket(default_symbols(), seed=1)
    for symbol in SYMBOLS:
        long = market.bars(symbol, NOW_MS - 10_000 * MINUTE_MS, NOW_MS)
        for start, length in ((9_000, 1), (4_090, 12), (1_000, 900), (3, 3)):
            first = NOW_MS - start * MINUTE_MS
            short = other.bars(symbol, first, first + length * MINUTE_MS)
            place = int(np.searchsorted(long.open_ms, first))
            for name in ("open_ms", "open", "high", "low", "close", "volume"):
                expected = getattr(long, name)[place : place + length]
                assert np.array_equal(getattr(short, name), expected), (symbol, name)


def test_each_candle_opens_where_the_last_one_closed(market: SyntheticMarket) -> None:
    for symbol in SYMBOLS:
        bars = market.bars(symbol, NOW_MS - 5_000 * MINUTE_MS, NOW_MS)
        assert np.array_equal(bars.open[1:], bars.close[:-1])
        assert np.all(bars.high >= np.maximum(bars.open, bars.close))
        assert np.all(bars.low <= np.minimum(bars.open, bars.close))
        assert np.all(bars.volume > 0)


def test_the_price_at_a_moment_lies_on_the_path_of_its_candle(market: SyntheticMarket) -> None:
    for symbol in SYMBOLS:
        bars = market.bars(symbol, NOW_MS - 3 * MINUTE_MS, NOW_MS)
        for place, open_ms in enumerate(bars.open_ms.tolist()):
            moments = range(open_ms, open_ms + MINUTE_MS + 1, KNOT_MS)
            prices = [market.price(symbol, at_ms) for at_ms in moments]
            assert prices[0] == bars.open[place]
            assert prices[-1] == bars.close[place]
            assert max(prices) == bars.high[place]
            assert min(prices) == bars.low[place]


def test_seeds_and_symbols_differ(market: SyntheticMarket) -> None:
    other = SyntheticMarket(default_symbols(), seed=2)
    closes = [
        one.bars(symbol, NOW_MS - 500 * MINUTE_MS, NOW_MS).close
        for one, symbol in itertools.product((market, other), ("BTCUSDT", "ETHUSDT"))
    ]
    moves = [np.diff(np.log(close)) for close in closes]
    for one, two in itertools.combinations(moves, 2):
        assert abs(float(np.corrcoef(one, two)[0, 1])) < 0.2


def test_minute_returns_are_a_random_walk_of_the_symbols_volatility(market: SyntheticMarket) -> None:
    close = market.bars("SOLUSDT", NOW_MS - 20_000 * MINUTE_MS, NOW_MS).close
    moves = np.diff(np.log(close))
    assert float(moves.std()) == pytest.approx(market.specs["SOLUSDT"].volatility, rel=0.03)
    assert abs(float(np.corrcoef(moves[1:], moves[:-1])[0, 1])) < 0.03
    assert 0.0005 <= market.specs["SOLUSDT"].volatility <= 0.001


def test_averages_cross_about_once_in_forty_minutes(market: SyntheticMarket) -> None:
    talib = pytest.importorskip("talib")
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        close = market.bars(symbol, NOW_MS - 20_000 * MINUTE_MS, NOW_MS).close
        above = talib.EMA(close, 9) > talib.EMA(close, 21)
        crosses = int(np.sum(above[1:] & ~above[:-1]))
        assert 30 <= 20_000 / crosses <= 55


def test_every_interval_is_made_of_its_minutes(market: SyntheticMarket) -> None:
    minutes = market.bars("BTCUSDT", NOW_MS - 20_000 * MINUTE_MS, NOW_MS)
    for name in ("3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"):
        interval = interval_of(name)
        assert interval is not None
        closed = klines(market, "BTCUSDT", interval, NOW_MS, limit=4)
        whole = aggregate(minutes, interval)
        assert np.array_equal(closed.open[:-1], whole.open[-4:-1]), name
        assert np.array_equal(closed.high[:-1], whole.high[-4:-1]), name
        assert np.all(closed.open_ms % interval.longest_ms == 0)


@pytest.mark.parametrize(
    ("name", "open_ms"),
    [
        ("1w", 1_789_948_800_000),  # Monday 2026-09-21
        ("1M", 1_788_220_800_000),  # 2026-09-01
        ("1d", 1_789_948_800_000),
    ],
)
def test_weeks_start_on_monday_and_months_on_the_first(
    market: SyntheticMarket, name: str, open_ms: int
) -> None:
    interval = interval_of(name)
    assert interval is not None
    assert klines(market, "BTCUSDT", interval, NOW_MS, limit=1).open_ms.tolist() == [open_ms]


def test_the_open_candle_is_last_and_becomes_the_final_one(market: SyntheticMarket) -> None:
    interval = interval_of("1m")
    assert interval is not None
    final = market.bars("BTCUSDT", NOW_MS, NOW_MS + MINUTE_MS)
    highs = []
    for second in range(0, 60, 5):
        last = klines(market, "BTCUSDT", interval, NOW_MS + second * 1000, limit=2)
        assert last.open_ms.tolist() == [NOW_MS - MINUTE_MS, NOW_MS]
        assert last.open[-1] == final.open[0]
        assert last.close[-1] == market.price("BTCUSDT", NOW_MS + second * 1000)
        seen = [market.price("BTCUSDT", NOW_MS + at) for at in range(0, second * 1000 + 1, 250)]
        assert (last.high[-1], last.low[-1]) == (max(seen), min(seen))
        highs.append(float(last.high[-1]))
    assert highs == sorted(highs)
    assert highs[-1] <= final.high[0]
    closed = klines(market, "BTCUSDT", interval, NOW_MS + MINUTE_MS, limit=2)
    assert closed.high[0] == final.high[0]


def test_seconds_add_up_to_the_minute(market: SyntheticMarket) -> None:
    interval = interval_of("1s")
    assert interval is not None
    minute = market.bars("BTCUSDT", NOW_MS - MINUTE_MS, NOW_MS)
    seconds = klines(market, "BTCUSDT", interval, NOW_MS, start_ms=NOW_MS - MINUTE_MS, limit=60)
    assert len(seconds) == 60
    assert seconds.open[0] == minute.open[0]
    assert float(seconds.high.max()) == minute.high[0]
    assert float(seconds.low.min()) == minute.low[0]
    assert "1s" in INTERVALS


def test_windows_of_klines_are_the_exchanges(market: SyntheticMarket) -> None:
    interval = interval_of("1m")
    assert interval is not None
    start = NOW_MS - 100 * MINUTE_MS
    oldest = klines(market, "BTCUSDT", interval, NOW_MS, start_ms=start + 1, limit=3)
    assert oldest.open_ms.tolist() == [start + k * MINUTE_MS for k in (1, 2, 3)]
    latest = klines(market, "BTCUSDT", interval, NOW_MS, end_ms=start, limit=3)
    assert latest.open_ms.tolist() == [start - 2 * MINUTE_MS, start - MINUTE_MS, start]
    both = klines(market, "BTCUSDT", interval, NOW_MS, start_ms=start, end_ms=start + MINUTE_MS, limit=9)
    assert both.open_ms.tolist() == [start, start + MINUTE_MS]
    future = klines(market, "BTCUSDT", interval, NOW_MS, start_ms=NOW_MS + MINUTE_MS)
    assert len(future) == 0


def test_the_first_touch_is_where_the_path_first_gets_there(market: SyntheticMarket) -> None:
    start = NOW_MS - 3_000 * MINUTE_MS
    bars = market.bars("BTCUSDT", start, NOW_MS)
    up = round((float(bars.open[0]) + float(bars.high.max())) / 2, 2)
    touch = market.first_touch("BTCUSDT", start, NOW_MS, float("-inf"), up)
    assert touch is not None
    place = int(np.nonzero(bars.high >= up)[0][0])
    assert place > 0
    assert bars.open_ms[place] <= touch.at_ms <= bars.open_ms[place] + MINUTE_MS
    assert touch.price == up
    assert market.first_touch("BTCUSDT", start, touch.at_ms - 1000, float("-inf"), up) is None


def test_looking_often_finds_what_looking_once_finds(market: SyntheticMarket) -> None:
    start, until = NOW_MS - 90 * MINUTE_MS, NOW_MS
    low = float(market.bars("ETHUSDT", start, until).low.min())
    once = market.first_touch("ETHUSDT", start, until, low, float("inf"))
    often = None
    for at_ms in range(start, until, 7_000):
        often = market.first_touch("ETHUSDT", at_ms, min(until, at_ms + 7_000), low, float("inf"))
        if often is not None:
            break
    assert once == often


def test_a_set_price_jumps_stays_and_goes(market: SyntheticMarket) -> None:
    overlay = OverlayMarket(market)
    overlay.set_price("BTCUSDT", 1000.0, NOW_MS + 5_000)
    overlay.clear_price("BTCUSDT", NOW_MS + 20_000)
    assert overlay.price("BTCUSDT", NOW_MS + 4_999) == market.price("BTCUSDT", NOW_MS + 4_999)
    assert overlay.price("BTCUSDT", NOW_MS + 5_000) == 1000.0
    assert overlay.prices(NOW_MS + 19_999)["BTCUSDT"] == 1000.0
    assert overlay.price("BTCUSDT", NOW_MS + 20_000) == market.price("BTCUSDT", NOW_MS + 20_000)
    touch = overlay.first_touch("BTCUSDT", NOW_MS, NOW_MS + 60_000, 1500.0, float("inf"))
    assert touch is not None
    assert (touch.at_ms, touch.price) == (NOW_MS + 5_000, 1000.0)
    assert overlay.first_touch("BTCUSDT", NOW_MS + 20_000, NOW_MS + 60_000, 1500.0, 1e9) is None
    bars = overlay.bars("BTCUSDT", NOW_MS - MINUTE_MS, NOW_MS + 2 * MINUTE_MS)
    assert bars.low.tolist()[1] == 1000.0
    assert bars.low.tolist()[0] > 1000.0


def test_the_list_of_symbols_has_its_odd_ones() -> None:
    specs = {spec.symbol: spec for spec in default_symbols()}
    assert len(specs) == 120
    assert list(specs)[:3] == ["BTCUSDT", "ETHUSDT", "BNBUSDT"]
    assert specs["LUNAUSDT"].status == "BREAK"
    assert "币安人生USDT" in specs
    assert specs["OPENUSDT"].filters["PRICE_FILTER"]["tickSize"] == "0.00000000"
    assert any("POSITION_RISK_CONTROL" in spec.filters for spec in specs.values())
    assert all(spec.price_decimals + spec.lot_decimals <= 8 for spec in specs.values())
