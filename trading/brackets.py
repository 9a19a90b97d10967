"""Highest leverage and maintenance margin rate of futures symbols, as an account was told; kept in Redis."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis

from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import Source
from tradebot.redis import redis_client

KEEP_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Tier:
    """The first tier of a symbol: for the smallest positions, with the highest leverage."""

    max_leverage: int
    maintenance_rate: float


def refresh(client: ExchangeClient) -> int:
    """Ask for all symbols' brackets (weight 1) and keep them for a day; gives how many. Raises ExchangeError.

    The endpoint is signed, hence no part of the symbol cache: who has a client asks when they are missing.
    """
    found: dict[Any, Any] = {}
    for row in client.leverage_brackets():
        tier = _first_tier(row)
        if tier is not None:
            found[str(row["symbol"])] = json.dumps([tier.max_leverage, tier.maintenance_rate])
    if found:
        key = _key(client.source)
        pipeline = redis_client().pipeline()
        pipeline.delete(key)
        pipeline.hset(key, mapping=found)
        pipeline.expire(key, KEEP_SECONDS)
        pipeline.execute()
    return len(found)


def load_many(source: Source, symbols: Iterable[str]) -> dict[str, Tier]:
    """The tiers that are known, in one request to Redis; none where Redis does not answer."""
    wanted = list(dict.fromkeys(symbols))
    if not wanted or source.market != "futures":
        return {}
    try:
        values: list[Any] = list(redis_client().hmget(_key(source), wanted))  # type: ignore[arg-type]
    except redis.RedisError:
        return {}
    found = {}
    for symbol, value in zip(wanted, values, strict=True):
        if value is not None:
            leverage, rate = json.loads(value)
            found[symbol] = Tier(int(leverage), float(rate))
    return found


def _first_tier(row: dict[str, Any]) -> Tier | None:
    try:
        first = min(row["brackets"], key=lambda one: float(one["notionalFloor"]))
        tier = Tier(int(first["initialLeverage"]), float(first["maintMarginRatio"]))
    except (KeyError, TypeError, ValueError):
        return None
    return tier if tier.max_leverage >= 1 and 0 <= tier.maintenance_rate < 1 else None


def _key(source: Source) -> str:
    return f"brackets:{source.redis_prefix}{source.market}"
