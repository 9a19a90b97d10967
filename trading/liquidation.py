"""The estimated liquidation price of an isolated, one-way futures position. Pure; prices in quote units.

Formula: Binance, "How to Calculate Liquidation Price of USDS-M Futures Contracts", isolated and one-way:
(wallet + cum - side * size * entry) / (size * rate - side * size), with the margin size * entry / leverage as
wallet and the first tier's cum of 0. Fees, funding and higher tiers bring it nearer to the entry; so it is
an estimate, good enough to refuse a stop that would never be reached.
"""

from __future__ import annotations

# Of the first tier where the symbol's is not known: most symbols have 0.4 % to 1 % (leverageBracket).
DEFAULT_MAINTENANCE_RATE = 0.005


def liquidation_price(
    entry_price: float, leverage: int, *, is_long: bool, maintenance_rate: float | None = None
) -> float | None:
    """Where the exchange closes the position, or None for one that it never would (long, leverage 1)."""
    rate = DEFAULT_MAINTENANCE_RATE if maintenance_rate is None else maintenance_rate
    side = 1 if is_long else -1
    price = entry_price * (side - 1 / leverage) / (side - rate)
    return price if price > 0 else None


def liquidation_distance_perc(
    leverage: int, *, is_long: bool, maintenance_rate: float | None = None
) -> float | None:
    """How far the price may go against a position, in percent of its entry price; None: any distance.

    Zero where the margin at entry does not even cover the maintenance margin.
    """
    price = liquidation_price(100.0, leverage, is_long=is_long, maintenance_rate=maintenance_rate)
    if price is None:
        return None
    return max(0.0, 100.0 - price if is_long else price - 100.0)
