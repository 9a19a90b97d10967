"""A steady price for the futures tests that share one exchange."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.paper import Paper


@pytest.fixture
def steady(paper: Paper) -> Iterator[None]:
    """At 70,000 with a deep book; what tests have set by hand is gone afterwards."""
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": 70_000})
    paper.control("/paper/symbols/BTCUSDT", {"levelQuote": 1_000_000})
    yield
    paper.control("/paper/futures/mark", {"symbol": "BTCUSDT", "price": None})
    paper.control("/paper/futures/funding", {"symbol": "BTCUSDT", "rate": None})
    paper.control("/paper/futures/trigger", {"delay_ms": 0})
