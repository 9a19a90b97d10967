"""One Redis connection pool a process, for messages, caches and budgets."""

from __future__ import annotations

from functools import lru_cache

import redis
from django.conf import settings


@lru_cache(maxsize=1)
def redis_client() -> redis.Redis:
    """The process's client: bytes in and out, 2 s limits, so that a slow Redis holds no run for long."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=2.0, socket_connect_timeout=2.0, health_check_interval=30
    )
