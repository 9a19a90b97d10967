"""What every test gets."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support import books
from tradebot.binance import gate_memory
from tradebot.redis import redis_client


@pytest.fixture(autouse=True)
def clean_redis() -> None:
    """An empty Redis database for each test (0.1 ms); the plugin has made sure that it is the tests' own."""
    redis_client().flushdb()


@pytest.fixture(autouse=True)
def gates_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of the exchange are not kept in the database, which most tests don't have."""
    monkeypatch.setattr(gate_memory, "_keeper", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """After a test that passed, while its fixtures still stand: are the books in order?"""
    result = yield
    books.check(item)
    return result
