"""The order protocol as a pure function: step(request, event, now) -> (request, effects).

orders.py and recovery.py carry the effects out; sections and tables are in docs/orders.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from tradebot.timings import Timings
from trading.protocol_words import (
    ASKED,
    DOUBT,
    LEFT,
    OPEN,
    Answered,
    Archived,
    AskFailed,
    BarrierPassed,
    Book,
    Cancel,
    CheckExit,
    Effect,
    Event,
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
    Request,
    Resolved,
    State,
    Wait,
    Withdraw,
)

__all__ = [
    "ASKED",
    "DOUBT",
    "LEFT",
    "OPEN",
    "Answered",
    "Archived",
    "AskFailed",
    "BarrierPassed",
    "Book",
    "Cancel",
    "CheckExit",
    "Effect",
    "Event",
    "Evidence",
    "ExitChecked",
    "Expire",
    "Found",
    "Gather",
    "Leave",
    "Looked",
    "NotFound",
    "NotSent",
    "Pause",
    "Query",
    "Release",
    "Request",
    "Resolved",
    "State",
    "Step",
    "Wait",
    "Withdraw",
    "bars",
    "covers_two",
    "follows_at_once",
    "hold_ms",
    "in_flight",
    "may_send",
    "step",
    "why_no_successor",
    "window_closed",
]

ASKED_BEFORE_QUARANTINE = 3  # a worker that slept for a day asks first
Step = tuple[Request, tuple[Effect, ...]]


def hold_ms(request: Request, timings: Timings) -> int:
    """How long after the window NOT_PLACED and the next entry wait.

    Long after a 5xx or an unknown code, for an entry of which no answer is recorded, and on futures always,
    since a second check of the timestamp is documented for spot only: what waits before the engine there can
    be executed long after its window. An exit's successor does not wait for it.
    """
    unanswered_entry = request.lane == "entry" and not request.answered
    answered_badly = request.answered and request.hold_long
    long = unanswered_entry or answered_badly or request.market == "futures"
    return int(1000 * (timings.hold_long_seconds if long else timings.hold_seconds))


def in_flight(request: Request, now_ms: int, timings: Timings) -> bool:
    """Whether another worker may still be sending it: prepared, and its window has hardly passed."""
    return request.state == "PREPARED" and now_ms < request.window_end_ms + int(
        1000 * timings.in_flight_seconds
    )


def may_send(request: Request, now_ms: int) -> bool:
    """Whether enough of the window is left: at most half of it was used up since the commit."""
    return request.state == "PREPARED" and now_ms <= request.ts_ms + request.recv_window_ms // 2


def bars(requests: Iterable[Request]) -> frozenset[str]:
    """The lanes that these requests of one bot keep closed.

    Whatever is in doubt bars entries. Exits are barred by an open exit only, and by a quarantined one on
    spot that was never LATE: its coins may be gone, or may serve it twice.
    """
    lanes = set()
    for one in requests:
        if one.state in DOUBT:
            lanes.add("entry")
        stuck = one.state == "QUARANTINED" and one.market == "spot" and not one.late
        if one.lane == "exit" and (one.state in OPEN or stuck):
            lanes.add("exit")
    return frozenset(lanes)


def covers_two(quantity: Decimal, *balances: Decimal | None) -> bool:
    """Whether coins known of may serve a sale of `quantity` (base units) twice; yes where none are known.

    If they can't, the exchange itself refuses the second of two sales for want of coins.
    """
    return any(balance is None or balance >= 2 * quantity for balance in balances)


def why_no_successor(
    *,
    quantity: Decimal,
    before: Decimal | None,
    total: Decimal,
    expected: Decimal | None,
    sold_by_others: Decimal,
) -> str | None:
    """Why no spot exit may be written beside one in doubt, or None. All in base units.

    `before` is the balance known when the exit was written, `total` the account's now, with what open
    orders hold, `expected` what the journal says it is. Coins of under twice the quantity can't serve both
    exits in full, and a first one that sold any left less than expected, which trades of others don't tell.
    """
    if expected is None or covers_two(quantity, before, total):
        return "the account may have had enough for two such exits"
    if total + sold_by_others < expected:
        return f"the account has {total:f}, the journal expects {expected:f}, and no trade tells why"
    return None


def follows_at_once(before: Decimal, position: Decimal, lot: Decimal) -> bool:
    """Whether a lagging balance can't make a second spot exit sell too much, in base units.

    With less than a lot beyond the position, the exchange refuses the second exit for want of coins, however
    little the first one sold.
    """
    return before - position < lot


def window_closed(request: Request, now_ms: int, timings: Timings) -> bool:
    """Whether its window is over by so much that nothing of it can reach the engine any more."""
    return now_ms > request.window_end_ms + int(1000 * timings.successor_seconds)


def step(request: Request, event: Event, now_ms: int, timings: Timings) -> Step:
    """The request after the event, and what is to be done. Terminal requests stay as they are.

    A NOT_PLACED request that is found after all becomes ACCEPTED (evidence beats inference); a QUARANTINED
    one moves by Resolved only.
    """
    if isinstance(event, Found):
        return _found(request)
    if isinstance(event, Resolved):
        return _resolved(request, event)
    if request.state not in ASKED:
        return request, ()
    if isinstance(event, Answered | NotSent):
        return _sent(request, event, now_ms, timings) if request.state in OPEN else (request, ())
    return _recover(request, event, now_ms, timings)


def _found(request: Request) -> Step:
    if request.state not in ASKED | LEFT:
        return request, ()
    effects: list[Effect] = [Book()]
    if request.state in LEFT:
        effects.append(Withdraw())
    if request.state == "NOT_PLACED":
        effects.append(Pause("drift"))
    return replace(request, state="ACCEPTED", reason="found on the exchange"), tuple(effects)


def _resolved(request: Request, event: Resolved) -> Step:
    if request.state != "QUARANTINED":
        return request, ()
    after = replace(request, state=event.outcome, reason=event.reason)
    return after, (Book(), Withdraw()) if event.outcome == "ACCEPTED" else (Release(),)


def _sent(request: Request, event: Answered | NotSent, now_ms: int, timings: Timings) -> Step:
    if isinstance(event, NotSent):
        return replace(request, state="NOT_SENT", reason=event.reason), (Release(),)
    return _answered(request, event, now_ms, timings)


def _answered(request: Request, event: Answered, now_ms: int, timings: Timings) -> Step:
    if event.kind == "UNKNOWN":
        first = 0 if event.is_duplicate else int(1000 * timings.first_query_seconds)
        unknown = replace(
            request,
            state="UNKNOWN",
            reason=event.reason,
            answered=True,
            hold_long=event.hold_long,
            next_ask_ms=now_ms + first,
        )
        return unknown, (Wait(now_ms + first),)
    ended = replace(request, state=event.kind, reason=event.reason, answered=True)
    return ended, (Book(),) if event.kind == "ACCEPTED" else (Release(),)


def _recover(request: Request, event: Event, now_ms: int, timings: Timings) -> Step:
    if isinstance(event, Looked):
        return _looked(request, now_ms, timings)
    if isinstance(event, AskFailed):
        return _ask_failed(request, now_ms, timings)
    if isinstance(event, Archived):
        expired = replace(request, state="ACCEPTED", reason="expired long ago, nothing was executed (-2026)")
        return expired, (Expire(),)
    if isinstance(event, BarrierPassed):
        return replace(request, barrier_ms=now_ms, first_not_found_ms=None), (Query(),)
    if isinstance(event, ExitChecked):
        return _exit_checked(request, event, now_ms, timings)
    if isinstance(event, Evidence):
        return _weigh(request, event, now_ms, timings)
    return _not_found(request, now_ms, timings)


def _looked(request: Request, now_ms: int, timings: Timings) -> Step:
    if in_flight(request, now_ms, timings):
        return request, (Wait(request.window_end_ms + int(1000 * timings.in_flight_seconds)),)
    if request.next_ask_ms is not None and now_ms < request.next_ask_ms:
        return request, (Wait(request.next_ask_ms),)
    return request, (Query(),)


def _ask_failed(request: Request, now_ms: int, timings: Timings) -> Step:
    """A reduce-only exit needs no answer: a second one can't sell more than there is."""
    if _is_reduce_only(request) and window_closed(request, now_ms, timings):
        return _late(request, now_ms, timings)
    return _ask_later(request, now_ms, timings)


def _is_reduce_only(request: Request) -> bool:
    return request.state in OPEN and request.lane == "exit" and request.market == "futures"


def _late(request: Request, now_ms: int, timings: Timings) -> Step:
    later, effects = _ask_later(replace(request, late=True), now_ms, timings)
    if later.state == "QUARANTINED":
        return later, effects
    text = f"its time is over: another exit may follow; {request.reason or 'no answer is known'}"
    return replace(later, state="LATE", reason=text), (Leave(), *effects)


def _ask_later(request: Request, now_ms: int, timings: Timings) -> Step:
    is_old = now_ms > request.window_end_ms + int(1000 * timings.quarantine_seconds)
    if is_old and request.asked_count >= ASKED_BEFORE_QUARANTINE:
        return _quarantine(request, "nobody could say for a day whether it was placed")
    waits = (
        timings.second_query_seconds - timings.first_query_seconds,
        timings.third_query_seconds - timings.second_query_seconds,
    )
    count = request.asked_count
    seconds = waits[count] if count < len(waits) else timings.later_query_seconds
    at = now_ms + int(1000 * seconds)
    if request.lane == "exit" and request.state in OPEN:
        closes = request.window_end_ms + int(1000 * timings.successor_seconds)
        at = min(at, max(closes, now_ms) + 1) if now_ms <= closes else at
    return replace(request, asked_count=count + 1, next_ask_ms=at), (Wait(at),)


def _not_found(request: Request, now_ms: int, timings: Timings) -> Step:
    request = replace(request, last_not_found_ms=now_ms)
    if request.has_id or not window_closed(request, now_ms, timings):
        return _ask_later(request, now_ms, timings)
    if _is_reduce_only(request):
        return _late(request, now_ms, timings)
    if request.barrier_ms is None:
        return request, (Cancel(),)
    if request.state in OPEN and request.lane == "exit" and not request.covers_two:
        return request, (CheckExit(),)
    return _hold(request, now_ms, timings)


def _exit_checked(request: Request, event: ExitChecked, now_ms: int, timings: Timings) -> Step:
    """Balances are believed some seconds behind the barrier, unless the coins alone prove it."""
    if not event.may_follow:
        return _hold(request, now_ms, timings)
    believed_ms = (request.barrier_ms or now_ms) + int(1000 * timings.not_found_gap_seconds)
    if not event.at_once and now_ms < believed_ms:
        return replace(request, next_ask_ms=believed_ms), (Wait(believed_ms),)
    return _late(request, now_ms, timings)


def _hold(request: Request, now_ms: int, timings: Timings) -> Step:
    """Behind the barrier: wait for the hold, then for the second "does not exist", then for evidence."""
    final_ms = request.window_end_ms + hold_ms(request, timings)
    if now_ms <= final_ms:
        later, _ = _ask_later(request, now_ms, timings)
        at = min(later.next_ask_ms or final_ms, final_ms + 1)
        return replace(later, next_ask_ms=at), (Wait(at),)
    gap_ms = int(1000 * timings.not_found_gap_seconds)
    if request.first_not_found_ms is None:
        at = now_ms + gap_ms
        return replace(request, first_not_found_ms=now_ms, next_ask_ms=at), (Wait(at),)
    if now_ms - request.first_not_found_ms < gap_ms:
        return request, (Wait(request.first_not_found_ms + gap_ms),)
    return request, (Gather(),)


def _weigh(request: Request, event: Evidence, now_ms: int, timings: Timings) -> Step:
    if event.agrees:
        return replace(request, state="NOT_PLACED", reason=f"not placed: {event.text}"), (Release(),)
    if request.disagreements:
        return _quarantine(request, event.text)
    at = now_ms + int(1000 * timings.not_found_gap_seconds)
    return replace(request, disagreements=1, next_ask_ms=at), (Wait(at),)


def _quarantine(request: Request, text: str) -> Step:
    return replace(request, state="QUARANTINED", reason=text), (Leave(), Pause("doubt"))
