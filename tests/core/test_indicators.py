"""EMA and RSI: equal to TA-Lib's columns on recorded candles, and explicit about what they can't take."""

from __future__ import annotations

import numpy as np
import pytest

from tests.core.builders import read_columns
from tests.support.shared import SHARED, require_shared
from trading.indicators import ema, rsi

FILES = ("BTCUSDT-1h-native250", "BTCUSDT-1m-first1500", "ETHUSDT-1h-last1500")
EMA_PERIODS = (9, 12, 21, 26, 50, 200)
RSI_PERIODS = (6, 14)


@pytest.mark.parametrize("name", FILES)
def test_indicators_equal_the_recorded_talib_columns_over_the_whole_file(name: str) -> None:
    columns = read_columns(require_shared(f"data/indicators/{name}.csv.gz"))
    for period in EMA_PERIODS:
        expected = columns[f"talib_ema_{period}"]
        assert np.isnan(expected).sum() == period - 1
        np.testing.assert_allclose(ema(columns["close"], period), expected, rtol=1e-9, atol=0)
    for period in RSI_PERIODS:
        expected = columns[f"talib_rsi_{period}"]
        assert np.isnan(expected).sum() == period
        np.testing.assert_allclose(rsi(columns["close"], period), expected, rtol=1e-9, atol=0)


def test_every_recorded_indicator_file_is_compared() -> None:
    require_shared("data/indicators")
    found = {path.name.removesuffix(".csv.gz") for path in (SHARED / "data/indicators").glob("*.csv.gz")}
    assert found == set(FILES)


def test_the_ema_is_seeded_with_the_simple_mean() -> None:
    values = ema(np.array([1.0, 2.0, 3.0, 5.0]), 3)
    assert np.isnan(values[:2]).all()
    assert values[2:].tolist() == [2.0, 3.5]


def test_the_rsi_is_wilders() -> None:
    # gains 1, 0, 2 and losses 0, 1, 0: seed means 0.5 and 0.5, then (0.5 + 2) / 2 and (0.5 + 0) / 2
    values = rsi(np.array([1.0, 2.0, 1.0, 3.0]), 2)
    assert np.isnan(values[:2]).all()
    assert values[2:].tolist() == pytest.approx([50.0, 100 * 1.25 / 1.5], rel=1e-12)


@pytest.mark.parametrize(
    ("close", "expected"),
    [
        ([7.0] * 40, 50.0),
        (list(range(1, 41)), 100.0),
        (list(range(41, 1, -1)), 0.0),
        ([3.0, *[7.0] * 600], 100.0),
        ([7.0, *[3.0] * 600], 0.0),
    ],
    ids=["flat", "only gains", "only losses", "one gain, then flat", "one loss, then flat"],
)
def test_rsi_edges(close: list[float], expected: float) -> None:
    assert rsi(np.array(close, dtype=np.float64), 14)[-1] == expected


def test_the_rsi_of_a_flat_start_is_50_until_it_moves() -> None:
    values = rsi(np.array([7.0] * 20 + [8.0]), 14)
    assert np.isnan(values[:14]).all()
    assert values[14:].tolist() == [50.0] * 6 + [100.0]


def test_too_few_values_give_nan() -> None:
    assert np.isnan(ema(np.arange(1.0, 9.0), 9)).all()
    assert np.isnan(rsi(np.arange(1.0, 15.0), 14)).all()
    assert np.isnan(rsi(np.full(14, 7.0), 14)).all()
    assert len(rsi(np.array([], dtype=np.float64), 14)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("indicator", [ema, rsi])
def test_a_value_that_is_not_finite_is_refused_by_its_place(indicator, bad: float) -> None:
    close = np.arange(1.0, 40.0)
    close[17] = bad
    with pytest.raises(ValueError, match="value 17 of the series is not a finite number"):
        indicator(close, 9)


@pytest.mark.parametrize("indicator", [ema, rsi])
def test_a_period_below_two_is_refused(indicator) -> None:
    with pytest.raises(ValueError, match="at least 2, not 1"):
        indicator(np.arange(1.0, 40.0), 1)
