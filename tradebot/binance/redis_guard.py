"""Redis as a help that may fail: after a failure it is left alone for some seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import redis

from tradebot.errors import TradebotError
from tradebot.redis import redis_client

REST_SECONDS = 3.0  # how long this process does not ask a Redis that failed

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
_down_until = 0.0


class RedisDown(TradebotError):
    """Raised when Redis can't be used now; the caller goes on with what this process knows."""


def with_redis(operation: Callable[[redis.Redis], Result]) -> Result:
    """The operation's result. Raises RedisDown when Redis fails, or failed within the last seconds."""
    global _down_until
    if time.monotonic() < _down_until:
        raise RedisDown("Redis can't be reached; the request budget is this process's own for now.")
    try:
        return operation(redis_client())
    except redis.RedisError as error:
        _down_until = time.monotonic() + REST_SECONDS
        logger.warning("Redis can't be used for the request budget: %s", type(error).__name__)
        failure = RedisDown("Redis can't be reached; the request budget is this process's own for now.")
    raise failure


def read_value(key: str) -> bytes | str | None:
    """The value of `key`; None when it is missing or of another type. Raises RedisDown like with_redis."""

    def read(client: redis.Redis) -> bytes | str | None:
        try:
            return client.get(key)
        except redis.ResponseError:
            return None

    return with_redis(read)


def try_again_now() -> None:
    """End the rest after a failure (for tests, and after the connection was changed)."""
    global _down_until
    _down_until = 0.0
