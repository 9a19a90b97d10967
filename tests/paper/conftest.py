"""One running paper exchange for the tests that only need some exchange, each with an account of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.paper import Paper, start_paper

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def shared_paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    with start_paper(
        tmp_path_factory.mktemp("paper"), weight_limit=10**6, order_limit=10**6, symbols=20
    ) as paper:
        yield paper


@pytest.fixture
def paper(shared_paper: Paper) -> Iterator[Paper]:
    """The shared exchange; what a test has switched on is off again afterwards."""
    yield shared_paper
    shared_paper.control("/paper/faults", method="DELETE")
    shared_paper.control("/paper/clock", {"offset_ms": 0})
    usual = {"status": "TRADING", "levelQuote": 2000, "matchResting": True}
    for symbol in ("BTCUSDT", "ETHUSDT", "BNBUSDT"):
        shared_paper.control("/paper/price", {"symbol": symbol, "price": None})
        shared_paper.control(f"/paper/symbols/{symbol}", usual)


@pytest.fixture
def key(shared_paper: Paper) -> str:
    """The key of an account that nobody else uses, with 10,000 USDT and 1 BTC."""
    name = f"paper-{next(_numbers)}"
    shared_paper.control("/paper/accounts", {"apiKey": name, "balances": {"USDT": 10_000, "BTC": 1}})
    return name


@pytest.fixture
def candles(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder with one file of one-minute candles of XYZUSDT, from (open, high, low, close) rows."""

    def write(*rows: tuple[float, float, float, float] | None, symbol: str = "XYZUSDT") -> Path:
        folder = tmp_path / "candles"
        folder.mkdir(exist_ok=True)
        lines = ["open_time_ms,open,high,low,close,volume"]
        for minute, row in enumerate(rows):
            if row is not None:  # None is a hole
                prices = ",".join(f"{price:.2f}" for price in row)
                lines.append(f"{START_MS + minute * 60_000},{prices},10.0")
        (folder / f"{symbol}-1m.csv").write_text("\n".join(lines) + "\n")
        return folder

    return write


START_MS = 1_774_224_000_000  # 2026-03-23 00:00 UTC
