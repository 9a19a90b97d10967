"""Health checks: small functions that give a sentence, or raise Unhealthy with one. This floor's own checks.

What needs bots, accounts or market data is in bots/health_checks.py, which also says what belongs together.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from tradebot import beats
from tradebot.errors import TradebotError
from tradebot.redis import redis_client

LOW_DISK_BYTES = 1_000_000_000
LONG_TRANSACTION_SECONDS = 60
OLD_TRANSACTIONS = """
SELECT pid, extract(epoch FROM now() - xact_start)::float, application_name FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND state <> 'idle' AND xact_start < now() - make_interval(secs => %s)
ORDER BY xact_start LIMIT 1
"""
MOST_CONNECTIONS = 0.9  # of those that clients may have
DATABASE_STATE = """
SELECT current_setting('server_version'),
    NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off',
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""
LATE_SECONDS = 20.0  # the worker skips a tick that is 30 s late


class Unhealthy(TradebotError):
    """Raised by a check that found something wrong; the text says what, in one sentence without secrets."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A check by name. `look` gives a sentence when all is well; `needs` names checks to be well first."""

    name: str
    look: Callable[[], str]
    what_to_do: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """What a probe found; `what_to_do` is empty when it is well."""

    name: str
    ok: bool
    message: str
    what_to_do: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For a JSON document."""
        return asdict(self)


def examine(probes: Iterable[Probe]) -> list[Check]:
    """Ask each probe, in order. What needs something that is down is not asked: it would wait for nothing."""
    found: dict[str, Check] = {}
    for probe in probes:
        down = next((name for name in probe.needs if name in found and not found[name].ok), None)
        if down is None:
            found[probe.name] = _ask(probe)
        else:
            found[probe.name] = Check(
                probe.name, False, f"Not known, because of {down}.", f"See to {down} first."
            )
    return list(found.values())


def _ask(probe: Probe) -> Check:
    try:
        return Check(probe.name, True, probe.look())
    except OperationalError:
        message = "The database does not answer."
    except DatabaseFailure:
        message = "The database refuses the query: its tables are other than expected."
    except redis.RedisError:
        message = "Redis does not answer."
    except TradebotError as error:
        message = str(error)
    except OSError as error:
        message = f"The system refuses: {error.strerror or type(error).__name__}."
    return Check(probe.name, False, message, probe.what_to_do)


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What PostgreSQL says of itself; `connections` are those of clients, to all databases."""

    version: str
    is_writable: bool
    connections: int
    limit: int


def database_state() -> DatabaseState:
    """Ask PostgreSQL for its state, in one query. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(DATABASE_STATE)
        return DatabaseState(*cursor.fetchone())


def database() -> str:
    """PostgreSQL answers and takes writes: without them no request is committed, and nothing is sent."""
    state = database_state()
    if not state.is_writable:
        raise Unhealthy("The database is read-only: nothing can be decided or sent.")
    return f"PostgreSQL {state.version} answers."


def connections() -> str:
    """PostgreSQL has connections left: a process that gets none can't work."""
    state = database_state()
    text = f"{state.connections} of {state.limit} database connections are in use."
    if state.connections >= state.limit * MOST_CONNECTIONS:
        raise Unhealthy(text)
    return text


def redis_answers() -> str:
    """Redis answers and takes a value: one that is full or a replica refuses writes."""
    began = time.monotonic()
    redis_client().set("health:probe", "1", ex=60)
    return f"Redis answers within {(time.monotonic() - began) * 1000:.0f} ms."


@lru_cache(maxsize=1)
def _known_migrations() -> dict[tuple[str, str], frozenset[tuple[str, str]]]:
    """The migrations of this code, each with those that it replaces. Read once a process."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return {key: frozenset(migration.replaces) for key, migration in loader.disk_migrations.items()}


def schema_differences() -> tuple[list[str], list[str]]:
    """Migrations that the database lacks, and those that it has but this code does not know, by name."""
    known = _known_migrations()
    applied = set(MigrationRecorder(connection).applied_migrations())
    missing = {
        key
        for key, replaced in known.items()
        if key not in applied and not (replaced and replaced <= applied)
    }
    understood = set(known).union(*known.values())
    ours = {app for app, _ in known}
    unknown = {key for key in applied - understood if key[0] in ours}
    return _names(missing), _names(unknown)


def _names(keys: Collection[tuple[str, str]]) -> list[str]:
    return [f"{app}.{name}" for app, name in sorted(keys)]


def schema() -> str:
    """The database has the tables that this code knows: no migration is missing, none is newer."""
    missing, unknown = schema_differences()
    if unknown:
        raise Unhealthy(f"The database is newer than this code: it has {_some(unknown)}.")
    if missing:
        raise Unhealthy(f"The database is older than this code: it lacks {_some(missing)}.")
    return f"All {len(_known_migrations())} migrations are applied."


def workers(queues: Iterable[str]) -> str:
    """Each queue has a living worker process."""
    alive = beats.workers_alive(redis_client(), sorted(queues), time.time())
    without = [queue for queue, members in alive.items() if not members]
    if without:
        raise Unhealthy(f"No worker takes messages from {_some(without)}.")
    count = len({member for members in alive.values() for member in members})
    return f"{count} worker processes take messages from {len(alive)} queues."


def scheduler() -> str:
    """The scheduler sent the tick of this or the last minute, and in time."""
    beat = beats.read_scheduler(redis_client())
    if beat is None:
        raise Unhealthy(f"The scheduler sent nothing within {beats.SCHEDULER_KEEP_SECONDS} s.")
    if beat.late_seconds > LATE_SECONDS:
        raise Unhealthy(f"The scheduler's last tick was {beat.late_seconds:.0f} s late.")
    return f"The last tick was sent {time.time() - beat.sent_at:.0f} s ago, {beat.late_seconds:.1f} s late."


def disk() -> str:
    """There is room where the project and its temporary files are."""
    free = min(shutil.disk_usage(path).free for path in (settings.BASE_DIR, tempfile.gettempdir()))
    if free < LOW_DISK_BYTES:
        raise Unhealthy(f"Only {free / 1e9:.1f} GB are free.")
    return f"{free / 1e9:.1f} GB are free."


def transactions() -> str:
    """No session has been in a transaction for long: it may hold locks, and its bots are passed over."""
    with connection.cursor() as cursor:
        cursor.execute(OLD_TRANSACTIONS, [LONG_TRANSACTION_SECONDS])
        row = cursor.fetchone()
    if row is not None:
        pid, seconds, program = row
        raise Unhealthy(
            f"The database session {pid} ({program or 'without a name'}) has been in a transaction for "
            f"{seconds:.0f} s; bots whose rows it has locked are passed over."
        )
    return "No transaction is older than a minute."


def _some(names: list[str], shown: int = 3) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


DATABASE = Probe(
    "database",
    database,
    "Check that PostgreSQL runs, takes writes (no standby, no full disk), and that DATABASE_URL is right.",
)
CONNECTIONS = Probe(
    "connections",
    connections,
    "Raise max_connections, run fewer workers, or put a pooler between; see docs/deployment.md.",
    ("database",),
)
REDIS = Probe("redis", redis_answers, "Check that Redis runs, has memory left, and that REDIS_URL is right.")
SCHEMA = Probe(
    "schema",
    schema,
    "Lacking migrations: run `manage.py migrate`. A newer database: start the newer version of the code.",
    ("database",),
)
TRANSACTIONS = Probe(
    "transactions",
    transactions,
    "End that session (psql, an admin tool, a worker that hangs): `SELECT pg_terminate_backend(PID)`.",
    ("database",),
)
SCHEDULER = Probe(
    "scheduler",
    scheduler,
    "Check that exactly one scheduler runs: `periodiq tradebot.scheduler`.",
    ("redis",),
)
DISK = Probe("disk", disk, "Free some space, or move the data to a larger disk.")
