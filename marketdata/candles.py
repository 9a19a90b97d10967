"""Closed candles in Redis, one packed value a series: read by screens and runs, written by the feed only."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import redis

from marketdata.candle_checks import Gap, Rejection
from marketdata.candle_codec import count_in, decode, encode
from marketdata.intervals import DAY_MS, interval_ms
from marketdata.models import CandleHole
from marketdata.redis_values import read_values
from marketdata.series import Series
from marketdata.types import Candles
from tradebot.clock import from_ms
from tradebot.redis import redis_client

if TYPE_CHECKING:
    from tradebot.binance.sources import Source

logger = logging.getLogger(__name__)

KEEP_MS = 3 * DAY_MS  # a series that nobody has fed for this long, or for three candles, is forgotten
REJECTION_KEEP_MS = 7 * DAY_MS


def load(source: Source, symbol: str, interval: str) -> Candles | None:
    """The closed candles of one series, oldest first; None when there are none or the value is broken."""
    series = Series(source, symbol, interval)
    return load_many([series]).get(series)


def load_many(series: Iterable[Series]) -> dict[Series, Candles]:
    """The closed candles of many series, in one request; series without sound candles are left out."""
    wanted = list(dict.fromkeys(series))
    found: dict[Series, Candles] = {}
    for one, value in zip(wanted, read_values([s.key for s in wanted]), strict=True):
        candles = decode(value, interval_ms(one.interval))
        if candles is not None and len(candles):
            found[one] = candles
        elif value is not None:
            logger.warning("The candles of %s in Redis are broken and count as missing.", one)
    return found


def store(series: Mapping[Series, Candles]) -> None:
    """Write whole series, in one request; what was under their keys, of whatever type, is replaced."""
    pipeline = redis_client().pipeline(transaction=False)
    for one, candles in series.items():
        keep_ms = max(KEEP_MS, 3 * candles.interval_ms)
        pipeline.set(one.key, encode(candles), px=keep_ms)
    pipeline.execute()


def counts(series: Iterable[Series]) -> dict[Series, int]:
    """How many candles Redis holds of each series, by the values' lengths; 0 for none or another type."""
    wanted = list(dict.fromkeys(series))
    pipeline = redis_client().pipeline(transaction=False)
    for one in wanted:
        pipeline.strlen(one.key)
    lengths = pipeline.execute(raise_on_error=False)
    found: dict[Series, int] = {}
    for one, length in zip(wanted, lengths, strict=True):
        if isinstance(length, redis.RedisError) and not isinstance(length, redis.ResponseError):
            raise length
        found[one] = count_in(length) if isinstance(length, int) else 0
    return found


def record_holes(series: Series, holes: Iterable[Gap]) -> int:
    """Remember holes that the exchange has too; how many of them were new. Repeating it changes nothing."""
    rows = [
        CandleHole(
            source=series.source.name,
            market=series.source.market,
            symbol=series.symbol,
            interval=series.interval,
            start=from_ms(hole.start_ms),
            end=from_ms(hole.end_ms),
        )
        for hole in holes
    ]
    before = CandleHole.objects.of(series).count() if rows else 0
    CandleHole.objects.bulk_create(rows, ignore_conflicts=True)
    new = CandleHole.objects.of(series).count() - before if rows else 0
    if new:
        logger.warning("The exchange has %d hole(s) in the candles of %s.", new, series)
    return new


def record_rejections(series: Series, rejections: Iterable[Rejection], at_ms: int) -> None:
    """Keep the newest rejected candle of the series and its reason for people, and log all of them."""
    newest = max(rejections, key=lambda rejection: rejection.open_time_ms, default=None)
    if newest is None:
        return
    text = json.dumps({"open_time_ms": newest.open_time_ms, "reason": newest.reason, "at_ms": at_ms})
    redis_client().set(f"{series.key}:rejected", text, px=REJECTION_KEEP_MS)
    logger.warning("Candle rejected: %s: %s", series, newest.reason)


def rejections(series: Iterable[Series]) -> dict[Series, Rejection]:
    """The newest rejected candle of each series, of the last seven days, in one request to Redis."""
    wanted = list(dict.fromkeys(series))
    values = read_values([f"{s.key}:rejected" for s in wanted])
    found = {}
    for one, value in zip(wanted, values, strict=True):
        try:
            fields = json.loads(value or b"null")
            found[one] = Rejection(int(fields["open_time_ms"]), str(fields["reason"]))
        except (TypeError, ValueError, KeyError):
            continue
    return found
