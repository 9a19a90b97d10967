"""A desk with as many symbols as a test needs, and real workers beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from marketdata import symbols
from tests.support.cluster import running_workers, two_workers
from tests.support.desk import Desk, open_desk
from tradebot.processes import Supervisor


@pytest.fixture(autouse=True)
def no_symbols() -> None:
    """Forget what an earlier test's process-wide copy of the symbols holds."""
    symbols.forget_parsed()


@pytest.fixture
def make_desk(
    tmp_path, settings, django_user_model, transactional_db
) -> Iterator[Callable[[list[str]], Desk]]:
    """Makes a desk on the named symbols; it is closed at the end."""
    with ExitStack() as stack:

        def make(names: list[str]) -> Desk:
            desk = open_desk(tmp_path, settings, django_user_model, names)
            stack.callback(desk.paper.stop)
            stack.callback(desk.feed.close)
            return desk

        yield make


@pytest.fixture
def start_workers(tmp_path) -> Iterator[Callable[[Desk], Supervisor]]:
    """Starts screen and trading workers for a desk; they are ended at the end."""
    with ExitStack() as stack:

        def start(desk: Desk) -> Supervisor:
            specs = two_workers(desk.paper.url, CLOCK="stepped")
            return stack.enter_context(running_workers(tmp_path / "logs", specs))

        yield start
