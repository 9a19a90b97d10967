"""Stops entries on a source after three unknown outcomes within 30 s, until three good probes.

Redis keeps the count; while Redis is away nothing is counted, and entries wait anyway (budget.py).
"""

from __future__ import annotations

import contextlib
import time
import uuid

import redis

from tradebot.binance.redis_guard import RedisDown, with_redis
from tradebot.binance.sources import Source

WINDOW_SECONDS = 30
UNKNOWNS = 3
PROBES = 3


def _keys(source: Source) -> tuple[str, str]:
    return f"outage:unknown:{source.name}:{source.market}", f"outage:probes:{source.name}:{source.market}"


def note_unknown(source: Source) -> None:
    """Count an unknown outcome; the third within 30 s stops entries. Never raises: the order comes first."""
    unknowns, probes = _keys(source)
    now = time.time()

    def count(client: redis.Redis) -> None:
        pipeline = client.pipeline()
        pipeline.zadd(unknowns, {uuid.uuid4().hex: now})
        pipeline.zremrangebyscore(unknowns, 0, now - WINDOW_SECONDS)
        pipeline.expire(unknowns, WINDOW_SECONDS * 2)
        pipeline.zcard(unknowns)
        if pipeline.execute()[-1] >= UNKNOWNS:
            client.set(probes, PROBES)

    with contextlib.suppress(RedisDown):
        with_redis(count)


def note_good_probe(source: Source) -> None:
    """Count a good answer of the exchange; the third ends the stop."""
    unknowns, probes = _keys(source)

    def count(client: redis.Redis) -> None:
        if client.exists(probes) and int(client.decr(probes)) <= 0:
            client.delete(probes, unknowns)

    with contextlib.suppress(RedisDown):
        with_redis(count)


def entries_stopped(source: Source) -> str | None:
    """Why entries are stopped, or None."""
    try:
        is_stopped = with_redis(lambda client: client.exists(_keys(source)[1]))
    except RedisDown:
        return "Redis does not answer"
    if is_stopped:
        return "the exchange left three outcomes unknown within 30 s; entries wait until it answers again"
    return None
