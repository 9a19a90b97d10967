"""The pure protocol: what each event makes of a request, and what is to be done then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.support import TS, T, go, request
from trading import protocol
from trading.protocol import (
    Answered,
    Archived,
    AskFailed,
    BarrierPassed,
    Book,
    Cancel,
    Evidence,
    ExitChecked,
    Expire,
    Found,
    Gather,
    Leave,
    Looked,
    NotFound,
    NotSent,
    Pause,
    Query,
    Release,
    Resolved,
    Wait,
    Withdraw,
    step,
)


@pytest.mark.parametrize(
    ("kind", "effect"), [("ACCEPTED", Book()), ("REJECTED", Release()), ("NOT_SENT", Release())]
)
def test_a_definite_answer_ends_the_request(kind, effect):
    after, effects = go(request(), Answered(kind, "because"), TS + 100)
    assert (after.state, after.reason, effects) == (kind, "because", (effect,))


def test_an_unknown_answer_is_asked_for_after_a_second():
    after, effects = go(request(), Answered("UNKNOWN", "read timeout", hold_long=False), TS + 100)
    assert after.state == "UNKNOWN"
    assert effects == (Wait(TS + 1100),)
    assert after.answered


def test_a_duplicate_id_is_asked_for_at_once():
    after, effects = go(request(), Answered("UNKNOWN", "Duplicate order sent.", is_duplicate=True), TS + 100)
    assert (after.state, effects) == ("UNKNOWN", (Wait(TS + 100),))


def test_a_request_that_may_be_in_flight_is_left_alone():
    after, effects = go(request(), Looked(), TS + 6999)
    assert (after, effects) == (request(), (Wait(TS + 7000),))
    assert go(request(), Looked(), TS + 7000)[1] == (Query(),)


def test_it_is_sent_only_in_the_first_half_of_its_window():
    assert protocol.may_send(request(), TS + 2500)
    assert not protocol.may_send(request(), TS + 2501)
    assert not protocol.may_send(request("UNKNOWN"), TS)


@pytest.mark.parametrize("state", ["PREPARED", "UNKNOWN"])
def test_found_is_booked(state):
    after, effects = go(request(state), Found(), TS + 9000)
    assert (after.state, effects) == ("ACCEPTED", (Book(),))


def test_found_after_not_placed_is_booked_and_pauses_the_bot():
    after, effects = go(request("NOT_PLACED"), Found(), TS + 900_000)
    assert (after.state, effects) == ("ACCEPTED", (Book(), Withdraw(), Pause("drift")))


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"state": "PREPARED"}, 600),  # an entry of which no answer is recorded
        ({"state": "PREPARED", "lane": "exit"}, 60),
        ({"state": "UNKNOWN", "answered": True, "hold_long": False}, 60),
        ({"state": "UNKNOWN", "answered": True, "hold_long": True}, 600),
        ({"state": "UNKNOWN", "answered": True, "hold_long": False, "market": "futures"}, 600),
        (
            {"state": "UNKNOWN", "answered": True, "hold_long": False, "market": "futures", "lane": "exit"},
            600,
        ),
        ({"state": "PREPARED", "market": "futures", "lane": "exit"}, 600),
    ],
)
def test_hold_by_what_is_known_of_the_answer(changes, seconds):
    assert protocol.hold_ms(request(**changes), T) == seconds * 1000


def test_not_found_is_not_final_within_the_hold():
    doubt = request("UNKNOWN", answered=True, hold_long=False, barrier_ms=TS + 6001, asked_count=2)
    end = TS + 5000 + 60_000
    after, effects = go(doubt, NotFound(), end)
    assert after.state == "UNKNOWN"
    assert effects == (Wait(end + 1),)


def test_the_whole_way_to_not_placed():
    doubt = request("UNKNOWN", answered=True, hold_long=False)
    doubt, effects = go(doubt, NotFound(), TS + 6000)
    assert effects == (Wait(TS + 8000),)  # its window may be open yet
    doubt, effects = go(doubt, NotFound(), TS + 8000)
    assert effects == (Cancel(),)  # the hold does not delay the barrier
    doubt, effects = go(doubt, BarrierPassed(), TS + 8000)
    assert effects == (Query(),)
    doubt, effects = go(doubt, NotFound(), TS + 8000)
    assert effects == (Wait(TS + 15_000),)
    now = TS + 65_001
    doubt, effects = go(doubt, NotFound(), now)
    assert effects == (Wait(now + 10_000),)
    assert go(doubt, Looked(), now + 9_999)[1] == (Wait(now + 10_000),)
    doubt, effects = go(doubt, NotFound(), now + 10_000)
    assert effects == (Gather(),)
    done, effects = go(doubt, Evidence(True, "nothing there"), now + 10_000)
    assert (done.state, effects) == ("NOT_PLACED", (Release(),))


def test_two_disagreements_are_for_a_human():
    doubt = request("UNKNOWN", answered=True, hold_long=False)
    doubt, effects = go(doubt, Evidence(False, "balance differs"), TS + 100_000)
    assert (doubt.state, effects) == ("UNKNOWN", (Wait(TS + 110_000),))
    done, effects = go(doubt, Evidence(False, "balance differs"), TS + 110_000)
    assert (done.state, done.reason) == ("QUARANTINED", "balance differs")
    assert effects == (Leave(), Pause("doubt"))


def test_a_day_without_an_answer_is_for_a_human_who_is_told_after_three_questions():
    doubt, now = request("UNKNOWN", answered=True), TS + 5000 + 86_400_001
    assert go(doubt, Looked(), now)[1] == (Query(),)  # even if nobody asked for a day
    for _ in range(3):
        doubt, effects = go(doubt, AskFailed(), now)
        assert doubt.state == "UNKNOWN"
    doubt, effects = go(doubt, AskFailed(), now)
    assert (doubt.state, effects) == ("QUARANTINED", (Leave(), Pause("doubt")))


def test_with_the_exchanges_number_in_hand_not_found_is_a_lag_and_never_final():
    doubt = request("UNKNOWN", answered=True, has_id=True, barrier_ms=TS, first_not_found_ms=TS)
    after, effects = go(doubt, NotFound(), TS + 900_000)
    assert (after.state, effects) == ("UNKNOWN", (Wait(TS + 902_000),))


def test_what_the_exchange_has_archived_ended_without_a_fill():
    after, effects = go(request("UNKNOWN", answered=True), Archived(), TS + 900_000)
    assert (after.state, effects) == ("ACCEPTED", (Expire(),))


def test_failed_questions_are_asked_again_ever_more_slowly():
    doubt, waits = request("UNKNOWN", answered=True), []
    for _ in range(4):
        doubt, effects = go(doubt, AskFailed(), TS)
        waits.append(effects[0].until_ms - TS)
    assert waits == [2000, 7000, 30_000, 30_000]  # 1, 3 and 10 s after the doubt


EVENTS = st.one_of(
    st.builds(Answered, st.sampled_from(["ACCEPTED", "REJECTED", "NOT_SENT", "UNKNOWN"]), st.just("r")),
    st.builds(NotSent, st.just("r")),
    st.sampled_from([Looked(), Found(), NotFound(), AskFailed(), BarrierPassed(), Archived()]),
    st.builds(Evidence, st.booleans(), st.just("r")),
    st.builds(ExitChecked, st.booleans(), st.just("r")),
    st.builds(Resolved, st.sampled_from(["ACCEPTED", "NOT_PLACED"]), st.just("r")),
)
LEGAL = {
    "PREPARED": {"ACCEPTED", "REJECTED", "NOT_SENT", "UNKNOWN", "NOT_PLACED", "LATE", "QUARANTINED"},
    "UNKNOWN": {"ACCEPTED", "NOT_PLACED", "LATE", "QUARANTINED"},
    "NOT_PLACED": {"ACCEPTED"},
    "QUARANTINED": {"ACCEPTED", "NOT_PLACED"},
    "LATE": {"ACCEPTED", "NOT_PLACED", "QUARANTINED"},
}


@given(
    st.lists(st.tuples(EVENTS, st.integers(0, 100_000_000)), max_size=30),
    st.sampled_from(["entry", "exit"]),
    st.sampled_from(["spot", "futures"]),
    st.booleans(),
)
def test_no_events_lead_out_of_the_legal_ways(events, lane, market, covers_two):
    one = request(lane=lane, market=market, covers_two=covers_two)
    for event, after_ms in events:
        if isinstance(event, Answered) and one.state != "PREPARED":
            continue  # nobody sends twice
        if isinstance(event, NotSent) and one.state != "PREPARED":
            continue
        if isinstance(event, ExitChecked) and (lane, market) != ("exit", "spot"):
            continue  # nobody checks
        before = one.state
        one, effects = step(one, event, TS + after_ms, T)
        assert one.state == before or one.state in LEGAL.get(before, set())
        assert one.state != "LATE" or lane == "exit"
        left_by_person = before == "QUARANTINED" and one.state != before
        assert not left_by_person or isinstance(event, Resolved)
        ended = one.state not in protocol.ASKED
        assert not ended or not any(isinstance(effect, Query | Cancel | Gather) for effect in effects)
        assert not ended or one.state == "QUARANTINED" or one.reason
