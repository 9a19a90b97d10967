"""Each test begins without symbols, in Redis and in this process."""

from __future__ import annotations

import pytest

from marketdata import symbols


@pytest.fixture(autouse=True)
def no_symbols() -> None:
    """Forget what an earlier test's process-wide copy of the symbols holds."""
    symbols.forget_parsed()
