"""Exits in doubt: when another may follow, what bars what, and how a quarantine ends."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.protocol.test_protocol import TS, T, go, request
from trading.protocol import (
    Answered,
    AskFailed,
    BarrierPassed,
    Book,
    Cancel,
    CheckExit,
    Evidence,
    ExitChecked,
    Found,
    Gather,
    Leave,
    Looked,
    NotFound,
    Pause,
    Query,
    Release,
    Resolved,
    Wait,
    Withdraw,
    bars,
    follows_at_once,
    why_no_successor,
    window_closed,
)

CLOSED = TS + 6001


def exit_in_doubt(market="spot", **changes):
    values = {"lane": "exit", "answered": True, "hold_long": True, "covers_two": False}
    return request("UNKNOWN", market=market, **values | changes)


def test_nothing_of_a_request_can_arrive_a_second_behind_its_window():
    assert not window_closed(request(), CLOSED - 1, T)
    assert window_closed(request(), CLOSED, T)


def test_an_exit_in_doubt_is_looked_at_as_soon_as_another_may_follow():
    _, effects = go(exit_in_doubt(asked_count=2), NotFound(), TS + 3000)
    assert effects == (Wait(CLOSED),)


def test_a_futures_exit_goes_late_once_its_window_is_over():
    early, _ = go(exit_in_doubt("futures"), NotFound(), CLOSED - 1)
    assert early.state == "UNKNOWN"
    late, effects = go(early, NotFound(), CLOSED)
    assert (late.state, late.late, effects[0]) == ("LATE", True, Leave())
    assert isinstance(effects[1], Wait)


def test_a_futures_exit_goes_late_even_if_the_exchange_does_not_answer():
    assert go(exit_in_doubt("futures"), AskFailed(), CLOSED)[0].state == "LATE"
    assert go(exit_in_doubt("futures"), AskFailed(), CLOSED - 1)[0].state == "UNKNOWN"


def test_a_spot_exit_goes_late_behind_the_barrier_and_never_by_that_alone():
    doubt, effects = go(exit_in_doubt(), NotFound(), CLOSED)
    assert effects == (Cancel(),)
    doubt, effects = go(doubt, BarrierPassed(), CLOSED)
    assert effects == (Query(),)
    doubt, effects = go(doubt, NotFound(), CLOSED)
    assert (doubt.state, effects) == ("UNKNOWN", (CheckExit(),))
    assert go(doubt, AskFailed(), CLOSED)[0].state == "UNKNOWN"
    late, effects = go(doubt, ExitChecked(True, "", at_once=True), CLOSED)
    assert (late.state, effects[0]) == ("LATE", Leave())


def test_the_hold_does_not_delay_a_spot_exits_successor():
    prepared = request(lane="exit", covers_two=False, barrier_ms=CLOSED)  # no answer is known: 60 s
    assert go(prepared, NotFound(), TS + 7000)[1] == (CheckExit(),)
    assert go(exit_in_doubt(barrier_ms=CLOSED), NotFound(), TS + 7000)[1] == (
        CheckExit(),
    )  # after a 5xx: 600 s


def test_a_spot_exit_that_may_not_be_followed_goes_all_the_way():
    doubt = exit_in_doubt(barrier_ms=CLOSED, hold_long=False, asked_count=3)
    doubt, effects = go(doubt, ExitChecked(False, "coins are missing"), CLOSED)
    assert (doubt.state, effects) == ("UNKNOWN", (Wait(TS + 36_001),))
    enough = exit_in_doubt(barrier_ms=CLOSED, hold_long=False, covers_two=True)
    assert go(enough, NotFound(), TS + 65_001)[1] == (Wait(TS + 75_001),)


def test_a_late_exit_is_asked_for_until_it_is_known():
    late, _ = go(exit_in_doubt(), ExitChecked(True, "", at_once=True), CLOSED)
    assert go(late, Looked(), late.next_ask_ms)[1] == (Query(),)
    found, effects = go(late, Found(), CLOSED + 5000)
    assert (found.state, effects) == ("ACCEPTED", (Book(), Withdraw()))
    gone, effects = go(late, Evidence(True, "nothing"), TS + 700_000)
    assert (gone.state, effects) == ("NOT_PLACED", (Release(),))
    torn, _ = go(late, Evidence(False, "one"), TS + 700_000)
    torn, effects = go(torn, Evidence(False, "two"), TS + 710_000)
    assert (torn.state, effects) == ("QUARANTINED", (Leave(), Pause("doubt")))


def test_a_late_exit_waits_for_hold_barrier_and_two_questions():
    late, _ = go(exit_in_doubt("futures"), NotFound(), CLOSED)
    late, effects = go(late, NotFound(), TS + 10_000)
    assert effects == (Cancel(),)
    late, _ = go(late, BarrierPassed(), TS + 10_000)
    late, _ = go(late, NotFound(), TS + 10_000)
    assert late.first_not_found_ms is None  # within the hold of ten minutes nothing counts
    late, effects = go(late, NotFound(), TS + 605_001)
    assert effects == (Wait(TS + 615_001),)
    late, effects = go(late, NotFound(), TS + 615_001)
    assert effects == (Gather(),)


def test_an_answer_that_comes_to_a_late_request_changes_nothing():
    late, _ = go(exit_in_doubt("futures"), NotFound(), CLOSED)
    assert go(late, Answered("ACCEPTED", "accepted"), CLOSED) == (late, ())


@pytest.mark.parametrize(
    ("doubt", "lanes"),
    [
        (request("PREPARED"), {"entry"}),
        (request("UNKNOWN"), {"entry"}),
        (request("QUARANTINED"), {"entry"}),
        (request("PREPARED", lane="exit"), {"entry", "exit"}),
        (request("UNKNOWN", lane="exit", market="futures"), {"entry", "exit"}),
        (request("LATE", lane="exit", late=True), {"entry"}),
        (request("QUARANTINED", lane="exit"), {"entry", "exit"}),
        (request("QUARANTINED", lane="exit", late=True), {"entry"}),
        (request("QUARANTINED", lane="exit", market="futures"), {"entry"}),
        (request("ACCEPTED", lane="exit"), set()),
        (request("NOT_PLACED"), set()),
    ],
)
def test_a_doubt_bars_entries_and_exits_only_where_it_must(doubt, lanes):
    assert bars([doubt]) == lanes


def why_not(**changes):
    values = {
        "quantity": 1,
        "before": "1.5",
        "total": "1.5",
        "expected": "1.5",
        "sold_by_others": 0,
    } | changes
    return why_no_successor(
        **{name: None if value is None else Decimal(value) for name, value in values.items()}
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"before": "1.99999999"}, None),
        ({"before": 2}, "enough for two"),
        ({"total": 2}, "enough for two"),  # what was known before was too little
        ({"before": None}, "enough for two"),
        ({"expected": None}, "enough for two"),
        ({"total": "1.4"}, "has 1.4, the journal expects 1.5"),  # the first may have sold a part
        ({"total": "1.4", "sold_by_others": "0.05"}, "has 1.4, the journal expects 1.5"),
        ({"total": "1.4", "sold_by_others": "0.1"}, None),
    ],
)
def test_a_spot_exit_is_followed_only_if_the_first_can_not_have_sold(changes, words):
    reason = why_not(**changes)
    assert reason is None if words is None else words in reason


def test_with_coins_beyond_the_position_the_balance_is_believed_ten_seconds_behind_the_barrier():
    assert follows_at_once(Decimal("1.0009"), Decimal(1), Decimal("0.001"))
    assert not follows_at_once(Decimal("1.001"), Decimal(1), Decimal("0.001"))
    doubt = exit_in_doubt(barrier_ms=CLOSED)
    doubt, effects = go(doubt, ExitChecked(True, ""), CLOSED)
    assert (doubt.state, effects) == ("UNKNOWN", (Wait(CLOSED + 10_000),))
    assert go(doubt, Looked(), CLOSED + 9_999)[1] == (Wait(CLOSED + 10_000),)
    assert go(doubt, ExitChecked(True, ""), CLOSED + 10_000)[0].state == "LATE"


@pytest.mark.parametrize(
    ("outcome", "effects"), [("ACCEPTED", (Book(), Withdraw())), ("NOT_PLACED", (Release(),))]
)
def test_a_quarantine_ends_by_a_person_only(outcome, effects):
    doubt = request("QUARANTINED", reason="balance differs")
    for event in (Found(), NotFound(), Evidence(True, ""), Looked(), AskFailed()):
        assert go(doubt, event, TS + 900_000) == (doubt, ())
    after, done = go(doubt, Resolved(outcome, "seen by olga"), TS + 900_000)
    assert (after.state, after.reason, done) == (outcome, "seen by olga", effects)


def test_only_a_quarantine_is_resolved():
    doubt = request("UNKNOWN")
    assert go(doubt, Resolved("NOT_PLACED", "said so"), TS) == (doubt, ())
