"""Candles from the exchange: pages, the overlap, holes asked for again, jumps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from marketdata.candle_checks import CONFIRM_GAP, Gap, check_rows
from marketdata.fetch import fetch_history, fetch_new
from marketdata.series import Series
from tests.marketdata.stub import NOON, SPOT, StubExchange, row, rows_before
from tradebot.clock import to_ms
from tradebot.errors import Transient

BTC = Series(SPOT, "BTCUSDT", "1m", candles=300)
MINUTE = 60_000
END = to_ms(NOON)


def exchange(rows, now=NOON) -> StubExchange:
    return StubExchange(now=now, klines_of={("BTCUSDT", "1m"): rows})


def stored(rows):
    return check_rows(rows, "1m", END).candles


def requests(stub: StubExchange) -> list[tuple]:
    return [(asked["start_ms"], asked["end_ms"], asked["limit"]) for asked in stub.asked]


def test_a_history_of_up_to_999_candles_is_one_request_without_the_open_candle():
    stub = exchange([*rows_before(NOON, 2000), row(END)])
    fetched = fetch_history(stub, BTC)
    assert requests(stub) == [(None, None, 301)]
    assert len(fetched.candles) == 300
    assert fetched.candles.open_time_ms[-1] == END - MINUTE
    assert (fetched.holes, fetched.rejections, fetched.candles.clean_since) == ((), (), 0)


def test_a_longer_history_is_fetched_backwards_in_pages():
    stub = exchange([*rows_before(NOON, 2000), row(END)])
    fetched = fetch_history(stub, replace(BTC, candles=1100))
    assert requests(stub) == [(None, None, 1000), (None, END - 999 * MINUTE - 1, 101)]
    assert len(fetched.candles) == 1100
    assert fetched.candles.open_time_ms[0] == END - 1100 * MINUTE


def test_no_more_is_kept_than_1500_candles():
    stub = exchange([*rows_before(NOON, 2000), row(END)])
    assert len(fetch_history(stub, replace(BTC, candles=5000)).candles) == 1500
    assert [limit for _, _, limit in requests(stub)] == [1000, 501]


def test_a_young_symbol_has_the_history_that_it_has():
    stub = exchange([*rows_before(NOON, 20), row(END)])
    assert len(fetch_history(stub, BTC).candles) == 20
    assert len(stub.asked) == 1
    assert len(fetch_history(exchange([]), BTC).candles) == 0


def test_new_candles_come_in_one_small_request_that_overlaps_by_one():
    held = stored(rows_before(NOON, 300))
    later = NOON + timedelta(minutes=2, seconds=1)
    stub = exchange(
        [*rows_before(NOON, 300), row(END, 7.5e1), row(END + MINUTE, 76), row(END + 2 * MINUTE)], later
    )
    fetched = fetch_new(stub, BTC, held, None)
    assert requests(stub) == [(END - MINUTE, None, 4)]
    assert len(fetched.candles) == 302
    assert fetched.candles.close.tolist()[-2:] == [75, 76]


def test_a_candle_that_the_exchange_corrected_is_taken_over():
    held = stored(rows_before(NOON, 10))
    rows = [*rows_before(NOON, 9), row(END - MINUTE, 123), row(END, 124)]
    fetched = fetch_new(exchange(rows, NOON + timedelta(minutes=1, seconds=1)), BTC, held, None)
    assert fetched.candles.close.tolist()[-2:] == [123, 124]
    assert len(fetched.candles) == 11


def test_a_just_closed_candle_that_is_not_there_yet_changes_nothing():
    held = stored(rows_before(NOON, 10))
    fetched = fetch_new(exchange(rows_before(NOON, 10), NOON + timedelta(minutes=1)), BTC, held, None)
    assert fetched.candles.open_time_ms.tolist() == held.open_time_ms.tolist()


def test_a_series_that_is_too_far_behind_is_fetched_anew():
    now = NOON + timedelta(minutes=5000)
    stub = exchange(rows_before(now, 6000), now)
    fetched = fetch_new(stub, BTC, stored(rows_before(NOON, 400)), None)
    assert len(fetched.candles) == 400
    assert fetched.candles.open_time_ms[-1] == to_ms(now) - MINUTE
    assert (fetched.candles.clean_since, fetched.holes) == (0, ())


def test_a_hole_is_asked_for_again_and_filled_when_the_exchange_has_it_after_all():
    rows = rows_before(NOON, 20)
    stub = exchange(rows)
    answers = [rows[:5] + rows[8:], rows[5:8]]
    stub.klines = lambda *a, **k: stub.asked.append(k) or answers[len(stub.asked) - 1]
    fetched = fetch_history(stub, BTC)
    assert stub.asked[1] == {"start_ms": rows[5][0], "end_ms": rows[8][0] - 1, "limit": 3}
    assert len(fetched.candles) == 20
    assert (fetched.holes, fetched.candles.clean_since) == ((), 0)


def test_a_hole_that_the_exchange_has_is_named_and_the_clean_part_begins_behind_it():
    rows = rows_before(NOON, 20)
    stub = exchange(rows[:5] + rows[8:])
    fetched = fetch_history(stub, BTC)
    assert len(stub.asked) == 2
    assert fetched.holes == (Gap(rows[5][0], rows[8][0]),)
    assert (len(fetched.candles), fetched.candles.clean_since) == (17, 5)


def test_a_hole_that_is_known_is_not_asked_for_again():
    rows = rows_before(NOON, 20)
    held = stored(rows[:5] + rows[8:])
    stub = exchange([*rows[:5], *rows[8:], row(END)], NOON + timedelta(minutes=1, seconds=1))
    fetched = fetch_new(stub, BTC, held, None)
    assert len(stub.asked) == 1
    assert (fetched.holes, fetched.candles.clean_since, len(fetched.candles)) == ((), 5, 18)


def test_a_half_filled_hole_leaves_the_rest_as_the_hole():
    rows = rows_before(NOON, 20)
    stub = exchange([])
    answers = [rows[:5] + rows[8:], rows[5:6]]
    stub.klines = lambda *a, **k: stub.asked.append(k) or answers[len(stub.asked) - 1]
    assert fetch_history(stub, BTC).holes == (Gap(rows[6][0], rows[8][0]),)


def test_a_series_full_of_holes_is_cut_behind_the_ones_not_asked_for():
    rows = [one for at, one in enumerate(rows_before(NOON, 100)) if at % 2]
    stub = exchange(rows)
    fetched = fetch_history(stub, BTC)
    assert len(stub.asked) == 1 + 20
    assert len(fetched.candles) == 21
    assert len(fetched.holes) == 20


def test_a_broken_candle_in_the_middle_becomes_a_hole_with_a_reason():
    rows = rows_before(NOON, 20)
    rows[10] = row(rows[10][0], c="NaN")
    fetched = fetch_history(exchange(rows), BTC)
    assert fetched.holes == (Gap(rows[10][0], rows[11][0]),)
    assert fetched.candles.clean_since == 10
    assert {rejection.reason for rejection in fetched.rejections} == {
        "A price or the volume is not a number."
    }


def test_a_price_of_a_thousand_times_counts_only_after_two_repetitions():
    held = stored(rows_before(NOON, 20))
    stub = exchange([*rows_before(NOON, 20), row(END, 100_000)], NOON + timedelta(minutes=1, seconds=1))
    first = fetch_new(stub, BTC, held, None)
    assert len(first.candles) == 20
    assert first.rejections[0].open_time_ms == END
    stub.now += CONFIRM_GAP
    second = fetch_new(stub, BTC, held, first.suspicion)
    assert (len(second.candles), second.suspicion.seen) == (20, 2)
    stub.now += timedelta(seconds=1)
    assert fetch_new(stub, BTC, held, second.suspicion).suspicion == second.suspicion  # too soon to count
    stub.now += CONFIRM_GAP
    third = fetch_new(stub, BTC, held, second.suspicion)
    assert (len(third.candles), third.suspicion, third.rejections) == (21, None, ())
    assert third.candles.close[-1] == 100_000


def test_a_jump_that_is_taken_back_never_counted():
    held = stored(rows_before(NOON, 20))
    stub = exchange([*rows_before(NOON, 20), row(END, 100_000)], NOON + timedelta(minutes=1, seconds=1))
    first = fetch_new(stub, BTC, held, None)
    stub.klines_of["BTCUSDT", "1m"][-1] = row(END, 101)
    second = fetch_new(stub, BTC, held, first.suspicion)
    assert (second.candles.close[-1], second.suspicion) == (101, None)


def test_the_exchange_being_down_is_the_callers_to_handle():
    stub = exchange([])
    stub.error = Transient("down")
    with pytest.raises(Transient):
        fetch_history(stub, BTC)
