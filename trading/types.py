"""Values that decide() takes and gives. Pure and immutable: no Django, no Redis, no network, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from marketdata.types import Price, SymbolRules

Side = Literal["BUY", "SELL"]
Purpose = Literal["ENTRY", "EXIT", "STOP", "TARGET", "DCA", "GRID"]


@dataclass(frozen=True, slots=True)
class Protection:
    """Stop, target and trailing of a position, in percent of the entry price; pinned when it opens."""

    stop_loss_perc: float | None = None
    take_profit_perc: float | None = None
    trailing_stop_perc: float | None = None
    trailing_activation_perc: float | None = None  # profit in percent from which the stop trails
    trailing_step_perc: float = 0.1  # the stop moves only when it is better by at least this


@dataclass(frozen=True, slots=True)
class BotView:
    """A bot's configuration as decide() reads it. Percentages are 0..100, money is in quote units."""

    bot_id: int
    market: str  # spot | futures
    symbol: str
    interval: str
    strategy: str
    strategy_params: Mapping[str, Any]
    position_type: str  # long | short
    leverage: int
    initial_capital: float
    position_size_perc: float
    risk_per_trade_perc: float | None
    protection: Protection
    cooldown_minutes: int
    max_daily_trades: int | None
    max_daily_loss_perc: float | None
    daily_target_perc: float | None
    close_on_daily_limit: bool
    compound: bool
    is_active: bool


@dataclass(frozen=True, slots=True)
class StateView:
    """A bot's state as decide() reads it. Quantities are whole lots, prices floats in quote units."""

    epoch: int = 0
    status: str = "waiting"
    position_lots: int = 0  # sellable whole lots; 0 when flat
    entry_price: float | None = None  # average price of the open position
    entry_signal_time: datetime | None = None  # as_of of the signal that opened the position
    entry_time: datetime | None = None
    protection: Protection | None = None  # pinned at the entry
    trailing_stop_price: float | None = None
    exit_wanted: str | None = None  # the reason, once an exit was decided and until flat
    last_exit_at: datetime | None = None
    last_signal_time: datetime | None = None  # as_of of the last signal that an entry was tried for
    trading_day: date | None = None  # the UTC day that the counters below belong to
    daily_pnl: float = 0.0  # realised, net, in quote units
    daily_trades_count: int = 0
    daily_limit: str | None = None  # "loss" or "target", once reached on trading_day with what was unrealised
    realized_total: float = 0.0  # realised since ever, for compounding
    live: tuple[LiveOrder, ...] = ()  # the bot's orders that may work on the exchange
    stop_passed_at: datetime | None = None  # since when the price was seen beyond a resting stop or target
    entry_in_doubt: bool = False  # an entry request is PREPARED, UNKNOWN, LATE or QUARANTINED
    exit_in_doubt: bool = False
    hold: str | None = (
        None  # a pause that is not a daily limit: "key", "drift", "doubt", "orders", "exchange"
    )


@dataclass(frozen=True, slots=True)
class Signal:
    """What a strategy says at the close of a base candle. Depends on candles and parameters only.

    `as_of` is the close of the base candle (the open time of the next). `ready` is False while candles for
    the warm-up are missing; then no flag is set. `values` are for people (EMA, RSI ...), `texts` say why.
    """

    as_of: datetime
    close: float
    ready: bool
    enter_long: bool = False
    exit_long: bool = False
    enter_short: bool = False
    exit_short: bool = False
    values: Mapping[str, float] = field(default_factory=dict)
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MarketView:
    """The market as one bot sees it: its source's signal, price and rules. None means "not known"."""

    signal: Signal | None
    price: Price | None
    rules: SymbolRules | None
    interval_ms: int
    entries_allowed: bool = True  # False when the request budget or an outage stops entries
    entries_note: str = ""  # why, when they are not
    kill_switch: str = ""  # why a kill switch bars entries, when one does
    maintenance_rate: float | None = None  # futures: of the symbol's first tier, where it is known
    symbol_gone: bool = False  # the exchange's list of symbols is known, and the symbol is not on it
    exchange_closed: bool = False  # not one symbol of the exchange trades: maintenance


@dataclass(frozen=True, slots=True)
class Wish:
    """An order that should exist. (purpose, part) is its stable key; lots are whole steps of the symbol."""

    purpose: Purpose
    part: int
    side: Side
    type: str  # MARKET, LIMIT ...
    lots: int
    reason: str
    price: float | None = None  # expected price for MARKET, limit for LIMIT
    stop_price: float | None = None
    signal_time: datetime | None = None  # ENTRY only: the signal's as_of


@dataclass(frozen=True, slots=True)
class LiveOrder:
    """An order of the bot that may work on the exchange: its request is open or accepted, it is not over."""

    purpose: Purpose
    part: int
    side: Side
    type: str
    lots: int
    price: float | None = None
    stop_price: float | None = None
    client_order_id: str = ""
    request_id: int = 0  # orders of one request are withdrawn together
    in_doubt: bool = False  # its request is open: nobody knows yet whether it exists


@dataclass(frozen=True, slots=True)
class Decision:
    """What should be. No wish beyond what exists is a Hold.

    `reasons` are sentences for the owner, the most telling first. `exit_wanted` is the reason that must be
    remembered in the same commit as the EXIT. `trailing_stop_price` is a moved stop to remember, else None;
    `daily_limit` a limit ("loss", "target") that the day has just reached. `stop_passed`: the price stands
    beyond an order that rests on the exchange, which should have traded: it is to be asked for.
    `is_dust`: the position should be left and the exchange would not take it; it is written off.
    """

    status: str
    reasons: tuple[str, ...]
    wishes: tuple[Wish, ...] = ()
    exit_wanted: str | None = None
    trailing_stop_price: float | None = None
    daily_limit: str | None = None
    is_dust: bool = False
    stop_passed: bool = False

    @property
    def has_news(self) -> bool:
        """Whether a run is needed even if every wished order exists: something to remember or to ask for."""
        to_remember = (self.trailing_stop_price, self.daily_limit)
        return self.stop_passed or self.is_dust or any(value is not None for value in to_remember)
