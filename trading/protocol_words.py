"""The order protocol's words: what it knows of a request, what can happen to it, what is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal[
    "PREPARED", "UNKNOWN", "ACCEPTED", "REJECTED", "NOT_SENT", "NOT_PLACED", "LATE", "QUARANTINED"
]
OPEN: frozenset[str] = frozenset({"PREPARED", "UNKNOWN"})
ASKED: frozenset[str] = OPEN | {"LATE"}  # what recovery asks for
DOUBT: frozenset[str] = ASKED | {"QUARANTINED"}
LEFT: frozenset[str] = frozenset({"LATE", "NOT_PLACED"})  # whose orders nobody counts on any more


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
    late: bool = False  # it was LATE once: a successor may have been written
    has_id: bool = False  # the exchange gave it a number: "does not exist" means a lag
    covers_two: bool = True  # spot exits: the coins known of may serve it twice

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
class Archived:
    """The exchange knew it, executed nothing of it, and put it away after 90 days (-2026)."""


@dataclass(frozen=True, slots=True)
class BarrierPassed:
    """The engine answered our DELETE with "not open": nothing of ours can follow behind a closed window."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Whether trades, orders and balances agree that nothing was placed."""

    agrees: bool
    text: str


@dataclass(frozen=True, slots=True)
class ExitChecked:
    """Whether another exit may be written beside this one (why_no_successor).

    `at_once`: the account has so few coins beyond the position that a balance which lags does no harm.
    """

    may_follow: bool
    text: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Resolved:
    """Somebody with the right to it said what became of a quarantined request."""

    outcome: Literal["ACCEPTED", "NOT_PLACED"]
    reason: str


Event = (
    Answered
    | NotSent
    | Looked
    | Found
    | NotFound
    | AskFailed
    | Archived
    | BarrierPassed
    | Evidence
    | ExitChecked
    | Resolved
)

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
class CheckExit:
    """Ask for trades, open orders and coins, and say whether another exit may be written."""


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
class Leave:
    """Its orders leave the index of live orders for good; found open they are withdrawn."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Cancel what is open of it and book that: nobody wishes it any more."""


@dataclass(frozen=True, slots=True)
class Expire:
    """End its orders as expired, with nothing executed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the bot: a human decides."""

    hold: str


Effect = Query | Cancel | Gather | CheckExit | Wait | Book | Release | Leave | Withdraw | Expire | Pause
