"""EMA and RSI on closed candles, by TA-Lib. Pure: no Django, no Redis, no network, no clock."""

from __future__ import annotations

import numpy as np
import talib

from marketdata.types import FloatArray

FLAT_RSI = 50.0
MIN_PERIOD = 2  # TA-Lib's RSI refuses 1, and an EMA of 1 is the price itself


def ema(close: FloatArray, period: int) -> FloatArray:
    """Exponential moving average, shape (n,), in the unit of `close`; NaN for the first period - 1 values.

    Seeded with the simple mean of the first `period` values, then alpha = 2 / (period + 1), as
    TA-Lib does. Raises ValueError for a period below 2 and for a value that is not finite: one NaN
    would spoil all later ones.
    """
    _check(close, period)
    values: FloatArray = talib.EMA(close, timeperiod=period)
    return values


def rsi(close: FloatArray, period: int) -> FloatArray:
    """Wilder's relative strength index, shape (n,), 0..100; NaN for the first `period` values.

    Equal to TA-Lib but for one case: for a series that has not moved at all since its start TA-Lib
    answers 0, and this 50, because no movement is neither weak nor strong.

    Raises ValueError as ema() does.
    """
    _check(close, period)
    values: FloatArray = talib.RSI(close, timeperiod=period)
    moved = np.flatnonzero(close != close[:1])
    values[period : moved[0] if len(moved) else len(close)] = FLAT_RSI
    return values


def _check(close: FloatArray, period: int) -> None:
    if period < MIN_PERIOD:
        raise ValueError(f"an indicator's period must be at least {MIN_PERIOD}, not {period}")
    finite = np.isfinite(close)
    if not finite.all():
        raise ValueError(f"value {int(np.argmin(finite))} of the series is not a finite number")
