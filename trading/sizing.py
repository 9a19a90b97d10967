"""How many lots an entry buys. Pure; reckons in floats, answers in whole lots."""

from __future__ import annotations

import math
from decimal import Decimal

from marketdata.types import SymbolRules
from trading.filters import check_order, lots_to_quantity, quantity_to_lots
from trading.texts import number
from trading.types import BotView

FLOAT_NOISE = 1e-12
MOST_LOTS = 2**62  # a database's big integer holds it


def entry_lots(
    bot: BotView, realized_total: float, price: float, rules: SymbolRules
) -> tuple[int, str | None]:
    """Lots of a MARKET entry at the expected `price` (quote units), and why there are none if none.

    cost = capital * position_size_perc / 100 * leverage (leverage counts on futures only), where
    capital is the initial capital, plus `realized_total` if the bot compounds. With
    risk_per_trade_perc the quantity is also at most capital * risk / 100 / stop distance. Rounded
    down by whole_lots(), then capped by the exchange's largest quantity and, where it applies to
    MARKET, largest notional. Never rounded up to reach a minimum.
    """
    capital = bot.initial_capital + (realized_total if bot.compound else 0.0)
    if not capital > 0:
        return 0, f"no capital left: {number(capital)}"
    step = float(rules.lot_step)
    lots = whole_lots(entry_cost(bot, capital), price * step)
    if bot.risk_per_trade_perc is not None:
        stop_loss = bot.protection.stop_loss_perc
        if not stop_loss:
            return 0, "risk per trade needs a stop-loss to reckon the distance"
        distance = price * stop_loss / 100
        lots = min(lots, whole_lots(capital * bot.risk_per_trade_perc / 100, distance * step))
    lots = min(lots, largest_lots(rules, price))
    violations = check_order(
        rules, type="MARKET", quantity=lots_to_quantity(rules, lots), price=Decimal(repr(price))
    )
    return (0, "; ".join(violations)) if violations else (lots, None)


def entry_cost(bot: BotView, capital: float) -> float:
    """What an entry may be worth, in quote units; leverage multiplies it on futures only."""
    leverage = bot.leverage if bot.market == "futures" else 1
    return capital * bot.position_size_perc / 100 * leverage


def whole_lots(money: float, money_per_lot: float) -> int:
    """The whole lots that `money` pays for.

    A quotient within one part in 10^12 below a whole number counts as that number (0.3 / 0.1 is 3,
    not 2.9999999999999996), so money is overspent by at most that part. Zero for what is not a
    positive finite number.
    """
    quotient = money / money_per_lot if money_per_lot > 0 else 0.0
    if not (0 < quotient < math.inf):
        return 0
    return math.floor(quotient * (1 + FLOAT_NOISE))


def largest_lots(rules: SymbolRules, price: float | None) -> int:
    """The most lots that one MARKET order may have under the exchange's maxima; huge when there are none.

    Without a price the largest notional is not looked at.
    """
    largest = MOST_LOTS if rules.max_quantity is None else quantity_to_lots(rules, rules.max_quantity)
    if price is not None and rules.max_notional is not None and rules.max_notional_applies_to_market:
        largest = min(largest, int(rules.max_notional / (Decimal(repr(price)) * rules.lot_step)))
    return largest
