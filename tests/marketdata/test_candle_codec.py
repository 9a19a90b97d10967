"""Packed candles survive the way through bytes, and nothing else passes for them (fault Q7)."""

from __future__ import annotations

import timeit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.candle_checks import check_rows
from marketdata.candle_codec import count_in, decode, encode
from tests.marketdata.stub import NOON, rows_before
from tradebot.clock import to_ms

MINUTE = 60_000


def candles_of(count: int):
    rows = rows_before(NOON, count + 1)
    return check_rows(rows[:1] + rows[2:], "1m", to_ms(NOON)).candles  # a hole behind the first


def test_candles_come_back_to_the_bit():
    candles = candles_of(50)
    back = decode(encode(candles), MINUTE)
    for name in ("open_time_ms", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(back, name), getattr(candles, name))
        assert getattr(back, name).dtype == getattr(candles, name).dtype
    assert (back.interval_ms, back.clean_since) == (MINUTE, candles.clean_since)
    assert candles.clean_since == 1


def test_decoded_candles_can_not_be_written_to():
    back = decode(encode(candles_of(3)), MINUTE)
    with pytest.raises(ValueError, match="read-only"):
        back.close[0] = 1.0


def test_the_length_tells_how_many_there_are():
    value = encode(candles_of(7))
    assert count_in(len(value)) == 7
    assert count_in(len(value) + 1) == 0
    assert count_in(0) == 0
    assert count_in(40) == 0


@pytest.mark.parametrize(
    "value",
    [None, b"", b"x", b"TBCANDLE", b"[[1,2,3]]", b"\x00" * 40, b"TBCANDLE" + b"\xff" * 32, b"TBCANDLE" * 100],
)
def test_a_stranger_counts_as_missing(value):
    assert decode(value, MINUTE) is None


def test_another_interval_counts_as_missing():
    assert decode(encode(candles_of(3)), 2 * MINUTE) is None


@given(st.data())
def test_any_changed_cut_or_longer_value_counts_as_missing(data):
    value = encode(candles_of(4))
    at = data.draw(st.integers(0, len(value) - 1))
    changed = bytes([value[at] ^ data.draw(st.integers(1, 255))])
    assert decode(value[:at] + changed + value[at + 1 :], MINUTE) is None
    assert decode(value[:at], MINUTE) is None
    assert decode(value + value[:at] + b"\0", MINUTE) is None


def test_a_thousand_candles_decode_in_microseconds():
    value = encode(candles_of(1000))
    seconds = min(timeit.repeat(lambda: decode(value, MINUTE), number=100, repeat=5)) / 100
    assert seconds < 200e-6  # about 7 us when measured; the bound is for slow machines
