"""Which candles are taken, and why others are not (fault M1)."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from marketdata.candle_checks import (
    CONFIRM_GAP,
    Gap,
    check_rows,
    gaps,
    join,
    look_again,
    since,
)
from tests.marketdata.stub import NOON, row, rows_before
from tradebot.clock import to_ms

MINUTE = 60_000
END = to_ms(NOON)


def times(candles) -> list[int]:
    return candles.open_time_ms.tolist()


def test_closed_candles_are_taken_as_they_are():
    checked = check_rows([row(END - MINUTE, o=99.5, h=102, l=98.25, c=101, v=7)], "1m", END)
    candles = checked.candles
    assert times(candles) == [END - MINUTE]
    values = [
        column[0] for column in (candles.open, candles.high, candles.low, candles.close, candles.volume)
    ]
    assert values == [99.5, 102.0, 98.25, 101.0, 7.0]
    assert checked.rejections == ()
    assert candles.interval_ms == MINUTE


def test_a_candle_is_closed_only_when_its_close_time_is_before_the_exchange_time():
    rows = [row(END - MINUTE), row(END)]
    assert times(check_rows(rows, "1m", END).candles) == [END - MINUTE]
    assert times(check_rows(rows, "1m", END - 1).candles) == []
    assert check_rows(rows, "1m", END - 1).rejections == ()


def test_a_row_that_claims_a_later_close_is_open_until_then():
    claims_later = row(END - MINUTE, T=END)
    assert times(check_rows([claims_later], "1m", END).candles) == []
    assert times(check_rows([claims_later], "1m", END + 1).candles) == [END - MINUTE]


def test_a_broken_candle_that_is_still_open_is_not_worth_a_word():
    assert check_rows([row(END, c="NaN")], "1m", END + 1).rejections == ()


def test_a_row_that_claims_an_early_close_is_still_open():
    assert times(check_rows([row(END, T=END + 10)], "1m", END + 20).candles) == []


def test_out_of_order_and_duplicate_rows_end_sorted_and_single_the_later_row_wins():
    rows = [
        row(END - MINUTE, 3),
        row(END - 3 * MINUTE, 1),
        row(END - 2 * MINUTE, 9),
        row(END - 2 * MINUTE, 2),
    ]
    candles = check_rows(rows, "1m", END).candles
    assert times(candles) == [END - 3 * MINUTE, END - 2 * MINUTE, END - MINUTE]
    assert candles.close.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"c": "NaN"}, "not a number"),
        ({"o": "Infinity"}, "not a number"),
        ({"v": "NaN"}, "not a number"),
        ({"c": "-1"}, "not above 0"),
        ({"l": "0"}, "not above 0"),
        ({"v": "-1"}, "negative"),
        ({"h": "99", "l": "98", "c": "98.5", "o": "100"}, "do not enclose"),
        ({"h": "99", "l": "101"}, "do not enclose"),
        ({"c": "eleven"}, "no candle"),
        ({"T": "soon"}, "no candle"),
        ({"T": 5}, "times are no 1m candle's"),
    ],
)
def test_a_broken_candle_is_refused_with_a_reason_and_the_others_are_taken(changes, words):
    rows = [row(END - 3 * MINUTE), row(END - 2 * MINUTE, **changes), row(END - MINUTE)]
    checked = check_rows(rows, "1m", END)
    assert times(checked.candles) == [END - 3 * MINUTE, END - MINUTE]
    assert len(checked.rejections) == 1
    assert words in checked.rejections[0].reason
    assert checked.candles.clean_since == 1


@pytest.mark.parametrize("broken", [None, 7, "row", [], [1, 2], {}, {"o": 1}, [2**70] * 12, [None] * 12])
def test_a_row_that_is_no_row_is_refused(broken):
    checked = check_rows([broken, row(END - MINUTE)], "1m", END)
    assert times(checked.candles) == [END - MINUTE]
    assert len(checked.rejections) == 1


def test_a_candle_that_opens_off_its_interval_is_refused():
    checked = check_rows([row(END - MINUTE - 1)], "1m", END)
    assert times(checked.candles) == []
    assert "times are no 1m candle's" in checked.rejections[0].reason


def test_a_price_of_a_thousand_times_is_refused_and_what_follows_at_the_old_level_is_taken():
    rows = [row(END - 3 * MINUTE, 100), row(END - 2 * MINUTE, 100_000), row(END - MINUTE, 101)]
    checked = check_rows(rows, "1m", END)
    assert checked.candles.close.tolist() == [100, 101]
    assert [r.open_time_ms for r in checked.rejections] == [END - 2 * MINUTE]
    assert "jumped from 100" in checked.rejections[0].reason
    assert checked.suspect is None


@pytest.mark.parametrize(
    ("changes", "taken"), [({"h": 1000}, 2), ({"h": 1000.1}, 1), ({"l": 10}, 2), ({"l": 9.99}, 1)]
)
def test_ten_times_the_last_close_is_the_limit_for_high_and_low(changes, taken):
    rows = [row(END - 2 * MINUTE, 100), row(END - MINUTE, 100, **changes)]
    assert len(check_rows(rows, "1m", END).candles) == taken


def test_a_first_candle_is_compared_with_the_close_before_it():
    assert len(check_rows([row(END - MINUTE, 100)], "1m", END, previous_close=9).candles) == 0
    assert len(check_rows([row(END - MINUTE, 100)], "1m", END, previous_close=90).candles) == 1


def test_a_level_that_stays_is_suspect_from_its_first_candle_and_taken_once_trusted():
    rows = [row(END - 3 * MINUTE, 100), row(END - 2 * MINUTE, 5000), row(END - MINUTE, 5001)]
    checked = check_rows(rows, "1m", END)
    assert checked.candles.close.tolist() == [100]
    assert checked.suspect == (END - 2 * MINUTE, 5000)
    again = check_rows(rows, "1m", END, trusted=checked.suspect)
    assert again.candles.close.tolist() == [100, 5000, 5001]
    assert again.suspect is None


def test_a_suspicion_is_confirmed_by_two_looks_that_are_far_enough_apart():
    suspect = (END - MINUTE, 5000.0)
    first = look_again(None, suspect, NOON)
    assert (first.seen, first.is_confirmed) == (1, False)
    assert look_again(first, suspect, NOON + CONFIRM_GAP - timedelta(seconds=1)) == first
    second = look_again(first, suspect, NOON + CONFIRM_GAP)
    third = look_again(second, suspect, NOON + 2 * CONFIRM_GAP)
    assert (second.is_confirmed, third.is_confirmed) == (False, True)
    assert look_again(second, (END - MINUTE, 5001.0), NOON + 2 * CONFIRM_GAP).seen == 1


def test_gaps_name_the_first_missing_and_the_next_present_open_time():
    rows = rows_before(NOON, 10)
    candles = check_rows(rows[:3] + rows[5:8] + rows[9:], "1m", END).candles
    start = END - 10 * MINUTE
    assert gaps(candles, "1m") == (
        Gap(start + 3 * MINUTE, start + 5 * MINUTE),
        Gap(start + 8 * MINUTE, start + 9 * MINUTE),
    )
    assert candles.clean_since == 6


def test_months_of_different_lengths_are_no_gap():
    year = [row(to_ms(NOON.replace(month=m, day=1, hour=0)), 100, "1M") for m in (1, 2, 3)]
    candles = check_rows(year, "1M", END).candles
    assert len(candles) == 3
    assert gaps(candles, "1M") == ()
    assert len(gaps(check_rows([year[0], year[2]], "1M", END).candles, "1M")) == 1


def test_joining_appends_replaces_the_overlap_and_keeps_the_last_ones():
    old = check_rows(rows_before(NOON, 5), "1m", END + MINUTE).candles
    new = check_rows([row(END - MINUTE, 111), row(END, 112)], "1m", END + MINUTE).candles
    joined = join(old, new, "1m", keep=4)
    assert times(joined) == [END - 3 * MINUTE, END - 2 * MINUTE, END - MINUTE, END]
    assert joined.close.tolist()[2:] == [111, 112]
    assert joined.close.tolist()[:2] == old.close.tolist()[2:4]
    assert joined.clean_since == 0
    assert all(column.flags.c_contiguous for column in (joined.open, joined.close, joined.volume))


def test_a_hole_that_leaves_the_kept_candles_is_forgotten():
    rows = rows_before(NOON, 6)
    old = check_rows(rows[:2] + rows[3:], "1m", END).candles
    assert old.clean_since == 2
    assert join(old, check_rows([], "1m", END).candles, "1m", keep=3).clean_since == 0


def test_cutting_a_series_keeps_what_opens_from_a_time_on():
    candles = check_rows(rows_before(NOON, 6), "1m", END).candles
    assert np.array_equal(since(candles, END - 2 * MINUTE, "1m").close, candles.close[-2:])
