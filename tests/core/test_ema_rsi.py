"""ema_rsi: when it signals, what it refuses, and that every process gives the same bits."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pytest

from marketdata.types import Candles
from tests.core.builders import candles, read_columns
from tests.support.shared import require_shared
from tradebot.errors import InvalidInput, StaleData
from trading.indicators import ema, rsi
from trading.strategies import STRATEGIES, strategy_named

STRATEGY = STRATEGIES["ema_rsi"]
DEFAULTS = {"ema_fast": 9, "ema_slow": 21, "rsi_period": 14, "rsi_entry_max": 70, "rsi_exit": 80}
SMALL = {"ema_fast": 2, "ema_slow": 3, "rsi_period": 2, "rsi_entry_max": 70, "rsi_exit": None}  # needs 101


def series_of(symbol: str) -> Candles:
    columns = read_columns(require_shared(f"data/ohlcv/spot_1m_2026/{symbol}USDT-1m.csv.gz"))
    names = ("open", "high", "low", "close", "volume")
    return Candles(60_000, columns["open_time_ms"].astype(np.int64), *(columns[name] for name in names))


def first(series: Candles, count: int, start: int = 0) -> Candles:
    arrays = ("open_time_ms", "open", "high", "low", "close", "volume")
    return dataclasses.replace(series, **{name: getattr(series, name)[start:count] for name in arrays})


def signal_of(close: list[float], **changes: object):
    return STRATEGY.signals({"1m": candles(close)}, SMALL | changes)


def test_parameters_default() -> None:
    assert STRATEGY.validate({}) == DEFAULTS
    assert STRATEGY.defaults == DEFAULTS
    assert STRATEGY.validate({"ema_fast": 5.0, "rsi_exit": None}) == DEFAULTS | {
        "ema_fast": 5,
        "rsi_exit": None,
    }
    assert (STRATEGY.name, STRATEGY.version) == ("ema_rsi", 1)


@pytest.mark.parametrize("name", ["ema_fast", "ema_slow", "rsi_period", "rsi_entry_max", "rsi_exit"])
@pytest.mark.parametrize(
    "value",
    [0, 1_000_000_000, -1, 501, 9.5, "9", True, [9], float("nan"), float("inf"), "\uff11\uff12", {}, 10**400],
)
def test_a_parameter_that_is_no_whole_number_in_bounds_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        STRATEGY.validate({name: value})
    assert set(caught.value.fields) == {f"strategy_params.{name}"}
    assert caught.value.field == f"strategy_params.{name}"
    assert f"{name} must be a whole number from" in str(caught.value)


@pytest.mark.parametrize("name", ["ema_fast", "ema_slow", "rsi_period", "rsi_entry_max"])
def test_only_rsi_exit_may_be_off(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name} must be a whole number"):
        STRATEGY.validate({name: None})


@pytest.mark.parametrize(
    ("params", "field", "sentence"),
    [
        ({"ema_fast": 21}, "ema_fast", "ema_fast (21) must be below ema_slow (21)."),
        ({"ema_fast": 30, "ema_slow": 20}, "ema_fast", "ema_fast (30) must be below ema_slow (20)."),
        (
            {"rsi_entry_max": 80, "rsi_exit": 20},
            "rsi_exit",
            "rsi_exit (20) must be above rsi_entry_max (80), or null for off.",
        ),
        (
            {"rsi_entry_max": 80},
            "rsi_exit",
            "rsi_exit (80) must be above rsi_entry_max (80), or null for off.",
        ),
        ({"ema_fats": 9}, "ema_fats", "There is no parameter 'ema_fats'; use ema_fast, ema_slow"),
        ({"ema_fast": 1}, "ema_fast", "ema_fast must be a whole number from 2 to 500."),
    ],
)
def test_parameters_that_do_not_fit_each_other_are_refused(
    params: dict[str, object], field: str, sentence: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        STRATEGY.validate(params)
    assert caught.value.field == f"strategy_params.{field}"
    assert sentence in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        STRATEGY.validate({"ema_fast": 0, "rsi_exit": "x", "other": 1})
    assert set(caught.value.fields) == {
        "strategy_params.ema_fast",
        "strategy_params.rsi_exit",
        "strategy_params.other",
    }


@pytest.mark.parametrize("params", [None, [], "{}", 5])
def test_parameters_that_are_no_object_are_refused(params: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        STRATEGY.validate(params)
    assert caught.value.field == "strategy_params"


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    assert strategy_named("ema_rsi") is STRATEGY
    with pytest.raises(InvalidInput, match="There is no strategy 'macd'; use ema_rsi") as caught:
        strategy_named("macd")
    assert caught.value.field == "strategy"


def test_it_reads_the_bots_interval_only() -> None:
    assert STRATEGY.intervals("5m", DEFAULTS) == ("5m",)


@pytest.mark.parametrize(
    ("params", "count"), [({}, 701), ({"rsi_period": 2}, 421), ({"ema_slow": 200}, 4001)]
)
def test_warm_up_is_20_ema_or_50_rsi_periods_and_one(params: dict[str, int], count: int) -> None:
    assert STRATEGY.warm_up(STRATEGY.validate(params)) == count


def test_a_cross_up_enters_long_and_exits_short() -> None:
    # falling, then a jump: EMA 2 passes EMA 3
    signal = signal_of([200.0 - i for i in range(120)] + [84.0], rsi_entry_max=99)
    assert (signal.enter_long, signal.exit_short) == (True, True)
    assert (signal.enter_short, signal.exit_long) == (False, False)
    assert "crossed above" in signal.texts[0]


def test_a_cross_down_enters_short_and_exits_long() -> None:
    signal = signal_of([50.0 + i for i in range(120)] + [166.0], rsi_entry_max=99)
    assert (signal.enter_short, signal.exit_long) == (True, True)
    assert (signal.enter_long, signal.exit_short) == (False, False)
    assert "crossed below" in signal.texts[0]


def test_no_cross_signals_nothing() -> None:
    signal = signal_of([50.0 + i for i in range(120)])
    assert not any((signal.enter_long, signal.exit_long, signal.enter_short, signal.exit_short))
    assert signal.ready
    assert "did not cross" in signal.texts[0]


@pytest.mark.parametrize(("entry_max", "enters"), [(0, True), (-1, False)])
def test_an_entry_needs_an_rsi_not_above_its_bound(entry_max: int, enters: bool) -> None:
    close = [200.0 - i for i in range(120)] + [84.0]
    strength = float(rsi(np.array(close[-101:]), 2)[-1])
    bound = strength + entry_max  # exactly at the bound, and below it
    signal = signal_of(close, rsi_entry_max=bound)
    assert signal.enter_long is enters
    assert signal.exit_short is True
    assert ("is above" in signal.texts[0]) is not enters


def test_the_short_entry_mirrors_the_bound() -> None:
    close = [50.0 + i for i in range(120)] + [166.0]
    strength = float(rsi(np.array(close[-101:]), 2)[-1])
    assert signal_of(close, rsi_entry_max=99.0).enter_short is True
    too_low = signal_of(close, rsi_entry_max=100 - strength - 1)
    assert too_low.enter_short is False
    assert too_low.exit_long is True
    assert "is below" in too_low.texts[0]


def test_an_extreme_rsi_exits_only_where_it_is_on() -> None:
    rising = [50.0 + i for i in range(120)]
    assert signal_of(rising, rsi_exit=80).exit_long is True
    assert signal_of(rising, rsi_exit=80).texts[0] == "RSI 100.0 is at or above 80"
    assert signal_of(rising, rsi_exit=80).exit_short is False
    assert signal_of(rising, rsi_exit=None).exit_long is False
    falling = rising[::-1]
    assert signal_of(falling, rsi_exit=80).exit_short is True
    assert signal_of(falling, rsi_exit=80).texts[0] == "RSI 0.0 is at or below 20"
    assert signal_of(falling, rsi_exit=80).exit_long is False


def test_as_of_is_the_close_of_the_last_candle() -> None:
    series = candles([1.0] * 101)
    signal = STRATEGY.signals({"1m": series}, SMALL)
    assert signal.as_of.timestamp() * 1000 == int(series.open_time_ms[-1]) + 60_000
    assert (signal.close, signal.ready) == (1.0, True)
    assert signal.values == {"ema_fast": 1.0, "ema_slow": 1.0, "rsi": 50.0}


def test_months_may_differ_in_length() -> None:
    opens = [datetime(2010 + i // 12, i % 12 + 1, 1, tzinfo=UTC) for i in range(122)]
    times = np.array([int(moment.timestamp()) * 1000 for moment in opens], dtype=np.int64)
    price = np.full(122, 5.0)
    series = Candles(30 * 86_400_000, times, price, price, price, price, price)
    assert STRATEGY.signals({"1M": series}, SMALL).as_of == datetime(2020, 3, 1, tzinfo=UTC)


def test_it_is_not_ready_and_says_nothing_before_the_warm_up() -> None:
    signal = signal_of([200.0 - i for i in range(99)] + [184.0])
    assert signal == dataclasses.replace(signal, ready=False, enter_long=False, values={})
    assert signal.texts == ("100 of 101 candles behind the last hole",)


def test_it_starts_anew_behind_a_hole() -> None:
    series = candles(np.linspace(100, 200, 300), clean_since=250)
    signal = STRATEGY.signals({"1m": series}, SMALL)
    assert (signal.ready, signal.texts) == (False, ("50 of 101 candles behind the last hole",))
    ready = STRATEGY.signals({"1m": dataclasses.replace(series, clean_since=199)}, SMALL)
    assert ready.ready is True


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_a_price_that_is_no_price_is_refused(bad: float) -> None:
    close = np.linspace(100, 200, 150)
    close[100] = bad
    with pytest.raises(StaleData, match="not a positive number"):
        STRATEGY.signals({"1m": candles(close)}, SMALL)


@pytest.mark.parametrize("fault", ["gap", "duplicate", "order"])
def test_candles_that_do_not_follow_each_other_are_refused(fault: str) -> None:
    series = candles(np.linspace(100, 200, 150))
    times = series.open_time_ms
    if fault == "gap":
        times[140:] += 60_000
    elif fault == "duplicate":
        times[140:] -= 60_000
    else:
        times[[140, 141]] = times[[141, 140]]
    with pytest.raises(StaleData, match="gap, a duplicate or are out of order"):
        STRATEGY.signals({"1m": series}, SMALL)


def test_what_lies_before_the_window_or_the_hole_does_not_matter() -> None:
    series = candles(np.linspace(100, 200, 300), clean_since=150)
    expected = STRATEGY.signals({"1m": series}, SMALL)
    series.close[:150] = np.nan
    series.open_time_ms[:150] = 0
    assert STRATEGY.signals({"1m": series}, SMALL) == expected


def test_no_candles_are_refused() -> None:
    with pytest.raises(StaleData):
        STRATEGY.signals({}, SMALL)
    with pytest.raises(StaleData):
        STRATEGY.signals({"1m": candles([])}, SMALL)
    with pytest.raises(StaleData):
        STRATEGY.signals({"1m": candles([1.0, 2.0], clean_since=2)}, SMALL)


@pytest.mark.parametrize("symbol", ["BTC", "ETH"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"ema_fast": 50, "ema_slow": 200}, {"rsi_period": 2}],
    ids=["defaults", "slow", "short rsi"],
)
def test_a_longer_history_gives_the_same_bits_on_real_candles(symbol: str, changes: dict[str, int]) -> None:
    series = series_of(symbol)
    params = STRATEGY.validate(changes)
    fast, slow = ema(series.close, params["ema_fast"]), ema(series.close, params["ema_slow"])
    strength = rsi(series.close, params["rsi_period"])
    for end in range(STRATEGY.warm_up(params) + 1000, len(series), 97):
        signal = STRATEGY.signals({"1m": first(series, end)}, params)
        last = end - 1
        assert signal.values == {"ema_fast": fast[last], "ema_slow": slow[last], "rsi": strength[last]}
        crossed_up = fast[last - 1] <= slow[last - 1] and fast[last] > slow[last]
        assert signal.enter_long is bool(crossed_up and strength[last] <= 70)


def test_two_histories_of_different_length_give_one_signal() -> None:
    series = series_of("BTC")
    params = STRATEGY.validate({})
    for end in range(10_000, 10_200):
        long = STRATEGY.signals({"1m": first(series, end)}, params)
        short = STRATEGY.signals({"1m": first(series, end, end - 701)}, params)
        assert long == short


def test_the_defaults_cross_up_on_real_candles_about_once_in_42_minutes() -> None:
    series = series_of("BTC")
    params = STRATEGY.validate({"rsi_entry_max": 100, "rsi_exit": None})
    entries = sum(
        STRATEGY.signals({"1m": first(series, end)}, params).enter_long for end in range(5000, 15000)
    )
    assert 180 <= entries <= 300
