"""A bot's position: opened, counted, closed; what can't be sold is written off as dust."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from marketdata.types import SymbolRules
from trading.filters import below_minimum, lots_to_quantity, quantity_to_lots
from trading.models import Adjustment, BotState, Order
from trading.types import Protection

PRICE_PLACES = Decimal("1e-18")


def dust_written_off(bot_id: int) -> Decimal:
    """The sum of the bot's adjustments, in base units; dust is negative."""
    total = Adjustment.objects.filter(bot_id=bot_id).aggregate(total=Sum("quantity"))["total"]
    return total or Decimal(0)


def is_sellable(quantity: Decimal, rules: SymbolRules | None, price: Decimal | None) -> bool:
    """Whether the exchange would take an order for it. Without rules everything above zero counts."""
    if quantity <= 0:
        return False
    if rules is None:
        return True
    lots = quantity_to_lots(rules, quantity)
    return lots > 0 and below_minimum(rules, lots_to_quantity(rules, lots), price) is None


def update(
    *,
    state: BotState,
    order: Order,
    holdings: Decimal,
    protection: Protection,
    rules: SymbolRules | None,
    filled_at: datetime,
    now: datetime,
) -> None:
    """Bring the locked state in line with the holdings (base units) after `order` was booked.

    Opening pins the stop and target; closing clears them with exit_wanted. Once an order is over, a rest
    that the exchange would not take is booked as an adjustment of kind dust, and the position is closed.
    """
    position = holdings + dust_written_off(state.bot_id)
    price = order.executed_quote / order.executed_quantity if order.executed_quantity else None
    if is_sellable(position, rules, price) or (position > 0 and order.live):
        _hold(state, order, position, protection, filled_at)
        return
    if position > 0:
        Adjustment.objects.create(
            account_id=order.account_id,
            bot_id=state.bot_id,
            asset=rules.base if rules else order.symbol,
            quantity=-position,
            kind="dust",
            reason=f"what was left after {order.client_order_id} is too small for an order",
            created_at=now,
        )
    _close(state, order, filled_at)


def _hold(
    state: BotState, order: Order, position: Decimal, protection: Protection, filled_at: datetime
) -> None:
    if not state.in_position:
        state.in_position = True
        state.entry_time = filled_at
        state.entry_signal_time = order.signal_time
        state.protection = asdict(protection)
        state.trailing_stop_price = None
    state.current_position_size_coins = position
    entries = Order.objects.filter(
        bot_id=state.bot_id,
        purpose__in=["ENTRY", "DCA"],
        signal_time=state.entry_signal_time,
        executed_quantity__gt=0,
    ).aggregate(quantity=Sum("executed_quantity"), quote=Sum("executed_quote"))
    if entries["quantity"]:
        state.entry_price = (entries["quote"] / entries["quantity"]).quantize(PRICE_PLACES)


def _close(state: BotState, order: Order, filled_at: datetime) -> None:
    if state.in_position and order.purpose not in ("ENTRY", "DCA"):
        state.last_exit_at = filled_at
    state.in_position = False
    state.entry_price = None
    state.current_position_size_coins = Decimal(0)
    state.entry_time = state.entry_signal_time = None
    state.protection = None
    state.trailing_stop_price = None
    state.exit_wanted, state.exit_wanted_since = "", None
