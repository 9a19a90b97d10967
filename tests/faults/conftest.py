"""Fixtures of the fault suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.market import Market
from tests.faults.scenario import SCALE
from tests.faults.servers import TestServers, committed_to_disk, embedded_servers
from tests.faults.yard import Group, Yard, open_yard
from tests.support.paper import start_paper
from tradebot.binance import server_clock
from tradebot.timings import DEFAULT


@pytest.fixture
def servers(pytestconfig, transactional_db) -> Iterator[TestServers]:
    """PostgreSQL and Valkey, to be broken."""
    with committed_to_disk():
        yield embedded_servers(pytestconfig)


@pytest.fixture
def yard(tmp_path, settings, transactional_db, servers) -> Iterator[Yard]:
    """Three groups of workers on scaled times, and an exchange without limits."""
    settings.TIMINGS = DEFAULT.scaled(SCALE)
    groups = [
        Group("screen", ("screen",), threads=1),
        Group("trader1", ("exits", "entries"), threads=2),
        Group("trader2", ("exits", "entries"), threads=2),
    ]
    plenty = 1_000_000
    limits = {
        "weight_limit": plenty,
        "order_limit": plenty,
        "futures_weight_limit": plenty,
        "futures_order_limit": plenty,
    }
    with start_paper(tmp_path, **limits) as paper:
        settings.PAPER_SPOT_URL = settings.PAPER_FUTURES_URL = paper.url
        server_clock.forget_process_state()
        with open_yard(tmp_path / "yard", paper, groups, TIMINGS_SCALE=repr(SCALE)) as made:
            yield made


@pytest.fixture
def market(yard) -> Market:
    """Prices and signals of the yard's exchange."""
    made = Market(yard.paper)
    made.load()
    return made
