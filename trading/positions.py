"""A bot's position: opened, counted, closed; what can't be sold is written off as dust."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketdata.types import SymbolRules
from tradebot import rows
from trading.filters import below_minimum, lots_to_quantity, quantity_to_lots
from trading.models import Adjustment, BotState, Order
from trading.types import Protection

PRICE_PLACES = Decimal("1e-18")


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
    order: Order | None,
    holdings: Decimal,
    average_entry: Decimal | None,
    rules: SymbolRules | None,
    filled_at: datetime,
    now: datetime,
) -> None:
    """Bring the locked state in line with the holdings (base units, adjustments in, negative when short).

    `average_entry` is the average price of the entries of the position's signal, None where none of them
    executed anything. `order` is the one that was booked, None for fills from outside. The size of a position
    is positive on either side; BotConfig.position_type tells the side. Opening pins the stop and target;
    closing clears them with exit_wanted. Once an order is over, a rest that the exchange would not take is
    booked as an adjustment of kind dust, and the position is closed. Holdings on the side that the bot does
    not trade are somebody else's doing: the bot is held (drift).
    """
    size = -holdings if state.bot.position_type == "short" else holdings
    if state.bot.market == "futures":
        if size > 0:
            _hold(state, order, size, average_entry, filled_at)
            return
        if size < 0:
            state.hold = "drift"
    else:
        executed = order is not None and order.executed_quantity
        price = order.executed_quote / order.executed_quantity if order is not None and executed else None
        is_live = order is not None and order.live
        if is_sellable(size, rules, price) or (size > 0 and is_live):
            _hold(state, order, size, average_entry, filled_at)
            return
        if size > 0:
            _write_off(state, order, size, rules, now)
    _close(state, order, filled_at)


def write_off_unsellable(
    *, state: BotState, rules: SymbolRules, price: Decimal | None, now: datetime
) -> str | None:
    """Call a spot position that the exchange would not take at this price dust, and close it.

    The state is locked; it is saved. Gives the sentence for the owner, None when it can be sold. A position
    may fall below the least notional, and would keep its slot for ever.
    """
    size = state.current_position_size_coins
    if state.bot.market != "spot" or not state.in_position or is_sellable(size, rules, price):
        return None
    worth = "" if price is None else f", worth {size * price:.2f} {rules.quote}"
    reason = f"dust: {size.normalize():f} {rules.base}{worth}, can't be sold; it was written off"
    _write_off(state, None, size, rules, now, reason)
    _close(state, None, now)
    state.save()
    return reason


def _write_off(
    state: BotState,
    order: Order | None,
    size: Decimal,
    rules: SymbolRules | None,
    now: datetime,
    reason: str = "",
) -> None:
    cause = order.client_order_id if order else "a change from outside"
    adjustment = Adjustment(
        account_id=state.bot.account_id,
        bot_id=state.bot_id,
        asset=rules.base if rules else state.bot.symbol,
        quantity=-size,
        kind="dust",
        reason=reason or f"what was left after {cause} is too small for an order",
        created_at=now,
    )
    rows.insert_now(adjustment)


def _hold(
    state: BotState, order: Order | None, size: Decimal, average_entry: Decimal | None, filled_at: datetime
) -> None:
    if not state.in_position:
        state.in_position = True
        state.entry_time = filled_at
        state.entry_signal_time = order.signal_time if order else None
        state.protection = asdict(_protection(state.bot))
        state.trailing_stop_price = None
        if wants_stop(state):
            state.naked_since = filled_at
    state.current_position_size_coins = size
    if average_entry is not None:
        state.entry_price = average_entry.quantize(PRICE_PLACES)


def _close(state: BotState, order: Order | None, filled_at: datetime) -> None:
    if state.in_position and (order is None or order.purpose not in ("ENTRY", "DCA")):
        state.last_exit_at = filled_at
    state.in_position = False
    state.entry_price = None
    state.current_position_size_coins = Decimal(0)
    state.entry_time = state.entry_signal_time = None
    state.protection = None
    state.trailing_stop_price = None
    state.exit_wanted, state.exit_wanted_since = "", None
    state.stop_passed_at = None
    clothe(state, filled_at)


def wants_stop(state: BotState) -> bool:
    """Whether the position should have a stop on the exchange: a pinned one, or a trailing one."""
    if not state.in_position:
        return False
    pinned = state.protection or {}
    return pinned.get("stop_loss_perc") is not None or state.trailing_stop_price is not None


def note_stop(state: BotState, *, is_live: bool, now: datetime) -> None:
    """Keep since when the position is without its stop on the exchange, and the longest that it ever was."""
    if is_live or not wants_stop(state):
        clothe(state, now)
    elif state.naked_since is None:
        state.naked_since = now


def clothe(state: BotState, now: datetime) -> None:
    """The position is protected, or over: end the time for which it was not."""
    if state.naked_since is not None:
        seconds = max(0.0, (now - state.naked_since).total_seconds())
        state.naked_longest_seconds = max(state.naked_longest_seconds, seconds)
        state.naked_since = None


def _protection(bot: Any) -> Protection:
    """Stop, target and trailing as the bot has them now."""

    def number(value: Decimal | None) -> float | None:
        return None if value is None else float(value)

    return Protection(
        stop_loss_perc=number(bot.stop_loss_perc),
        take_profit_perc=number(bot.take_profit_perc),
        trailing_stop_perc=number(bot.trailing_stop_perc),
        trailing_activation_perc=number(bot.trailing_activation_perc),
        trailing_step_perc=float(bot.trailing_step_perc),
    )
