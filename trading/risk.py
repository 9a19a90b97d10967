"""What forbids an entry: each rule a function that gives a reason or None; entry_vetoes() has all. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from marketdata.intervals import close_of
from marketdata.types import Price, SymbolRules
from tradebot.timings import DEFAULT
from trading.texts import clock_time, number
from trading.types import BotView, MarketView, Signal, StateView


@dataclass(frozen=True, slots=True)
class Day:
    """The UTC day of `now`: realised PnL in quote units, number of entries, and the limit it has reached."""

    pnl: float = 0.0
    trades: int = 0
    limit: str | None = None


def day_of(state: StateView, now: datetime) -> Day:
    """The day's counters; those of another UTC day read as zero."""
    if state.trading_day != now.astimezone(UTC).date():
        return Day()
    return Day(state.daily_pnl, state.daily_trades_count, state.daily_limit)


def usable_price(price: Price | None, now: datetime) -> float | None:
    """The price in quote units if it may be acted on: known, positive, finite and fresh; else None."""
    return None if price is None or price_veto(price, now) else price.price


def price_veto(price: Price | None, now: datetime) -> str | None:
    """A price that is missing, not a positive number, or older (or further ahead) than 90 s."""
    if price is None:
        return "no price known"
    if not (0 < price.price < math.inf):
        return f"the price {price.price} is not a positive number"
    age_seconds = (now - price.at).total_seconds()
    if abs(age_seconds) > DEFAULT.price_max_age_seconds:
        return f"the price is {age_seconds:.0f} s old, more than {DEFAULT.price_max_age_seconds:.0f} s"
    return None


def signal_veto(signal: Signal | None, interval: str, now: datetime) -> str | None:
    """A signal that is missing, not of the last due close, or not warmed up."""
    if signal is None:
        return "no signal yet"
    if now < signal.as_of:
        return f"the signal of {clock_time(signal.as_of)} is from the future"
    next_close = close_of(round(signal.as_of.timestamp() * 1000), interval)
    if now >= next_close:
        return (
            f"the signal of {clock_time(signal.as_of)} is stale, a candle closed at {clock_time(next_close)}"
        )
    if not signal.ready:
        return f"warming up: {'; '.join(signal.texts) or 'too few candles'}"
    return None


def used_signal_veto(signal: Signal | None, state: StateView) -> str | None:
    """A signal that an entry was already tried for, or an older one."""
    if signal is None or state.last_signal_time is None or state.last_signal_time < signal.as_of:
        return None
    return f"the signal of {clock_time(signal.as_of)} was already used"


def cooldown_veto(bot: BotView, state: StateView, now: datetime) -> str | None:
    """The bot's pause after an exit."""
    if state.last_exit_at is None:
        return None
    until = state.last_exit_at + timedelta(minutes=bot.cooldown_minutes)
    if now >= until:
        return None
    return f"cooling down until {clock_time(until)}, {bot.cooldown_minutes} min after the last exit"


def daily_trades_veto(bot: BotView, day: Day) -> str | None:
    """The day's entries have reached max_daily_trades."""
    if bot.max_daily_trades is None or day.trades < bot.max_daily_trades:
        return None
    return f"{day.trades} trades today, {bot.max_daily_trades} allowed"


def daily_loss_veto(bot: BotView, day: Day, unrealized: float = 0.0) -> str | None:
    """Realised plus unrealised PnL at or below -max_daily_loss_perc of the capital, now or earlier today."""
    if bot.max_daily_loss_perc is None:
        return None
    limit = bot.initial_capital * bot.max_daily_loss_perc / 100
    if day.pnl + unrealized > -limit:
        return f"daily loss: the limit of {number(-limit)} was reached today" if day.limit == "loss" else None
    return f"daily loss: {number(day.pnl + unrealized)} today, the limit is {number(-limit)}"


def daily_target_veto(bot: BotView, day: Day, unrealized: float = 0.0) -> str | None:
    """Realised plus unrealised PnL at or above daily_target_perc of the capital, now or earlier today."""
    if bot.daily_target_perc is None:
        return None
    target = bot.initial_capital * bot.daily_target_perc / 100
    if day.pnl + unrealized < target:
        return f"daily target: {number(target)} was reached today" if day.limit == "target" else None
    return f"daily target: {number(day.pnl + unrealized)} today, the target is {number(target)}"


def newly_reached(bot: BotView, day: Day, unrealized: float) -> str | None:
    """The daily limit that is reached for the first time today, with what is unrealised: "loss" or "target".

    It is remembered, for entries stop until midnight UTC even if the price comes back.
    """
    if day.limit is not None:
        return None
    if daily_loss_veto(bot, day, unrealized):
        return "loss"
    return "target" if daily_target_veto(bot, day, unrealized) else None


def symbol_veto(symbol: str, rules: SymbolRules | None) -> str | None:
    """A symbol whose rules are not known, or that takes no orders now."""
    if rules is None:
        return f"no trading rules of {symbol} known"
    if not rules.is_trading:
        return f"{symbol} does not trade now ({rules.status})"
    return None


def direction_veto(bot: BotView) -> str | None:
    """Spot can't be sold short: there is nothing to sell."""
    if bot.market == "spot" and bot.position_type == "short":
        return "spot can't be sold short; use a futures bot"
    return None


def will_veto(bot: BotView, state: StateView) -> str | None:
    """A pause by the owner or by a hold, or a position that is still being closed."""
    if state.hold:
        return f"paused ({state.hold})"
    if not bot.is_active:
        return "paused by its owner"
    if state.exit_wanted:
        return f"a position is still being closed: {state.exit_wanted}"
    return None


def kill_veto(market: MarketView) -> str | None:
    """A kill switch that covers the bot."""
    return market.kill_switch or None


def doubt_veto(state: StateView) -> str | None:
    """An earlier entry whose outcome nobody knows yet."""
    return "an earlier entry is in doubt; its outcome is being asked for" if state.entry_in_doubt else None


def market_veto(market: MarketView) -> str | None:
    """The request budget or an outage stops entries."""
    return None if market.entries_allowed else market.entries_note or "entries are stopped for now"


def entry_vetoes(bot: BotView, state: StateView, market: MarketView, now: datetime, day: Day) -> list[str]:
    """Everything that forbids an entry now, apart from the strategy's own no and the size."""
    found = (
        will_veto(bot, state),
        kill_veto(market),
        daily_trades_veto(bot, day),
        daily_loss_veto(bot, day),
        daily_target_veto(bot, day),
        doubt_veto(state),
        symbol_veto(bot.symbol, market.rules),
        direction_veto(bot),
        market_veto(market),
        cooldown_veto(bot, state, now),
        price_veto(market.price, now),
        signal_veto(market.signal, bot.interval, now),
        used_signal_veto(market.signal, state),
    )
    return [reason for reason in found if reason]
