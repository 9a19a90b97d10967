"""Fixtures of the fault suite: one yard for all tests of a module, each of which has accounts of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings

from tests.faults.figures import Figures
from tests.faults.market import Market
from tests.faults.scenario import SCALE, Scenario
from tests.faults.servers import TestServers, committed_to_disk, embedded_servers
from tests.faults.trial import Trial
from tests.faults.yard import Group, Yard, open_yard
from tests.support.desk import Desk, open_desk
from tests.support.paper import start_paper
from tradebot.binance import server_clock
from tradebot.timings import DEFAULT

PLENTY = 1_000_000
NO_LIMITS = {
    "weight_limit": PLENTY,
    "order_limit": PLENTY,
    "futures_weight_limit": PLENTY,
    "futures_order_limit": PLENTY,
}


@pytest.fixture(scope="module")
def servers(pytestconfig, django_db_setup, django_db_blocker) -> Iterator[TestServers]:
    """PostgreSQL and Valkey, to be broken."""
    found = embedded_servers(pytestconfig)
    with committed_to_disk(django_db_blocker):
        yield found


@pytest.fixture(scope="module")
def yard(tmp_path_factory, servers) -> Iterator[Yard]:
    """Three groups of workers on scaled times, and an exchange without limits."""
    folder = tmp_path_factory.mktemp("faults")
    groups = [
        Group("screen", ("screen",), threads=1),
        Group("trader1", ("exits", "entries"), threads=2),
        Group("trader2", ("exits", "entries"), threads=2),
    ]
    with start_paper(folder, **NO_LIMITS) as paper:
        at_paper = {"PAPER_SPOT_URL": paper.url, "PAPER_FUTURES_URL": paper.url}
        with override_settings(**at_paper, TIMINGS=DEFAULT.scaled(SCALE)):
            server_clock.forget_process_state()
            with open_yard(folder / "yard", paper, groups, TIMINGS_SCALE=repr(SCALE)) as made:
                yield made


@pytest.fixture
def market(yard, owner) -> Market:
    """Prices and signals of the yard's exchange."""
    made = Market(yard.paper)
    made.load()
    return made


@pytest.fixture
def desk(tmp_path, settings, django_user_model, transactional_db) -> Iterator[Desk]:
    """A desk on the stepped clock, a moment before the signal of BTCUSDT; without workers."""
    made = open_desk(tmp_path, settings, django_user_model)
    yield made
    made.feed.close()
    made.paper.stop()


@pytest.fixture
def owner(transactional_db) -> Any:
    """Whose bots they are."""
    return get_user_model().objects.create_user("owner", password="owner-password-1")


@pytest.fixture
def try_out(yard, market, servers, owner) -> Iterator[Callable[..., Trial]]:
    """Runs one trial: `try_out(action="kill", step="send.sent")`. It compares the books by itself."""

    def run(**changes: Any) -> Trial:
        plain = {"seed": 0, "market": "spot", "bots": 1, "phase": "entry", "action": "none", "step": ""}
        scenario = Scenario(**(plain | {"skip": 0, "seconds": 0.05, "exit_by": "hand"} | changes))
        trial = Trial(yard, market, servers, owner, scenario, Figures(), must_strike=True)
        trial.run()
        return trial

    yield run
    for group in yard.groups:  # nobody is at work when the tables are emptied; the next trial starts them
        yard.kill(group)
    servers.cut_sessions()
