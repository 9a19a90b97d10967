"""What every test gets."""

from __future__ import annotations

import pytest

from tradebot.redis import redis_client


@pytest.fixture(autouse=True)
def clean_redis() -> None:
    """An empty Redis database for each test (0.1 ms); the plugin has made sure that it is the tests' own."""
    redis_client().flushdb()
