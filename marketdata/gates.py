"""Keeps the exchange's long pauses in PostgreSQL (tradebot.binance.gate_memory says when).

Each call has a connection of its own: a pause is often heard of inside a transaction, which must neither
hide it from others until its end nor break because of it. Pauses are rare.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connections

# A pause is only ever moved later.
SAVE = """
INSERT INTO marketdata_exchangegate AS kept (name, until, closed_at) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET until = EXCLUDED.until, closed_at = EXCLUDED.closed_at
WHERE kept.until < EXCLUDED.until
"""
LOAD = "SELECT name, until FROM marketdata_exchangegate WHERE until > %s"


def save(name: str, until: datetime) -> None:
    """Keep that the gate `name` is closed until then. Raises django.db.Error."""
    with _own_cursor() as cursor:
        cursor.execute(SAVE, [name, until, datetime.now(UTC)])


def load() -> dict[str, datetime]:
    """The gates that are still closed, and until when. Raises django.db.Error."""
    with _own_cursor() as cursor:
        cursor.execute(LOAD, [datetime.now(UTC)])
        return dict(cursor.fetchall())


@contextmanager
def _own_cursor() -> Iterator[Any]:
    connection = connections.create_connection("default")
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
