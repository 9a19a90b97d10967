"""Which orders protect a position on the exchange: a stop, a target, or both. Pure; prices in quote units."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from marketdata.types import SymbolRules
from trading.exits import Levels
from trading.filters import check_order, lots_to_quantity
from trading.sizing import largest_lots
from trading.texts import number
from trading.types import BotView, LiveOrder, Side, StateView, Wish

LIMIT_BEYOND_STOP = Decimal("0.01")  # how far beyond its stop the limit of a STOP_LOSS_LIMIT stands
PROTECTIVE = frozenset({"STOP", "TARGET"})


def protection_wishes(
    bot: BotView, state: StateView, rules: SymbolRules | None, at: Levels
) -> tuple[tuple[Wish, ...], tuple[str, ...]]:
    """The STOP and TARGET that should rest on the exchange, and sentences on what can't.

    Spot sells: STOP_LOSS where the symbol takes it, else STOP_LOSS_LIMIT with its limit 1 % beyond; a target
    beside a stop is a LIMIT_MAKER (the two are one OCO), alone a LIMIT. Futures: conditional orders. A stop
    is rounded away from the price, a target away from the entry, to whole ticks. Nothing is wished where the
    exchange would refuse it for its size or does not know the type.
    """
    if rules is None:
        return (), ()
    is_long = bot.position_type == "long"
    lots = min(state.position_lots, largest_lots(rules, None))
    side: Side = "SELL" if is_long else "BUY"
    at = Levels(*(level if level is not None and 0 < level < math.inf else None for level in at.all))
    stop, name = _nearest_stop(at, is_long=is_long)
    wishes: list[Wish] = []
    notes: list[str] = []
    if stop is not None:
        wish = _stop(bot, rules, side, lots, stop, name)
        _add(wish, rules, bot, wishes, notes, "stop")
    if at.target is not None:
        wish = _target(bot, rules, side, lots, at.target, beside_stop=bool(wishes))
        _add(wish, rules, bot, wishes, notes, "target")
    return tuple(wishes), tuple(notes)


def meets(order: LiveOrder, wish: Wish) -> bool:
    """Whether the order is the wished one. A MARKET order is on its way, at whatever price and size."""
    if order.side != wish.side or order.type != wish.type:
        return False
    if order.type == "MARKET":
        return True
    return (order.lots, order.price, order.stop_price) == (wish.lots, wish.price, wish.stop_price)


def left_to_watch(at: Levels, wishes: tuple[Wish, ...], live: tuple[LiveOrder, ...]) -> Levels:
    """The levels that no order on the exchange watches as wished: the looks have to."""
    resting = {
        wish.purpose
        for wish in wishes
        for order in live
        if (order.purpose, order.part) == (wish.purpose, wish.part)
        and not order.in_doubt
        and meets(order, wish)
    }
    return Levels(
        stop=None if "STOP" in resting else at.stop,
        trailing=None if "STOP" in resting else at.trailing,
        target=None if "TARGET" in resting else at.target,
    )


def _nearest_stop(at: Levels, *, is_long: bool) -> tuple[float | None, str]:
    """The stop that the price reaches first, and its name."""
    if at.trailing is None or at.stop is None:
        return (at.stop, "stop-loss") if at.trailing is None else (at.trailing, "trailing stop")
    trails = at.trailing >= at.stop if is_long else at.trailing <= at.stop
    return (at.trailing, "trailing stop") if trails else (at.stop, "stop-loss")


def _add(
    wish: Wish | None,
    rules: SymbolRules,
    bot: BotView,
    wishes: list[Wish],
    notes: list[str],
    name: str,
) -> None:
    if wish is None:
        notes.append(f"{rules.symbol} takes no {name} order: it is watched at each look")
        return
    prices = [Decimal(repr(price)) for price in (wish.price, wish.stop_price) if price is not None]
    found: list[str] = []
    for price in prices:
        found += check_order(
            rules,
            type=wish.type,
            quantity=lots_to_quantity(rules, wish.lots),
            price=price,
            reduce_only=bot.market == "futures",
        )
    if found:
        notes.append(f"the {name} can't rest on the exchange, it is watched at each look: {found[0]}")
        return
    wishes.append(wish)


def _stop(bot: BotView, rules: SymbolRules, side: Side, lots: int, level: float, name: str) -> Wish | None:
    stop = _to_tick(rules, level, up=side == "BUY")
    reason = f"{name} at {number(float(stop))}"
    if bot.market == "futures":
        return Wish("STOP", 0, side, "STOP_MARKET", lots, reason, stop_price=float(stop))
    if "STOP_LOSS" in rules.order_types:
        return Wish("STOP", 0, side, "STOP_LOSS", lots, reason, stop_price=float(stop))
    if "STOP_LOSS_LIMIT" not in rules.order_types:
        return None
    sign = -1 if side == "SELL" else 1
    limit = _to_tick(rules, float(stop * (1 + sign * LIMIT_BEYOND_STOP)), up=side == "BUY")
    return Wish("STOP", 0, side, "STOP_LOSS_LIMIT", lots, reason, price=float(limit), stop_price=float(stop))


def _target(
    bot: BotView, rules: SymbolRules, side: Side, lots: int, level: float, *, beside_stop: bool
) -> Wish | None:
    price = _to_tick(rules, level, up=side == "SELL")
    reason = f"target at {number(float(price))}"
    if bot.market == "futures":
        return Wish("TARGET", 0, side, "TAKE_PROFIT_MARKET", lots, reason, stop_price=float(price))
    type_ = "LIMIT_MAKER" if beside_stop else "LIMIT"
    if type_ not in rules.order_types:
        return None
    return Wish("TARGET", 0, side, type_, lots, reason, price=float(price))


def _to_tick(rules: SymbolRules, price: float, *, up: bool) -> Decimal:
    exact = Decimal(repr(price))
    if rules.tick is None:
        return exact
    ticks = (exact / rules.tick).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
    return ticks * rules.tick
