"""Values for the tests of the pure core: a bot, a state and a market that would buy, changed by keywords."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from marketdata.types import Candles, Price, SymbolRules
from trading.types import BotView, MarketView, Protection, Signal, StateView

CLOSE = datetime(2026, 4, 1, 12, 1, tzinfo=UTC)  # the last close of a 1-minute candle
NOW = CLOSE + timedelta(milliseconds=500)
MINUTE = timedelta(minutes=1)


def rules(**changes: Any) -> SymbolRules:
    values: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "base": "BTC",
        "quote": "USDT",
        "status": "TRADING",
        "lot_step": Decimal("0.001"),
        "min_quantity": Decimal("0.001"),
        "max_quantity": Decimal(1000),
        "tick": Decimal("0.01"),
        "min_price": Decimal("0.01"),
        "max_price": Decimal(1000000),
        "min_notional": Decimal(5),
        "max_notional": Decimal(9000000),
    }
    return SymbolRules(**values | changes)


def bot(**changes: Any) -> BotView:
    values: dict[str, Any] = {
        "bot_id": 1,
        "market": "spot",
        "symbol": "BTCUSDT",
        "interval": "1m",
        "strategy": "ema_rsi",
        "strategy_params": {},
        "position_type": "long",
        "leverage": 1,
        "initial_capital": 1000.0,
        "position_size_perc": 10.0,
        "risk_per_trade_perc": None,
        "protection": Protection(),
        "cooldown_minutes": 0,
        "max_daily_trades": None,
        "max_daily_loss_perc": None,
        "daily_target_perc": None,
        "close_on_daily_limit": False,
        "compound": False,
        "is_active": True,
    }
    return BotView(**values | changes)


def position(**changes: Any) -> StateView:
    """One whole coin (1000 lots) bought at 100 an hour ago."""
    values: dict[str, Any] = {
        "status": "in position",
        "position_lots": 1000,
        "entry_price": 100.0,
        "entry_signal_time": CLOSE - 60 * MINUTE,
        "entry_time": CLOSE - 60 * MINUTE + timedelta(seconds=2),
        "last_signal_time": CLOSE - 60 * MINUTE,
        "protection": Protection(),
    }
    return StateView(**values | changes)


def signal(**changes: Any) -> Signal:
    """A ready signal of the last close that says nothing."""
    values: dict[str, Any] = {"as_of": CLOSE, "close": 100.0, "ready": True}
    return Signal(**values | changes)


def market(**changes: Any) -> MarketView:
    """Price 100 asked for 3 s ago, and a signal that enters long."""
    values: dict[str, Any] = {
        "signal": signal(enter_long=True, texts=("the averages crossed",)),
        "price": Price(100.0, NOW - timedelta(seconds=3)),
        "rules": rules(),
        "interval_ms": 60_000,
    }
    return MarketView(**values | changes)


def at_price(price: float, **changes: Any) -> MarketView:
    """The market at a fresh price, with a signal that says nothing unless changed."""
    values: dict[str, Any] = {"signal": signal(), "price": Price(price, NOW)}
    return market(**values | changes)


def candles(close: Any, *, start_ms: int = 1_774_267_740_000, clean_since: int = 0) -> Candles:
    """1-minute candles whose four prices are `close`."""
    prices = np.asarray(close, dtype=np.float64)
    times = start_ms + 60_000 * np.arange(len(prices), dtype=np.int64)
    return Candles(60_000, times, prices, prices, prices, prices, np.ones(len(prices)), clean_since)


def read_columns(path: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """The columns of a gzipped CSV as floats; an empty cell is NaN."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}
