"""FIFO books of one bot's fills: position, average entry price, realised PnL net of fees. Pure and exact.

The rule: every open lot keeps the cash that it cost (negative) or brought (positive, a short's),
fees included. A close takes lots first in, first out, each with its share of that cash; a share is
rounded to 18 decimals and the rest stays with the lot, whose last piece takes what is left. So
nothing is lost or made by rounding: the realised PnL of all fills plus the cash of the open lots is
exactly the sum of all cash flows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from trading.types import Side

PLACES = Decimal("1e-18")
PRECISION = 80  # digits; enough for sums of products of any numbers that an exchange sends
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class FillView:
    """One fill. Quantities in base, prices in quote units; `bnb_price` is the quote price of a third asset.

    Dust and other adjustments are given as fills without commission, at the price that they are
    valued at.
    """

    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    base: str
    quote: str
    bnb_price: Decimal | None = None
    market: str = "spot"


@dataclass(frozen=True, slots=True)
class OpenLot:
    """What is left of one entry fill: signed quantity in base, its price, its quote cash with fees."""

    quantity: Decimal
    price: Decimal
    cash: Decimal


@dataclass(frozen=True, slots=True)
class Books:
    """What fills add up to. `realized` has one net PnL in quote units per fill, in order; 0 for entries."""

    position: Decimal  # in base units; negative when short
    average_entry_price: Decimal | None  # of the fills' prices, without fees; None when flat
    lots: tuple[OpenLot, ...]
    realized: tuple[Decimal, ...]

    @property
    def realized_total(self) -> Decimal:
        """Realised PnL of all fills, exact."""
        with localcontext(prec=PRECISION):
            return sum(self.realized, ZERO)

    @property
    def open_cash(self) -> Decimal:
        """Cash of the open lots with fees: minus what a long position cost, plus what a short one brought."""
        with localcontext(prec=PRECISION):
            return sum((lot.cash for lot in self.lots), ZERO)


def fifo(fills: Sequence[FillView]) -> Books:
    """The books of one symbol's fills, oldest first.

    An entry's fees belong to its cost, so its PnL is 0 and an exit's PnL is net of both. Commission
    in base on a buy reduces what was received; on a sell it leaves the position too, and what the
    position lacks for it is an expense at the fill's price. On futures a fill beyond flat opens the
    other way. Raises ValueError for a spot fill that sells more than is held, for numbers that
    can't be, and for a commission without a price.
    """
    lots: deque[OpenLot] = deque()
    realized = []
    with localcontext(prec=PRECISION):
        for fill in fills:
            realized.append(_apply(lots, fill))
        position = sum((lot.quantity for lot in lots), ZERO)
        return Books(position, _average(lots, position), tuple(lots), tuple(realized))


def cash_flow(fill: FillView) -> Decimal:
    """What a fill moved in quote units: minus a buy's cost, plus a sell's proceeds, less commission.

    A commission in base counts by the quantity, not here. Raises ValueError for a third asset
    without bnb_price.
    """
    with localcontext(prec=PRECISION):
        value = fill.quantity * fill.price
        return (-value if fill.side == "BUY" else value) - _fee(fill)


def _apply(lots: deque[OpenLot], fill: FillView) -> Decimal:
    _check(fill)
    cash = cash_flow(fill)
    in_base = fill.commission if fill.commission_asset == fill.base else ZERO
    if fill.side == "BUY":
        delta = fill.quantity - in_base
        if delta <= 0:
            raise ValueError(f"a commission of {in_base} is not below the quantity bought, {fill.quantity}")
    else:
        delta = -fill.quantity
    if not lots or (lots[0].quantity > 0) == (delta > 0):
        _must_be_allowed(fill, delta)
        lots.append(OpenLot(delta, fill.price, cash))
        return ZERO
    held = abs(sum((lot.quantity for lot in lots), ZERO))
    if abs(delta) > held:
        _must_be_allowed(fill, delta)
        closing_cash = _share(cash, held, abs(delta))
        realized = closing_cash + _take(lots, held)
        rest = abs(delta) - held
        lots.append(OpenLot(rest if delta > 0 else -rest, fill.price, cash - closing_cash))
        return realized
    realized = cash + _take(lots, abs(delta))
    if fill.side == "SELL" and in_base:
        from_position = min(in_base, held - abs(delta))
        realized += _take(lots, from_position) - (in_base - from_position) * fill.price
    return realized


def _take(lots: deque[OpenLot], quantity: Decimal) -> Decimal:
    """Removes `quantity` from the oldest lots and gives their share of cash."""
    cash = ZERO
    while quantity > 0:
        lot = lots.popleft()
        size = abs(lot.quantity)
        if size <= quantity:
            cash += lot.cash
            quantity -= size
            continue
        share = _share(lot.cash, quantity, size)
        left = size - quantity
        lots.appendleft(OpenLot(left if lot.quantity > 0 else -left, lot.price, lot.cash - share))
        return cash + share
    return cash


def _share(cash: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return (cash * part / whole).quantize(PLACES)


def _fee(fill: FillView) -> Decimal:
    if not fill.commission or fill.commission_asset == fill.base:
        return ZERO
    if fill.commission_asset == fill.quote:
        return fill.commission
    if fill.bnb_price is None:
        raise ValueError(f"a commission in {fill.commission_asset} needs its price in {fill.quote}")
    return fill.commission * fill.bnb_price


def _check(fill: FillView) -> None:
    numbers = (fill.quantity, fill.price, fill.commission)
    if not all(number.is_finite() for number in numbers):
        raise ValueError("a fill's numbers must be finite")
    if fill.quantity <= 0 or fill.price < 0:
        raise ValueError(f"a fill needs a positive quantity and a price: {fill.quantity} at {fill.price}")


def _must_be_allowed(fill: FillView, delta: Decimal) -> None:
    if delta < 0 and fill.market == "spot":
        raise ValueError(f"spot fills sell {fill.quantity} {fill.base}, more than is held")


def _average(lots: Sequence[OpenLot], position: Decimal) -> Decimal | None:
    if not position:
        return None
    worth = sum((lot.quantity * lot.price for lot in lots), ZERO)
    return (worth / position).quantize(PLACES)
