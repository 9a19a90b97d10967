"""Reads of many Redis values at once, by MGET, for which a value of another type counts as missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tradebot.redis import redis_client


def read_values(keys: Sequence[str]) -> list[bytes | None]:
    """The values under `keys`, in one request; None for those that are missing or no strings."""
    return cast(list[bytes | None], redis_client().mget(keys)) if keys else []
