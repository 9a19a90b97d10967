"""Stops entries on a source after three unknown outcomes within 30 s, until three good probes."""

from __future__ import annotations

import time
import uuid

from tradebot.binance.sources import Source
from tradebot.redis import redis_client

WINDOW_SECONDS = 30
UNKNOWNS = 3
PROBES = 3


def _keys(source: Source) -> tuple[str, str]:
    return f"outage:unknown:{source.name}:{source.market}", f"outage:probes:{source.name}:{source.market}"


def note_unknown(source: Source) -> None:
    """Count an unknown outcome; the third within 30 s stops entries."""
    unknowns, probes = _keys(source)
    now = time.time()
    pipe = redis_client().pipeline()
    pipe.zadd(unknowns, {uuid.uuid4().hex: now})
    pipe.zremrangebyscore(unknowns, 0, now - WINDOW_SECONDS)
    pipe.expire(unknowns, WINDOW_SECONDS * 2)
    pipe.zcard(unknowns)
    if pipe.execute()[-1] >= UNKNOWNS:
        redis_client().set(probes, PROBES)


def note_good_probe(source: Source) -> None:
    """Count a good answer of the exchange; the third ends the stop."""
    _, probes = _keys(source)
    client = redis_client()
    if client.exists(probes) and client.decr(probes) <= 0:
        client.delete(probes, _keys(source)[0])


def entries_stopped(source: Source) -> str | None:
    """Why entries are stopped, or None."""
    if redis_client().exists(_keys(source)[1]):
        return "the exchange left three outcomes unknown within 30 s; entries wait until it answers again"
    return None
