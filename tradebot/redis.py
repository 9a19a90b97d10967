"""One Redis connection pool a process, for messages, caches and budgets."""

from __future__ import annotations

from functools import lru_cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry


@lru_cache(maxsize=1)
def redis_client() -> redis.Redis:
    """The process's client: bytes in and out, 2 s limits, so that a slow Redis holds no run for long.

    One retry, for a connection that had gone stale; the library's own ten would make 2 s to many.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=2.0,
        socket_connect_timeout=2.0,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),
    )
