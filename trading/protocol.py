"""The order protocol as a pure function: step(request, event, now) -> (request, effects).

orders.py and recovery.py carry the effects out; sections and tables are in docs/orders.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tradebot.timings import Timings

State = Literal[
    "PREPARED", "UNKNOWN", "ACCEPTED", "REJECTED", "NOT_SENT", "NOT_PLACED", "LATE", "QUARANTINED"
]
OPEN: frozenset[str] = frozenset({"PREPARED", "UNKNOWN"})


@dataclass(frozen=True, slots=True)
class Request:
    """What the protocol needs to know of a request. Times are milliseconds; ts_ms is the exchange's clock."""

    state: State
    market: str
    lane: str  # entry | exit
    ts_ms: int
    recv_window_ms: int
    reason: str = ""
    answered: bool = False  # an answer, or that none came, was recorded
    hold_long: bool = True
    asked_count: int = 0
    next_ask_ms: int | None = None
    barrier_ms: int | None = None
    first_not_found_ms: int | None = None
    last_not_found_ms: int | None = None
    disagreements: int = 0

    @property
    def window_end_ms(self) -> int:
        """From here on the exchange refuses the committed timestamp."""
        return self.ts_ms + self.recv_window_ms


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """The POST was answered, or its connection ended. `kind` is one of the four outcomes."""

    kind: Literal["ACCEPTED", "REJECTED", "NOT_SENT", "UNKNOWN"]
    reason: str
    is_duplicate: bool = False  # the exchange knows our id: the first POST lives
    hold_long: bool = True


@dataclass(frozen=True, slots=True)
class NotSent:
    """It was decided under the lock not to send: too late, or no longer wanted."""

    reason: str


@dataclass(frozen=True, slots=True)
class Looked:
    """Somebody looks at the doubt. now is the estimate of the exchange's clock."""


@dataclass(frozen=True, slots=True)
class Found:
    """The exchange knows the order."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """The exchange says that it does not know the order. now is the exchange's own clock."""


@dataclass(frozen=True, slots=True)
class AskFailed:
    """A question had no answer."""


@dataclass(frozen=True, slots=True)
class BarrierPassed:
    """The engine answered our DELETE with "not open": nothing of ours can follow behind a closed window."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Whether trades, orders and balances agree that nothing was placed."""

    agrees: bool
    text: str


Event = Answered | NotSent | Looked | Found | NotFound | AskFailed | BarrierPassed | Evidence

# --- effects ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """GET the order by its client id."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """DELETE the order by its client id: the engine answers, which makes it a barrier."""


@dataclass(frozen=True, slots=True)
class Gather:
    """Ask for trades, orders and balances, and say whether they agree that nothing was placed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again at this time, not before."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Book:
    """Book what the exchange says of the order."""


@dataclass(frozen=True, slots=True)
class Release:
    """The request ended without an order: free the money and the places it held."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the bot: a human decides."""

    hold: str


Effect = Query | Cancel | Gather | Wait | Book | Release | Pause
Step = tuple[Request, tuple[Effect, ...]]


def hold_ms(request: Request, timings: Timings) -> int:
    """How long after the window NOT_PLACED and the next entry wait.

    Long after a 5xx or an unknown code, for an entry of which no answer is recorded, and for futures
    entries always, since a second check of the timestamp is documented for spot only.
    """
    is_entry = request.lane == "entry"
    unanswered_entry = is_entry and not request.answered
    futures_entry = is_entry and request.market == "futures"
    answered_badly = request.answered and request.hold_long
    long = unanswered_entry or futures_entry or answered_badly
    return int(1000 * (timings.hold_long_seconds if long else timings.hold_seconds))


def in_flight(request: Request, now_ms: int, timings: Timings) -> bool:
    """Whether another worker may still be sending it: prepared, and its window has hardly passed."""
    return request.state == "PREPARED" and now_ms < request.window_end_ms + int(
        1000 * timings.in_flight_seconds
    )


def may_send(request: Request, now_ms: int) -> bool:
    """Whether enough of the window is left: at most half of it was used up since the commit."""
    return request.state == "PREPARED" and now_ms <= request.ts_ms + request.recv_window_ms // 2


def step(request: Request, event: Event, now_ms: int, timings: Timings) -> Step:
    """The request after the event, and what is to be done. Terminal requests stay as they are.

    A NOT_PLACED request that is found after all becomes ACCEPTED (evidence beats inference).
    """
    if isinstance(event, Found):
        if request.state in ("ACCEPTED", "REJECTED", "NOT_SENT"):
            return request, ()
        pause: tuple[Effect, ...] = (Pause("drift"),) if request.state == "NOT_PLACED" else ()
        return replace(request, state="ACCEPTED", reason="found on the exchange"), (Book(), *pause)
    if request.state not in OPEN:
        return request, ()
    if isinstance(event, Answered):
        return _answered(request, event, now_ms, timings)
    if isinstance(event, NotSent):
        return replace(request, state="NOT_SENT", reason=event.reason), (Release(),)
    return _recover(request, event, now_ms, timings)


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
        return _ask_later(request, now_ms, timings)
    if isinstance(event, BarrierPassed):
        return replace(request, barrier_ms=now_ms, first_not_found_ms=None), (Query(),)
    if isinstance(event, Evidence):
        return _weigh(request, event, now_ms, timings)
    return _not_found(request, now_ms, timings)


def _looked(request: Request, now_ms: int, timings: Timings) -> Step:
    if in_flight(request, now_ms, timings):
        return request, (Wait(request.window_end_ms + int(1000 * timings.in_flight_seconds)),)
    if request.next_ask_ms is not None and now_ms < request.next_ask_ms:
        return request, (Wait(request.next_ask_ms),)
    if now_ms > request.window_end_ms + int(1000 * timings.quarantine_seconds):
        return _quarantine(request, "nobody could say for a day whether it was placed")
    return request, (Query(),)


def _ask_later(request: Request, now_ms: int, timings: Timings) -> Step:
    waits = (timings.second_query_seconds, timings.third_query_seconds)
    count = request.asked_count
    seconds = waits[count] if count < len(waits) else timings.later_query_seconds
    at = now_ms + int(1000 * seconds)
    return replace(request, asked_count=count + 1, next_ask_ms=at), (Wait(at),)


def _not_found(request: Request, now_ms: int, timings: Timings) -> Step:
    request = replace(request, last_not_found_ms=now_ms)
    final_ms = request.window_end_ms + hold_ms(request, timings)
    if now_ms <= final_ms:
        later, _ = _ask_later(request, now_ms, timings)
        at = min(later.next_ask_ms or final_ms, final_ms) + 1
        return replace(later, next_ask_ms=at), (Wait(at),)
    if request.barrier_ms is None:
        return request, (Cancel(),)
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
    return replace(request, state="QUARANTINED", reason=text), (Pause("doubt"),)
