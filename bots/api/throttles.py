"""How many requests a minute: counters in Redis, shared by all web processes. Limits are in the settings."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from bots.api.errors import Unavailable
from tradebot.redis import redis_client

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60


class PerMinute(BaseThrottle):
    """Counts a request under each of its keys; refused when one is above its scope's limit.

    While Redis does not answer nothing is counted and everything allowed.
    """

    def keys(self, request: Request) -> dict[str, str]:
        """Who is counted, by scope."""
        if request.user and request.user.is_authenticated:
            scope = "read" if request.method in ("GET", "HEAD", "OPTIONS") else "write"
            return {scope: str(request.user.pk)}
        return {"anonymous": str(request.META.get("REMOTE_ADDR"))}

    def allow_request(self, request: Request, view: Any) -> bool:
        """Whether the request is within its limits."""
        try:
            counts = _count(self.keys(request))
        except redis.RedisError:
            return self.without_redis()
        limits = settings.API_REQUESTS_PER_MINUTE
        return all(count <= limits[scope] for scope, count in counts.items())

    def without_redis(self) -> bool:
        """What becomes of a request that nobody can count."""
        logger.warning("Redis does not answer: requests are not counted.")
        return True

    def wait(self) -> float:
        """Seconds until the next minute begins."""
        return WINDOW_SECONDS - time.time() % WINDOW_SECONDS + 1


class LoginPerMinute(PerMinute):
    """Logins by address, and by address and user name: nobody guesses while nobody can count."""

    def keys(self, request: Request) -> dict[str, str]:
        """The address, and the name tried from there."""
        address = str(request.META.get("REMOTE_ADDR"))
        name = str(request.data.get("username", "")).casefold().encode("utf-8", "replace")
        return {"anonymous": address, "login": f"{address}:{hashlib.sha256(name).hexdigest()}"}

    def without_redis(self) -> bool:
        """Refused."""
        raise Unavailable("Nobody can log in while Redis does not answer; try again in a moment.")


def _count(keys: dict[str, str]) -> dict[str, int]:
    window = int(time.time() // WINDOW_SECONDS)
    pipeline = redis_client().pipeline(transaction=False)
    for scope, who in keys.items():
        key = f"throttle:{scope}:{who}:{window}"
        pipeline.incr(key)
        pipeline.expire(key, 2 * WINDOW_SECONDS)
    counts = pipeline.execute()[::2]
    return dict(zip(keys, counts, strict=True))
