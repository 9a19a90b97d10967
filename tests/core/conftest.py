"""The pure core needs no server: its tests run without Redis."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def clean_redis() -> None:
    """Instead of the one that empties Redis before each test."""
