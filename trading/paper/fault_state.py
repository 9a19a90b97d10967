"""Conditions: what is different at the exchange for as long as the fault is switched on."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from trading.paper.conditions import changed_filters
from trading.paper.fault_model import ALWAYS, ENDLESS, Fault, FaultRefused, Kind

if TYPE_CHECKING:
    from trading.paper.exchange import Exchange

STATUSES = ("HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY")
EVERY = "*"
Undo = Callable[[], None]


def _symbol(exchange: Exchange, fault: Fault) -> str:
    """The symbol that the fault names, or all of them."""
    symbol = fault.selects.get("symbol", EVERY)
    known = symbol in exchange.market.specs or symbol in exchange.futures.state.contracts
    if symbol != EVERY and not known:
        raise FaultRefused(f"{symbol} is not listed here")
    return symbol


def _settled(exchange: Exchange) -> None:
    """Book what happened up to now, before the rules change."""
    now_ms = exchange.clock.now_ms()
    exchange.engine.advance_all(now_ms)
    exchange.futures.advance_all(now_ms)


def _halt(exchange: Exchange, fault: Fault, status: str) -> Undo:
    symbol, markets = _symbol(exchange, fault), _markets(fault)
    _settled(exchange)
    for market in markets:
        exchange.conditions.halted[market, symbol] = status

    def undo() -> None:
        _settled(exchange)
        for market in markets:
            exchange.conditions.halted.pop((market, symbol), None)

    return undo


def _markets(fault: Fault) -> tuple[str, ...]:
    market = fault.selects.get("market")
    return ("spot", "futures") if market is None else (market,)


def _status(exchange: Exchange, fault: Fault) -> Undo:
    status = fault.options.get("status", "BREAK")
    if status not in STATUSES:
        raise FaultRefused(f"status must be one of {', '.join(STATUSES)}")
    return _halt(exchange, fault, status)


def _empty(exchange: Exchange, fault: Fault) -> Undo:
    symbol, book = _symbol(exchange, fault), exchange.engine.book
    _settled(exchange)
    book.empty.add(symbol)
    return lambda: book.empty.discard(symbol)


def _thin(exchange: Exchange, fault: Fault) -> Undo:
    book, symbol = exchange.engine.book, _symbol(exchange, fault)
    quote = Decimal(str(fault.options["quote"]))
    _settled(exchange)
    symbols = [*exchange.market.specs] if symbol == EVERY else [symbol]
    before = {one: book.by_symbol.get(one) for one in symbols}
    book.by_symbol.update(dict.fromkeys(symbols, quote))

    def undo() -> None:
        for one, value in before.items():
            if value is None:
                book.by_symbol.pop(one, None)
            else:
                book.by_symbol[one] = value

    return undo


def _maintenance(exchange: Exchange, fault: Fault) -> Undo:
    undo = [_halt(exchange, fault, "BREAK"), _empty(exchange, fault)]
    exchange.conditions.maintenance += 1

    def end() -> None:
        exchange.conditions.maintenance -= 1
        for one in undo:
            one()

    return end


def _delist(exchange: Exchange, fault: Fault) -> Undo:
    symbol = _symbol(exchange, fault)
    if symbol == EVERY:
        raise FaultRefused("delisted needs symbol")
    now_ms, markets = exchange.clock.now_ms(), _markets(fault)
    _settled(exchange)
    if "spot" in markets:
        exchange.engine.expire_all(symbol, now_ms, "EXCHANGE_CANCELED")
    if "futures" in markets:
        exchange.futures.settle_all(symbol, now_ms)
    for market in markets:
        exchange.conditions.delisted.add((market, symbol))

    def undo() -> None:
        for market in markets:
            exchange.conditions.delisted.discard((market, symbol))

    return undo


def _filters(exchange: Exchange, fault: Fault) -> Undo:
    symbol = _symbol(exchange, fault)
    if symbol == EVERY:
        raise FaultRefused("filters needs symbol")
    try:
        return changed_filters(exchange, symbol, _markets(fault), fault.options["filters"])
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise FaultRefused(f"filters: {error}") from error


def _clock(exchange: Exchange, fault: Fault) -> Undo:
    clock = exchange.clock
    if clock.mode == "stepped":
        raise FaultRefused("a stepped clock has no offset and no drift")
    offset = int(fault.options.get("offset_ms", 0))
    clock.offset_ms += offset
    clock.set_drift(float(fault.options.get("drift_ms_per_minute", 0.0)))

    def undo() -> None:
        clock.set_drift(0.0, forget=True)
        clock.offset_ms -= offset

    return undo


def _trigger(exchange: Exchange, fault: Fault) -> Undo:
    events = exchange.futures.events
    before, events.trigger_delay_ms = events.trigger_delay_ms, int(fault.options["delay_ms"])

    def undo() -> None:
        events.trigger_delay_ms = before

    return undo


def _condition(text: str, begin: Any, needs: tuple[str, ...] = (), takes: tuple[str, ...] = ()) -> Kind:
    return Kind(text, (ALWAYS,), needs=needs, takes=takes, begin=begin, count=ENDLESS)


STATE: dict[str, Kind] = {
    "clock": _condition(
        "the exchange's clock is off by `offset_ms`, and drifts by `drift_ms_per_minute`",
        _clock,
        takes=("offset_ms", "drift_ms_per_minute"),
    ),
    "halt": _condition(
        "a symbol (all without `symbol`) has the status `status` (BREAK): no orders, no fills",
        _status,
        takes=("status",),
    ),
    "empty_book": _condition("the book of a symbol (of all without `symbol`) is empty", _empty),
    "thin_book": _condition(
        "the best level of a symbol's book holds only `quote` USDT", _thin, needs=("quote",)
    ),
    "maintenance": _condition(
        "every symbol is BREAK, every book empty, and the system status says maintenance", _maintenance
    ),
    "delisted": _condition(
        "`symbol` is gone: orders are expired by the exchange, futures positions settled, then -1121",
        _delist,
    ),
    "filters": _condition(
        'a symbol\'s filters change: `filters` {"LOT_SIZE": {"stepSize": "0.01"}}; null removes one',
        _filters,
        needs=("filters",),
    ),
    "slow_trigger": _condition(
        "futures conditional orders stay TRIGGERING for `delay_ms`", _trigger, needs=("delay_ms",)
    ),
}
