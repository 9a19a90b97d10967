"""Strategies: pure functions from closed candles to a Signal, and the registry of their names."""

from __future__ import annotations

from tradebot.errors import InvalidInput
from trading.strategies.base import Strategy
from trading.strategies.ema_rsi import EMA_RSI

__all__ = ["STRATEGIES", "Strategy", "strategy_named"]

STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in (EMA_RSI,)}


def strategy_named(name: str) -> Strategy:
    """The strategy of this name. Raises InvalidInput (field "strategy") with the names that exist."""
    try:
        return STRATEGIES[name]
    except KeyError:
        known = ", ".join(sorted(STRATEGIES))
        raise InvalidInput(f"There is no strategy {name[:40]!r}; use {known}.", "strategy") from None
