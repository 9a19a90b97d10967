"""When candles open and close."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from marketdata.intervals import (
    INTERVALS,
    close_of,
    closes_at,
    count_missing,
    following_open_ms,
    interval_ms,
    is_aligned,
    is_due,
    last_close,
    next_close,
    open_of_ms,
)
from tradebot.clock import to_ms
from tradebot.errors import InvalidInput


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def test_the_intervals_are_those_that_both_markets_of_binance_have():
    assert " ".join(INTERVALS) == "1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M"


@pytest.mark.parametrize("interval", ["7m", "1H", "1S", "1s", "", "60", "1m ", None, 1, "1mo"])
def test_an_interval_that_does_not_exist_is_refused_by_name(interval):
    with pytest.raises(InvalidInput) as refused:
        interval_ms(interval)
    assert refused.value.field == "interval"
    assert "Choose one of 1m, 3m" in str(refused.value)


@pytest.mark.parametrize(
    ("interval", "last", "following"),
    [
        ("1m", utc(2024, 2, 29, 13, 7), utc(2024, 2, 29, 13, 8)),
        ("15m", utc(2024, 2, 29, 13, 0), utc(2024, 2, 29, 13, 15)),
        ("8h", utc(2024, 2, 29, 8, 0), utc(2024, 2, 29, 16, 0)),
        ("1d", utc(2024, 2, 29), utc(2024, 3, 1)),
        ("3d", utc(2024, 2, 29), utc(2024, 3, 3)),
        ("1w", utc(2024, 2, 26), utc(2024, 3, 4)),  # Mondays
        ("1M", utc(2024, 2, 1), utc(2024, 3, 1)),
    ],
)
def test_closes_around_a_moment_of_the_29th_of_february(interval, last, following):
    moment = utc(2024, 2, 29, 13, 7, 42, 123456)
    assert last_close(moment, interval) == last
    assert next_close(moment, interval) == following
    assert last_close(last, interval) == last
    assert last_close(following - timedelta(milliseconds=1), interval) == last


def test_a_month_ends_where_the_next_one_begins_also_at_the_end_of_the_year():
    december = to_ms(utc(2025, 12, 1))
    assert following_open_ms(december, "1M") == to_ms(utc(2026, 1, 1))
    assert close_of(to_ms(utc(2026, 2, 1)), "1M") == utc(2026, 3, 1)


def test_following_candles_tile_the_time_without_gap():
    for interval in INTERVALS:
        open_ms = open_of_ms(to_ms(utc(2025, 11, 20, 5)), interval)
        for _ in range(40):
            following = following_open_ms(open_ms, interval)
            assert open_of_ms(following - 1, interval) == open_ms
            assert open_of_ms(following, interval) == following
            open_ms = following


def test_slots_at_which_candles_close():
    assert closes_at(utc(2026, 1, 5), "1w")
    assert not closes_at(utc(2026, 1, 6), "1w")
    assert closes_at(utc(2026, 1, 1, 0, 15), "15m")
    assert not closes_at(utc(2026, 1, 1, 0, 16), "15m")


def test_a_candle_is_due_when_its_time_is_over_and_not_before():
    last_open = to_ms(utc(2026, 1, 1, 12, 0))
    assert not is_due(utc(2026, 1, 1, 12, 1, 59, 999000), "1m", last_open)
    assert is_due(utc(2026, 1, 1, 12, 2), "1m", last_open)
    assert is_due(utc(2026, 1, 1, 12, 0), "1m", None)


def test_missing_candles_are_counted():
    last_open = to_ms(utc(2026, 1, 1, 12, 0))
    assert count_missing(utc(2026, 1, 1, 12, 1, 30), "1m", last_open) == 0
    assert count_missing(utc(2026, 1, 1, 12, 2), "1m", last_open) == 1
    assert count_missing(utc(2026, 1, 1, 13, 0), "1m", last_open) == 59
    assert count_missing(utc(2026, 1, 1, 11, 0), "1m", last_open) == 0
    assert count_missing(utc(2026, 4, 15), "1M", to_ms(utc(2026, 1, 1))) == 2


def test_alignment_allows_three_days_from_any_midnight():
    assert is_aligned(to_ms(utc(2026, 1, 2)), "3d")
    assert not is_aligned(to_ms(utc(2026, 1, 2, 1)), "3d")
    assert not is_aligned(to_ms(utc(2026, 1, 1, 0, 1)), "3m")
