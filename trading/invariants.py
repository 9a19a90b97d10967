"""The invariants of the books (docs/orders.md), asked of the database: each gives what breaks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from trading import invariants_fifo, invariants_secrets
from trading.findings import Finding
from trading.invariants_sql import CHECKS

INVARIANTS = tuple(f"I{number}" for number in range(1, 16))
NAKED_SECONDS = 90.0
FILLS_SECONDS = 60.0
GRACE_SECONDS = 900.0  # of good answers of the exchange


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked about: all, one account, one bot, what changed since a time. Open requests are always."""

    account_id: int | None = None
    bot_id: int | None = None
    since: datetime | None = None

    def conditions(self) -> dict[str, str]:
        """By alias of the texts in invariants_sql, the condition for its table."""
        by_bot = "(SELECT id FROM bots_botconfig WHERE account_id = %(account)s)"
        bot_of = {"t": "t.bot_config_id", "m": ""}
        time_of = {
            "r": "(r.resolved_at >= %(since)s OR r.resolved_at IS NULL)",
            "o": "o.updated_at >= %(since)s",
            "f": "f.traded_at >= %(since)s",
            "t": "t.created_at >= %(since)s",
            "g": "g.started_at >= %(since)s",
            "s": "(s.last_run_at >= %(since)s OR EXISTS (SELECT 1 FROM trading_order y "
            "WHERE y.bot_id = s.bot_id AND y.updated_at >= %(since)s))",
        }
        found = {}
        for alias in ("r", "o", "f", "t", "s", "g", "m"):
            parts, bot = ["TRUE"], bot_of.get(alias, f"{alias}.bot_id")
            if self.bot_id is not None:
                parts.append(f"{bot} = %(bot)s" if bot else by_bot_account("m"))
            if self.account_id is not None:
                has_account = alias in ("r", "o", "f", "m")
                parts.append(f"{alias}.account_id = %(account)s" if has_account else f"{bot} IN {by_bot}")
            if self.since is not None and alias in time_of:
                parts.append(time_of[alias])
            found[alias] = " AND ".join(parts)
        return found

    def values(self) -> dict[str, Any]:
        """Parameters of the conditions."""
        return {"account": self.account_id, "bot": self.bot_id, "since": self.since}


def by_bot_account(alias: str) -> str:
    """Rows of the account that the bot trades on."""
    return f"{alias}.account_id = (SELECT account_id FROM bots_botconfig WHERE id = %(bot)s)"


EVERYTHING = Scope()


def check_database(
    scope: Scope = EVERYTHING, *, now: datetime, canaries: tuple[str, ...] = ()
) -> list[Finding]:
    """All invariants that the database can answer, as of one moment; empty when the books are in order.

    `canaries` are texts beside `signature=` that no stored text may hold.
    """
    with _one_moment():
        found = by_queries(scope, now=now)
        found += invariants_fifo.check(scope.account_id, scope.bot_id, scope.since)
        return found + invariants_secrets.check(scope.since, canaries)


def by_queries(scope: Scope = EVERYTHING, *, now: datetime) -> list[Finding]:
    """I1 to I5 and I7 to I11: one statement for all of them."""
    where = scope.conditions()
    parts = [f"SELECT '{name}', q.* FROM ({text.format(**where)}) AS q" for name, text in CHECKS.items()]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), {**scope.values(), **_times(now)})
        return [
            Finding(
                invariant=row[0],
                severity=row[1],
                bot_id=row[2],
                account_id=row[3],
                object=row[4],
                sentence=row[5],
            )
            for row in cursor.fetchall()
        ]


def _times(now: datetime) -> Mapping[str, Any]:
    timings = settings.TIMINGS
    return {
        "now": now,
        "hold": f"{timings.hold_seconds} seconds",
        "hold_long": f"{timings.hold_long_seconds} seconds",
        "grace": f"{GRACE_SECONDS} seconds",
        "fills": f"{FILLS_SECONDS} seconds",
        "naked": f"{NAKED_SECONDS} seconds",
    }


@contextmanager
def _one_moment() -> Iterator[None]:
    """All queries see the same commits, unless a transaction is open already."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
