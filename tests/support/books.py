"""The books of every test that leaves requests in the database are checked when its body has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import pytest
from django.conf import settings
from django.db import connection

from tests.support import desk as desks
from tradebot import clock
from tradebot.errors import ExchangeError
from trading import books_check, invariants
from trading.findings import Finding, errors

USES_DATABASE = {"db", "transactional_db", "live_server", "django_db_setup"}
# The newest time in the journal stands in for "now" where tests write rows of any year.
NEWEST = """
SELECT greatest((SELECT max(created_at) FROM trading_orderrequest),
                (SELECT max(updated_at) FROM trading_order),
                (SELECT max(greatest(slot, started_at)) FROM bots_botrun))
"""


def check(item: pytest.Item) -> None:
    """Fail the test if an invariant is broken; `@pytest.mark.broken_books("why")` says that it is meant."""
    opened, desks.OPENED = desks.OPENED, []
    marker = item.get_closest_marker("broken_books")
    if marker is not None:
        assert marker.args, "the mark broken_books names the reason"
        return
    if not uses_database(item) or connection.needs_rollback:
        return
    found = errors(settled(database))
    for desk in opened:
        if desk.paper.process.poll() is None:
            found += errors(settled(lambda desk=desk: exchange(desk)))  # type: ignore[misc]
    if found:
        lines = "\n".join(f"{one.invariant} {one.object}: {one.sentence}" for one in found)
        pytest.fail(f"the test passed, but it left broken books:\n{lines}", pytrace=False)


def uses_database(item: pytest.Item) -> bool:
    """Whether the test may ask the database."""
    names = set(getattr(item, "fixturenames", ()))
    return bool(names & USES_DATABASE) or item.get_closest_marker("django_db") is not None


def settled(look: Callable[[], list[Finding]], seconds: float = 5.0) -> list[Finding]:
    """What is still wrong after workers have had time to end what they do."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if not errors(found) or time.monotonic() > end or not is_running():
            return found
        time.sleep(0.05)


def is_running() -> bool:
    """Whether worker processes may be at work."""
    from tests.support import cluster

    return bool(cluster.RUNNING)


def database() -> list[Finding]:
    """The invariants that the database answers; nothing is asked without a request."""
    with connection.cursor() as cursor:
        cursor.execute(NEWEST)
        newest: datetime | None = cursor.fetchone()[0]
    if newest is None:
        return []
    now = clock.now() if settings.CLOCK == "stepped" else newest
    return invariants.check_database(now=max(now, newest))


def exchange(desk: desks.Desk) -> list[Finding]:
    """Journal against paper exchange, with its faults switched off."""
    desk.paper.control("/paper/faults", method="DELETE")
    found: list[Finding] = []
    for pair in books_check.pairs():
        try:
            found += books_check.against_exchange(pair)
        except ExchangeError:
            continue  # a test of limits or of refused keys: nobody can ask
    return found
