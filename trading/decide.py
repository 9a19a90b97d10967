"""decide(): all orders that should exist for a bot now. Pure: no Django, no Redis, no network, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from marketdata.types import SymbolRules
from tradebot.timings import DEFAULT
from trading.exits import (
    Levels,
    describe,
    exit_reasons,
    levels,
    moved_trailing_stop,
    price_exits,
    unrealized_pnl,
)
from trading.filters import below_minimum, lots_to_quantity
from trading.protection import left_to_watch, meets, protection_wishes
from trading.risk import (
    Day,
    daily_loss_veto,
    daily_target_veto,
    daily_trades_veto,
    day_of,
    entry_vetoes,
    kill_veto,
    newly_reached,
    price_veto,
    usable_price,
    will_veto,
)
from trading.sizing import entry_lots, largest_lots
from trading.texts import held_status
from trading.types import BotView, Decision, LiveOrder, MarketView, Side, Signal, StateView, Wish

PLACING_ORDER = {"EXIT": 0, "STOP": 1, "TARGET": 2, "ENTRY": 3, "DCA": 4, "GRID": 5}


def decide(bot: BotView, state: StateView, market: MarketView, now: datetime) -> Decision:
    """What should be for a bot at `now` (aware): its wishes, its status and why, in sentences for its owner.

    A pause, a hold and a reached limit stop entries, never exits. Protection is the one pinned at
    the entry; the bot's own only where none was pinned. Raises nothing for bad market data: it
    holds and says why.
    """
    if state.position_lots > 0:
        return _decide_in_position(bot, state, market, now)
    return _decide_flat(bot, state, market, now)


def difference(
    wishes: Sequence[Wish], live: Sequence[LiveOrder]
) -> tuple[tuple[LiveOrder, ...], tuple[Wish, ...]]:
    """What to withdraw and then what to place, so that the live orders become the wished ones.

    A wish is met by the live order of its (purpose, part) with the same side, type, lots and
    prices (protection.meets). A MARKET order meets its wish by key and side alone (it is on its way,
    at whatever price) and is never withdrawn. To place: exits before protection before entries. Raises
    ValueError if two wishes have one key.
    """
    unmet = {(wish.purpose, wish.part): wish for wish in wishes}
    if len(unmet) != len(wishes):
        raise ValueError("two wishes have the same purpose and part")
    withdraw = []
    for order in live:
        wish = unmet.get((order.purpose, order.part))
        if wish is not None and meets(order, wish):
            del unmet[order.purpose, order.part]
        elif order.type != "MARKET":
            withdraw.append(order)
    place = sorted(unmet.values(), key=lambda wish: (PLACING_ORDER[wish.purpose], wish.part))
    return tuple(withdraw), tuple(place)


def _decide_in_position(bot: BotView, state: StateView, market: MarketView, now: datetime) -> Decision:
    is_long = bot.position_type == "long"
    price = usable_price(market.price, now)
    protection = state.protection if state.protection is not None else bot.protection
    moved = moved_trailing_stop(state, protection, market.signal, is_long=is_long)
    trailing = moved if moved is not None else state.trailing_stop_price
    at = levels(state.entry_price, protection, trailing, is_long=is_long)
    limit = newly_reached(bot, day_of(state, now), unrealized_pnl(bot, state, market.rules, price))
    resting, not_resting = protection_wishes(bot, state, market.rules, at)
    watched = at if _waited_long_enough(state, now) else left_to_watch(at, resting, state.live)
    reasons = exit_reasons(bot, state, market, now, watched, price)
    held = Decision("in position", (), resting, trailing_stop_price=moved, daily_limit=limit)
    if state.exit_in_doubt and not any(order.in_doubt and order.purpose != "EXIT" for order in state.live):
        note = "an exit is in doubt; its outcome is being asked for"
        return replace(held, status="exiting", reasons=(note, *reasons))
    if not reasons:
        passed = price is not None and bool(price_exits(price, at, is_long=is_long))
        notes = _holding_notes(bot, state, market, now, at)
        return replace(held, reasons=(*notes, *not_resting), stop_passed=passed)
    lots, dust = _exit_lots(bot, state, market.rules, price)
    if dust:
        return replace(held, reasons=(dust, *reasons), is_dust=bot.market == "spot")
    wish = Wish("EXIT", 0, "SELL" if is_long else "BUY", "MARKET", lots, reasons[0], price=price)
    return replace(held, status="exiting", reasons=tuple(reasons), wishes=(wish,), exit_wanted=reasons[0])


def _waited_long_enough(state: StateView, now: datetime) -> bool:
    """A resting order that the price has passed is left alone for some seconds: it is being filled."""
    if state.stop_passed_at is None:
        return False
    return (now - state.stop_passed_at).total_seconds() >= DEFAULT.stop_grace_seconds


def _exit_lots(
    bot: BotView, state: StateView, rules: SymbolRules | None, price: float | None
) -> tuple[int, str | None]:
    """As much of the position as one order may have, the rest at the next look; and why it is none."""
    if rules is None:
        return state.position_lots, None
    lots = min(state.position_lots, largest_lots(rules, price))
    too_small = below_minimum(
        rules,
        lots_to_quantity(rules, lots),
        None if price is None else Decimal(repr(price)),
        notional_counts=bot.market == "spot",
    )
    return (0, f"dust, too small for an order: {too_small}") if too_small else (lots, None)


def _holding_notes(
    bot: BotView, state: StateView, market: MarketView, now: datetime, at: Levels
) -> tuple[str, ...]:
    no_price = price_veto(market.price, now)
    price = None if no_price or market.price is None else market.price.price
    notes = [describe(price, at)]
    if no_price:
        notes.append(f"no exit by price: {no_price}")
    paused = will_veto(bot, state) or kill_veto(market)
    if paused:
        notes.append(f"no new entries, exits go on: {paused}")
    return tuple(notes)


def _decide_flat(bot: BotView, state: StateView, market: MarketView, now: datetime) -> Decision:
    is_long = bot.position_type == "long"
    verb = "buying" if is_long else "selling short"
    day = day_of(state, now)
    price = usable_price(market.price, now)
    signal = market.signal
    vetoes = entry_vetoes(bot, state, market, now, day) + _strategy_vetoes(signal, is_long=is_long)
    lots = 0
    if price is not None and market.rules is not None:
        lots, too_small = entry_lots(bot, state.realized_total, price, market.rules)
        vetoes += [too_small] if too_small else []
    if vetoes or signal is None or price is None:
        status = _flat_status(bot, state, market, day)
        return Decision(status, tuple([f"not {verb}: {veto}" for veto in vetoes]))
    reason = "; ".join(signal.texts) or bot.strategy
    side: Side = "BUY" if is_long else "SELL"
    wish = Wish("ENTRY", 0, side, "MARKET", lots, reason, price=price, signal_time=signal.as_of)
    return Decision("entering", (f"{verb}: {reason}",), (wish,))


def _strategy_vetoes(signal: Signal | None, *, is_long: bool) -> list[str]:
    if signal is None or not signal.ready or (signal.enter_long if is_long else signal.enter_short):
        return []
    return list(signal.texts) or ["no entry signal"]


def _flat_status(bot: BotView, state: StateView, market: MarketView, day: Day) -> str:
    if state.hold:
        return held_status(state.hold)
    if not bot.is_active or market.kill_switch:
        return "paused"
    if daily_trades_veto(bot, day):
        return "paused (daily trades)"
    if daily_loss_veto(bot, day):
        return "paused (daily loss)"
    if daily_target_veto(bot, day):
        return "paused (daily target)"
    if state.entry_in_doubt:
        return "entering"
    if market.exchange_closed:
        return "paused (exchange)"
    if market.symbol_gone or (market.rules is not None and not market.rules.is_trading):
        return "paused (symbol)"
    return "waiting"
