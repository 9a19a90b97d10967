"""The symbol caches: exchangeInfo of each source in Redis, fresh or the last good copy with its age."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import redis
from django.conf import settings

from marketdata.exchange_info import parse
from marketdata.redis_values import read_values
from marketdata.symbol_codec import decode, encode
from marketdata.types import SymbolRules
from tradebot.clock import from_ms, now, to_ms
from tradebot.errors import ExchangeError, StaleData, UnknownSymbol
from tradebot.redis import redis_client

if TYPE_CHECKING:
    from tradebot.binance.sources import Source

logger = logging.getLogger(__name__)

REFUSED_SECONDS = 60  # refusals of many bots at once ask for one refresh


class InfoClient(Protocol):
    """The part of the exchange client that the symbols need."""

    def exchange_info(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Refreshed:
    """How a refresh went. `skipped` counts rows that could not be read; `error` is "" when ok."""

    ok: bool
    source: str
    market: str
    symbols: int = 0
    trading: int = 0
    skipped: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class SymbolCache:
    """The symbols of a source. `stale`: the fresh copy has expired, this is the last good one."""

    symbols: tuple[SymbolRules, ...]
    refreshed_at: datetime
    age_seconds: float
    stale: bool
    by_symbol: Mapping[str, SymbolRules]

    @property
    def trading(self) -> tuple[SymbolRules, ...]:
        """Those that take orders, popular ones first: what is offered for choice."""
        return tuple(rules for rules in self.symbols if rules.is_trading)

    @property
    def is_closed(self) -> bool:
        """Whether not one symbol trades: the exchange is in maintenance."""
        return not any(rules.is_trading for rules in self.symbols)


@dataclass(frozen=True, slots=True)
class Counters:
    """How often the refreshes of a source went well or failed, since Redis was last emptied."""

    ok: int
    errors: int
    refreshed_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Parsed:
    stamp: tuple[bytes | None, bool]  # :refreshed_at in Redis, and whether the fresh copy was there
    symbols: tuple[SymbolRules, ...]
    refreshed_at: datetime
    is_fresh: bool
    by_symbol: Mapping[str, SymbolRules]


_parsed: dict[str, _Parsed] = {}  # by key: a process parses each refresh once
_parsing = threading.Lock()


def key_of(source: Source) -> str:
    """The Redis key of the source's symbols: symbols:spot for live, symbols:<source>:spot for others."""
    return f"symbols:{source.redis_prefix}{source.market}"


def refresh(source: Source, *, client: InfoClient | None = None) -> Refreshed:
    """Ask the source for its exchangeInfo, without a key, and write the caches.

    Failures of the exchange, and an answer without a single symbol, are counted, logged and told
    in the result; the last good copy stays. Raises redis.RedisError when Redis is down.
    """
    key = key_of(source)
    try:
        info = (client or _public_client(source)).exchange_info()
    except ExchangeError as error:
        return _failed(source, key, f"{type(error).__name__}: {error}")
    parsed = parse(info, source.market)
    trading = sum(rules.is_trading for rules in parsed.symbols)
    if parsed.skipped:
        logger.warning("%d symbols of %s skipped, the first: %s", len(parsed.skipped), key, parsed.skipped[0])
    if not parsed.symbols:  # all of them halted is maintenance, and to be known
        return _failed(source, key, "the answer holds no USDT symbol")
    at = now()
    value = encode(parsed.symbols, source.market, at)
    pipeline = redis_client().pipeline(transaction=True)
    pipeline.set(key, value, ex=settings.SYMBOLS_TTL)
    pipeline.set(f"{key}:last_good", value)
    pipeline.set(f"{key}:refreshed_at", str(to_ms(at)))
    pipeline.execute()
    _parsed.pop(key, None)  # another refresh within the same millisecond would look like this one
    _count(f"{key}:ok")
    return Refreshed(True, source.name, source.market, len(parsed.symbols), trading, len(parsed.skipped))


def refresh_if_missing(source: Source) -> bool:
    """Fetch the source's symbols if there is no copy at all, once in 30 s for all processes; True if it did.

    For runs: without a symbol's rules no exit can be sent, and the schedule's next turn may be far away.
    """
    try:
        cached(source)
    except StaleData:
        if redis_client().set(f"{key_of(source)}:asked", b"1", nx=True, ex=30):
            return refresh(source).ok
    return False


def refresh_after_refusal(source: Source) -> bool:
    """Fetch the source's symbols anew because an order was refused by rules that our copy lacks.

    Once a minute for all processes; True if it did. Never raises: with Redis away the schedule does it later.
    """
    try:
        if redis_client().set(f"{key_of(source)}:refused", b"1", nx=True, ex=REFUSED_SECONDS):
            return refresh(source).ok
    except redis.RedisError as error:
        logger.warning("The symbols of %s can't be fetched anew: %s", source.name, type(error).__name__)
    return False


def cached(source: Source) -> SymbolCache:
    """The source's symbols, popular ones first: the fresh copy, else the last good one, with its age.

    Costs one small request to Redis; the symbols are parsed once per refresh and process. With Redis down or
    emptied it answers from what the process has parsed. Raises StaleData when there is no copy at all.
    """
    found = _newest(source)
    age_seconds = max(0.0, (now() - found.refreshed_at).total_seconds())
    is_stale = not found.is_fresh or age_seconds > settings.SYMBOLS_TTL
    return SymbolCache(found.symbols, found.refreshed_at, age_seconds, is_stale, found.by_symbol)


def _newest(source: Source) -> _Parsed:
    key = key_of(source)
    found = _parsed.get(key)
    try:
        pipeline = redis_client().pipeline(transaction=False)
        pipeline.mget([f"{key}:refreshed_at"])  # MGET: a value of another type counts as missing
        pipeline.exists(key)
        (refreshed_at,), exists = pipeline.execute()
        stamp = (refreshed_at, bool(exists))
        if found is None or found.stamp != stamp:
            with _parsing:
                found = _parsed.get(key)
                if found is None or found.stamp != stamp:
                    found = _read(key, source.market, stamp)
    except redis.RedisError:
        logger.warning("Redis did not answer for %s.", key)
    if found is None:
        raise StaleData(
            f"The symbols of {source.name} ({source.market}) were never fetched. "
            "Check that the exchange answers and that the worker for background tasks runs."
        )
    return found


def rules_for(source: Source, symbol: str) -> SymbolRules:
    """The rules of one symbol. Raises UnknownSymbol, or StaleData when no symbols are known at all."""
    rules = cached(source).by_symbol.get(symbol)
    if rules is None:
        raise UnknownSymbol(
            f"{symbol!r} is no USDT symbol of {source.name} ({source.market}). "
            "Choose one from the list of symbols, written like BTCUSDT."
        )
    return rules


def many(source: Source, symbols: Iterable[str]) -> dict[str, SymbolRules]:
    """The rules of those `symbols` that the source has. Raises StaleData when it has none at all."""
    known = _newest(source).by_symbol
    return {symbol: known[symbol] for symbol in symbols if symbol in known}


def counters(source: Source) -> Counters:
    """The counters of the source's refreshes; a broken counter reads as 0."""
    key = key_of(source)
    values = read_values([f"{key}:ok", f"{key}:errors", f"{key}:refreshed_at"])
    ok, errors, at_ms = (int(v) if v is not None and v.isdigit() else None for v in values)
    is_time = at_ms is not None and at_ms < 2**42
    return Counters(ok or 0, errors or 0, from_ms(at_ms or 0) if is_time else None)


def forget_parsed() -> None:
    """Drop what this process has parsed: for tests, and for nobody else."""
    _parsed.clear()


def _read(key: str, market: str, stamp: tuple[bytes | None, bool]) -> _Parsed | None:
    fresh_value, last_good_value = read_values([key, f"{key}:last_good"])
    decoded, is_fresh = decode(fresh_value, market), True
    if decoded is None:
        if fresh_value is not None:
            logger.warning("The value of %s in Redis is broken; the last good copy is used.", key)
        decoded, is_fresh = decode(last_good_value, market), False
    if decoded is not None:
        by_symbol = {rules.symbol: rules for rules in decoded.symbols}
        _parsed[key] = _Parsed(stamp, decoded.symbols, decoded.refreshed_at, is_fresh, by_symbol)
    elif key in _parsed:  # what this process parsed before is the last good copy that is left
        _parsed[key] = replace(_parsed[key], stamp=stamp, is_fresh=False)
    return _parsed.get(key)


def _failed(source: Source, key: str, error: str) -> Refreshed:
    _count(f"{key}:errors")
    logger.warning("Symbols of %s not refreshed: %s", key, error)
    return Refreshed(False, source.name, source.market, error=error)


def _count(counter: str) -> None:
    try:
        redis_client().incr(counter)
    except redis.ResponseError:  # a value of another type stands there: count anew
        redis_client().set(counter, 1)


def _public_client(source: Source) -> InfoClient:
    from tradebot.binance.client import ExchangeClient

    client: InfoClient = ExchangeClient(source, lane="background")
    return client
