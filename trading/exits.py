"""When a position is left: stop, trailing stop, target, signal, daily limits. Pure; prices in quote units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from marketdata.types import SymbolRules
from trading.liquidation import liquidation_price
from trading.risk import daily_loss_veto, daily_target_veto, day_of, signal_veto
from trading.texts import number, percent
from trading.types import BotView, MarketView, Protection, Signal, StateView


@dataclass(frozen=True, slots=True)
class Levels:
    """The prices at which a position is left; None where that protection is off. Mirrored for a short."""

    stop: float | None
    trailing: float | None
    target: float | None

    @property
    def all(self) -> tuple[float | None, float | None, float | None]:
        """The three, in this order."""
        return self.stop, self.trailing, self.target


def levels(
    entry_price: float | None, protection: Protection, trailing: float | None, *, is_long: bool
) -> Levels:
    """Stop and target as percentages of the entry price, and the trailing stop as it stands.

    Reckoned as entry * (100 - percent) / 100, so that whole percentages of whole prices come out
    exact.
    """
    if entry_price is None:
        return Levels(None, trailing, None)
    sign = 1 if is_long else -1
    stop_loss, take_profit = protection.stop_loss_perc, protection.take_profit_perc
    return Levels(
        stop=None if stop_loss is None else entry_price * (100 - sign * stop_loss) / 100,
        trailing=trailing,
        target=None if take_profit is None else entry_price * (100 + sign * take_profit) / 100,
    )


def moved_trailing_stop(
    state: StateView, protection: Protection, signal: Signal | None, *, is_long: bool
) -> float | None:
    """The new trailing stop after a closed candle, or None when it stays where it is.

    Only the close of a candle that ended after the entry counts. From a profit of
    trailing_activation_perc (None: from the start) the candidate is close * (1 - trailing %); it
    counts when it is better than the present stop by at least trailing_step_perc percent of itself.
    The same candle never moves it twice.
    """
    distance = protection.trailing_stop_perc
    if distance is None or state.entry_price is None or state.entry_time is None or signal is None:
        return None
    if signal.as_of <= state.entry_time or not (0 < signal.close < math.inf):
        return None
    sign = 1 if is_long else -1
    activation = protection.trailing_activation_perc
    if activation is not None:
        active_from = state.entry_price * (100 + sign * activation) / 100
        if sign * (signal.close - active_from) < 0:
            return None
    candidate = signal.close * (100 - sign * distance) / 100
    if state.trailing_stop_price is None:
        return candidate
    gain = sign * (candidate - state.trailing_stop_price)
    is_better = gain > 0 and gain >= candidate * protection.trailing_step_perc / 100
    return candidate if is_better else None


def exit_reasons(
    bot: BotView, state: StateView, market: MarketView, now: datetime, at: Levels, price: float | None
) -> list[str]:
    """Every reason to leave now, the most urgent first.

    Wanted, liquidation, stop, trailing, target, signal, daily limits.

    Without a usable `price` the exits by price are left out and the daily limits count what is
    realised; what is wanted or signalled goes on.
    """
    reasons = [state.exit_wanted] if state.exit_wanted else []
    if price is not None:
        reasons += _liquidation(bot, state, market.maintenance_rate, price)
        reasons += price_exits(price, at, is_long=bot.position_type == "long")
    signal_reason = _signal_exit(bot, state, market.signal, now)
    if signal_reason:
        reasons.append(signal_reason)
    if bot.close_on_daily_limit:
        day = day_of(state, now)
        unrealized = unrealized_pnl(bot, state, market.rules, price)
        found = (daily_loss_veto(bot, day, unrealized), daily_target_veto(bot, day, unrealized))
        reasons += [reason for reason in found if reason]
    return reasons


def unrealized_pnl(bot: BotView, state: StateView, rules: SymbolRules | None, price: float | None) -> float:
    """The position's PnL at `price` in quote units, before fees; 0 where price or rules are not known."""
    if price is None or rules is None or state.entry_price is None:
        return 0.0
    sign = 1 if bot.position_type == "long" else -1
    return sign * (price - state.entry_price) * state.position_lots * float(rules.lot_step)


def describe(price: float | None, at: Levels) -> str:
    """One sentence about a held position: "holding: price 101.2, stop 98 (-3.2 %), target 110"."""
    parts = [] if price is None else [f"price {number(price)}"]
    for name, level in (("stop", at.stop), ("trailing stop", at.trailing), ("target", at.target)):
        if level is not None:
            away = "" if price is None or name == "target" else f" ({percent((level / price - 1) * 100)})"
            parts.append(f"{name} {number(level)}{away}")
    return f"holding: {', '.join(parts)}" if parts else "holding"


def _liquidation(bot: BotView, state: StateView, maintenance_rate: float | None, price: float) -> list[str]:
    """The exchange has closed, or is about to close, a futures position at this price: look by an exit."""
    if bot.market != "futures" or state.entry_price is None:
        return []
    is_long = bot.position_type == "long"
    level = liquidation_price(
        state.entry_price, bot.leverage, is_long=is_long, maintenance_rate=maintenance_rate
    )
    if level is None or (price > level if is_long else price < level):
        return []
    side = "below" if is_long else "above"
    return [f"liquidation price {number(level)} reached: price {number(price)} is at or {side} it"]


def price_exits(price: float, at: Levels, *, is_long: bool) -> list[str]:
    """The levels that the price has reached, as sentences: stop, trailing stop, target."""
    sign = 1 if is_long else -1
    side = "below" if is_long else "above"
    reasons = []
    for name, level in (("stop-loss", at.stop), ("trailing stop", at.trailing)):
        if level is not None and sign * (price - level) <= 0:
            reasons.append(f"{name}: price {number(price)} is at or {side} {number(level)}")
    if at.target is not None and sign * (price - at.target) >= 0:
        other = "above" if is_long else "below"
        reasons.append(f"target: price {number(price)} is at or {other} {number(at.target)}")
    return reasons


def _signal_exit(bot: BotView, state: StateView, signal: Signal | None, now: datetime) -> str | None:
    if signal is None or not (signal.exit_long if bot.position_type == "long" else signal.exit_short):
        return None
    if signal_veto(signal, bot.interval, now):
        return None
    if state.entry_signal_time is not None and signal.as_of <= state.entry_signal_time:
        return None
    return f"exit signal: {'; '.join(signal.texts) or bot.strategy}"
