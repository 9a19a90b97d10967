"""Limits across bots, reckoned: what is held, what a day cost, which limit an entry would break. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Holding:
    """What one bot has: base units held, signed by its side, and base units that an entry may still add."""

    bot_id: int
    account_id: int
    symbol: str
    quantity: Decimal  # above 0 for long, below 0 for short
    pending: Decimal  # of entry orders that are on their way or rest; never below 0
    entry_price: Decimal | None
    price: Decimal | None  # the market's, in quote units; None where there is no fresh one
    realized_today: Decimal  # net, in quote units

    @property
    def is_open(self) -> bool:
        """Whether it is in position or about to be."""
        return bool(self.quantity or self.pending)

    def worth(self) -> Decimal | None:
        """What it is worth, long or short, in quote units; None where no price is known."""
        price = self.price or self.entry_price
        amount = abs(self.quantity) + self.pending
        return ZERO if not amount else None if price is None else amount * price

    def unrealized(self) -> Decimal | None:
        """What the open position has won or lost; None where no price is known."""
        if not self.quantity or self.entry_price is None:
            return ZERO
        return None if self.price is None else (self.price - self.entry_price) * self.quantity


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry that is asked for."""

    bot_id: int
    symbol: str
    coin: str
    cost: Decimal  # its worth in quote units, leverage included
    is_short: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an account or an owner; None does not limit."""

    name: str  # "account main", "owner olga"
    max_daily_loss: Decimal | None = None
    max_exposure_per_coin: Decimal | None = None
    max_exposure: Decimal | None = None
    max_open_positions: int | None = None
    max_orders_per_minute: int | None = None
    loss_reached_today: bool = False


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that forbids the entry: its name and the reason, in words."""

    limit: str
    reason: str


def breach(
    limits: Limits, holdings: Iterable[Holding], entry: Entry, quote: str, orders_last_minute: int
) -> Breach | None:
    """The first limit that the entry would break, None where it breaks none."""
    rows = list(holdings)
    found = (
        _daily_loss(limits, rows)
        or _open_positions(limits, rows, entry)
        or _exposure(limits, rows, entry)
        or _exposure_per_coin(limits, rows, entry, quote)
        or _order_rate(limits, orders_last_minute)
    )
    verb = "selling short" if entry.is_short else "buying"
    return None if found is None else Breach(found.limit, f"not {verb}: {found.reason}")


def _daily_loss(limits: Limits, rows: list[Holding]) -> Breach | None:
    if limits.max_daily_loss is None:
        return None
    name = f"daily loss of {limits.name}"
    if limits.loss_reached_today:
        return Breach("daily loss", f"{name}: the limit of {_money(limits.max_daily_loss)} was reached today")
    total = ZERO
    for row in rows:
        unrealized = row.unrealized()
        if unrealized is None:
            return _unknown(name, row.symbol)
        total += row.realized_today + unrealized
    if total > -limits.max_daily_loss:
        return None
    return Breach("daily loss", f"{name}: {_money(-total)} lost, {_money(limits.max_daily_loss)} allowed")


def _open_positions(limits: Limits, rows: list[Holding], entry: Entry) -> Breach | None:
    if limits.max_open_positions is None:
        return None
    others = sum(row.is_open and row.bot_id != entry.bot_id for row in rows)
    if others < limits.max_open_positions:
        return None
    return Breach(
        "open positions", f"open positions of {limits.name}: {others} of {limits.max_open_positions}"
    )


def _exposure(limits: Limits, rows: list[Holding], entry: Entry) -> Breach | None:
    return _too_much("exposure", f"exposure of {limits.name}", limits.max_exposure, rows, entry)


def _exposure_per_coin(limits: Limits, rows: list[Holding], entry: Entry, quote: str) -> Breach | None:
    same = [row for row in rows if row.symbol.removesuffix(quote) == entry.coin]
    name = f"exposure of {limits.name} in {entry.coin}"
    return _too_much("exposure per coin", name, limits.max_exposure_per_coin, same, entry)


def _too_much(
    limit: str, name: str, most: Decimal | None, rows: list[Holding], entry: Entry
) -> Breach | None:
    if most is None:
        return None
    held = ZERO
    for row in rows:
        worth = row.worth()
        if worth is None:
            return _unknown(name, row.symbol)
        held += worth
    if held + entry.cost <= most:
        return None
    return Breach(
        limit, f"{name}: {_money(held)}, with this entry {_money(held + entry.cost)} of {_money(most)}"
    )


def _order_rate(limits: Limits, orders_last_minute: int) -> Breach | None:
    most = limits.max_orders_per_minute
    if most is None or orders_last_minute < most:
        return None
    return Breach(
        "orders per minute", f"orders of {limits.name} in the last minute: {orders_last_minute} of {most}"
    )


def is_today(day: object, now: datetime) -> bool:
    """Whether a date is the UTC day of `now`."""
    return day == now.astimezone(UTC).date()


def _unknown(name: str, symbol: str) -> Breach:
    return Breach("", f"{name} can't be reckoned, for there is no fresh price of {symbol}")


def _money(value: Decimal) -> str:
    return f"{value:.2f} USDT"
