"""From what is wished and what exists to the next step: withdraw a request's orders, or place some. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trading.decide import difference
from trading.protection import PROTECTIVE
from trading.types import LiveOrder, Wish

EXIT_LANE = frozenset({"EXIT", "STOP", "TARGET"})


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take these orders, all of one request, from the exchange."""

    orders: tuple[LiveOrder, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Place these wishes by one request."""

    wishes: tuple[Wish, ...]


Step = Withdraw | Place


def lane_of(wish: Wish) -> str:
    """Whatever can enlarge the position is in the entry lane."""
    return "exit" if wish.purpose in EXIT_LANE else "entry"


def next_step(
    wishes: Sequence[Wish],
    live: Sequence[LiveOrder],
    *,
    market: str,
    busy_lanes: Collection[str] = (),
    withdraw_first: bool = False,
) -> Step | None:
    """The one thing to do next, or None when nothing is to be done or a doubt has to end first.

    Withdrawing comes first, then exits, then protection, then entries. On futures an exit goes before what
    it makes needless is withdrawn, so that no crash leaves the position naked, unless `withdraw_first` (the
    exchange refused: -4118). A spot stop and target are one OCO: both are withdrawn and placed together. An
    order in doubt is never withdrawn, and nothing is placed in a lane that is busy with a doubt.
    """
    gone, missing = difference(wishes, live)
    if market == "spot":
        gone, missing = _together(gone, missing, wishes, live)
    gone = tuple(order for order in gone if not order.in_doubt)
    exits = [wish for wish in missing if wish.purpose == "EXIT"]
    if exits and "exit" in busy_lanes:
        return None  # what protects now stays until the exit can be placed
    if exits and market == "futures" and not withdraw_first:
        return Place((exits[0],))
    if gone:
        first = gone[0].request_id
        return Withdraw(tuple(order for order in gone if order.request_id == first))
    free = [wish for wish in missing if lane_of(wish) not in busy_lanes]
    if not free:
        return None
    pair = tuple(wish for wish in free if wish.purpose in PROTECTIVE)
    if market == "spot" and free[0].purpose in PROTECTIVE and len(pair) == 2:
        return Place(pair)
    return Place((free[0],))


def _together(
    gone: tuple[LiveOrder, ...],
    missing: tuple[Wish, ...],
    wishes: Sequence[Wish],
    live: Sequence[LiveOrder],
) -> tuple[tuple[LiveOrder, ...], tuple[Wish, ...]]:
    """A change to one of a spot position's stop and target is a change to both: they lock the same coins."""
    changed = {order.purpose for order in gone} | {wish.purpose for wish in missing}
    if not changed & PROTECTIVE:
        return gone, missing
    others = tuple(order for order in gone if order.purpose not in PROTECTIVE)
    rest = [wish for wish in missing if wish.purpose not in PROTECTIVE]
    anew = [wish for wish in wishes if wish.purpose in PROTECTIVE]
    before = [wish for wish in rest if wish.purpose == "EXIT"]
    after = [wish for wish in rest if wish.purpose != "EXIT"]
    protective = tuple(order for order in live if order.purpose in PROTECTIVE)
    return (*others, *protective), (*before, *anew, *after)
