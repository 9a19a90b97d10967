"""Trades: one a filled order, and one an order that was not ours but closed a bot's position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from marketdata.types import SymbolRules
from tradebot import rows
from trading import outbox, positions
from trading.models import BotState, Fill, Order, Trade

ZERO = Decimal(0)
EXTERNAL = "EXTERNAL"
KNOWN = "SELECT order_id, realized_pnl FROM trading_trade WHERE order_id = ANY(%s)"


@dataclass(slots=True)
class _Sum:
    """What the fills of one order add up to."""

    fills: list[Fill] = field(default_factory=list)
    realized: Decimal = ZERO
    commission: Decimal = ZERO

    @property
    def quantity(self) -> Decimal:
        return sum((fill.quantity for fill in self.fills), ZERO)

    @property
    def price(self) -> Decimal:
        worth = sum((fill.quantity * fill.price for fill in self.fills), ZERO)
        return (worth / self.quantity).quantize(positions.PRICE_PLACES)

    @property
    def last(self) -> datetime:
        return self.fills[-1].traded_at


def write_trades(
    state: BotState,
    fills: Sequence[Fill],
    realized: Iterable[Decimal],
    rules: SymbolRules | None,
    now: datetime,
    booked: Order | None = None,
) -> None:
    """Write the trades that are missing; those whose realised PnL a late fill changed are corrected.

    `fills` are all of the bot's, oldest first, and `realized` the net PnL of each. `booked` is an order in
    hand, as it was saved.
    """
    own: dict[int, _Sum] = {}
    external: dict[int, _Sum] = {}
    for fill, pnl in zip(fills, realized, strict=True):
        if fill.order_id is not None:
            entry = own.setdefault(fill.order_id, _Sum())
        else:
            entry = external.setdefault(fill.exchange_order_id or 0, _Sum())
        entry.fills.append(fill)
        entry.realized += pnl
        entry.commission += commission_in_quote(fill, rules)
    _write_own(state, own, booked, now)
    _write_external(state, external)


def _write_own(state: BotState, sums: dict[int, _Sum], booked: Order | None, now: datetime) -> None:
    known = dict(rows.run(rows.Statement(KNOWN, [list(sums)]))) if sums else {}
    for order_id, realized in known.items():
        if realized != sums[order_id].realized:
            Trade.objects.filter(order_id=order_id).update(realized_pnl=sums[order_id].realized)
    missing = set(sums) - set(known)
    orders = [booked] if booked is not None and booked.pk in missing and booked.fills_complete else []
    missing -= {booked.pk} if booked is not None else set()
    if missing:
        orders = [*Order.objects.filter(pk__in=missing, fills_complete=True), *orders]
    for order in orders:
        found = sums[order.pk]
        trade = Trade(
            bot_config_id=order.bot_id,
            user_id=state.bot.user_id,
            order=order,
            symbol=order.symbol,
            side=order.side,
            purpose=order.purpose,
            price=(order.executed_quote / order.executed_quantity).quantize(positions.PRICE_PLACES),
            quantity_filled=order.executed_quantity,
            commission_quote=found.commission,
            realized_pnl=found.realized,
            reason=order.reason,
            binance_order_id=order.exchange_order_id or 0,
            created_at=found.last,
        )
        rows.insert_now(trade)
        outbox.trade_made(trade, state.bot, now)


def _write_external(state: BotState, sums: dict[int, _Sum]) -> None:
    for order_id, found in sums.items():
        first = found.fills[0]
        Trade.objects.update_or_create(
            bot_config_id=state.bot_id,
            symbol=first.symbol,
            binance_order_id=order_id,
            purpose=EXTERNAL,
            defaults={
                "user_id": state.bot.user_id,
                "side": first.side,
                "price": found.price,
                "quantity_filled": found.quantity,
                "commission_quote": found.commission,
                "realized_pnl": found.realized,
                "created_at": found.last,
            },
        )


def commission_in_quote(fill: Fill, rules: SymbolRules | None) -> Decimal:
    """What a fill's commission is worth in quote units."""
    if rules is not None and fill.commission_asset == rules.base:
        return fill.commission * fill.price
    if fill.commission_price is not None:
        return fill.commission * fill.commission_price
    return fill.commission
