"""Faults of fills and cancels: what an order gets, in how many trades, and what comes before its cancel."""

from __future__ import annotations

from decimal import Decimal

from trading.paper.fault_model import CANCEL, FILL, Fault, Kind
from trading.paper.orderbook import floor_to
from trading.paper.orders import ZERO

Takes = list[tuple[Decimal, Decimal]]  # (price, quantity)


def cut(takes: Takes, most: Decimal) -> Takes:
    """The takes up to a quantity in all."""
    kept: Takes = []
    for price, quantity in takes:
        share = min(quantity, most)
        if share <= 0:
            break
        kept.append((price, share))
        most -= share
    return kept


def partly(fault: Fault, takes: Takes, lot: Decimal) -> Takes:
    """`share` of what the order would get, at least one lot where the share is not 0."""
    whole = sum((quantity for _, quantity in takes), ZERO)
    share = Decimal(str(fault.options["share"]))
    most = floor_to(whole * share, lot)
    return cut(takes, max(most, lot) if share else ZERO)


def in_parts(fault: Fault, takes: Takes, lot: Decimal) -> Takes:
    """The same in `parts` trades, or as many as there are lots."""
    lots = sum(int(quantity / lot) for _, quantity in takes)
    parts = min(int(fault.options["parts"]), lots)
    if parts <= len(takes):
        return takes
    found: Takes = []
    for price, quantity in takes:
        mine = int(quantity / lot)
        pieces = max(1, min(mine, parts * mine // lots))
        each, left = divmod(mine, pieces)
        rest = quantity - mine * lot  # of a quantity that is no multiple of the lot
        sizes = [(each + (place < left)) * lot for place in range(pieces)]
        sizes[-1] += rest
        found += [(price, size) for size in sizes]
    missing = parts - len(found)
    for _ in range(max(0, missing)):  # lost to rounding: halve the largest piece
        place = max(range(len(found)), key=lambda one: found[one][1])
        price, size = found[place]
        half = floor_to(size / 2, lot)
        if half <= 0:
            break
        found[place : place + 1] = [(price, size - half), (price, half)]
    return found


SHAPES = {"fill_partly": partly, "fill_in_parts": in_parts}
FILLS: dict[str, Kind] = {
    "fill_partly": Kind(
        "an order gets only `share` (0.5) of what it would: a market order ends EXPIRED with it, a limit "
        "order stays PARTIALLY_FILLED until the fault is switched off",
        (FILL,),
        takes=("share",),
        defaults={"share": 0.5},
    ),
    "fill_in_parts": Kind("an order is filled in so many trades: `parts`", (FILL,), needs=("parts",)),
    "cancel_races_fill": Kind(
        "just before its cancel is handled, `share` (1) of what is left of the order is filled",
        (CANCEL,),
        takes=("share",),
        defaults={"share": 1.0},
    ),
}
