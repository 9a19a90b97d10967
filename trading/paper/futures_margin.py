"""Margin arithmetic of USDT-M futures in one-way mode, without state. All amounts are quote units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from trading.paper.futures_contracts import Contract
from trading.paper.futures_orders import FuturesOrder, Position
from trading.paper.orders import ZERO

NEVER = ZERO  # the liquidation price of what cannot be liquidated


def liquidation_price(contract: Contract, position: Position, wallet: Decimal) -> Decimal:
    """The mark price at which the money behind a position is its maintenance margin; 0 for none.

    `wallet` is the isolated wallet, or for a cross position what the rest of the account adds to it. Solves
    wallet + q * (p - entry) = |q| * p * rate - cum (Binance, "How to calculate liquidation price") in the
    bracket that the solution lies in.
    """
    size, sign = abs(position.quantity), position.sign
    if not size:
        return NEVER
    price = NEVER
    for bracket in contract.brackets:
        divisor = size * bracket.rate - sign * size
        price = (wallet + bracket.cum - sign * size * position.entry_price) / divisor
        if size * price <= bracket.cap:
            break
    return max(NEVER, price)


def bankruptcy_price(position: Position, wallet: Decimal) -> Decimal:
    """The price at which the money behind a position is used up; 0 if no price does that."""
    if not position.quantity:
        return ZERO
    return max(ZERO, position.entry_price - wallet / position.quantity)


@dataclass(frozen=True, slots=True)
class OpenSides:
    """What resting orders (not the reduce-only ones) would open beyond closing the position."""

    buy_quantity: Decimal
    sell_quantity: Decimal
    buy_notional: Decimal
    sell_notional: Decimal

    def margin(self, leverage: int) -> Decimal:
        """Initial margin that they keep back: of the dearer side, for both cannot open at once."""
        return max(self.buy_notional, self.sell_notional) / leverage


def open_sides(
    position: Position, orders: Iterable[FuturesOrder], adds: tuple[str, Decimal, Decimal] | None = None
) -> OpenSides:
    """The open sides of an account in one contract; `adds` is one order more: (side, quantity, price)."""
    rows = [(one.side, one.remaining, one.price) for one in orders if not one.reduce_only]
    if adds is not None:
        rows.append(adds)
    quantities: dict[str, Decimal] = {}
    notionals: dict[str, Decimal] = {}
    for side, covers in (("BUY", max(ZERO, -position.quantity)), ("SELL", max(ZERO, position.quantity))):
        mine = [(quantity, price) for each, quantity, price in rows if each == side]
        total = sum((quantity for quantity, _ in mine), ZERO)
        worth = sum((quantity * price for quantity, price in mine), ZERO)
        opening = max(ZERO, total - covers)
        quantities[side] = total
        notionals[side] = opening * worth / total if total else ZERO
    return OpenSides(quantities["BUY"], quantities["SELL"], notionals["BUY"], notionals["SELL"])
