"""The tests' own PostgreSQL and Valkey, to be cut off, restarted and taken away."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection

from tests.support.servers import SERVERS
from tradebot.embedded_server import Server

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"


@dataclass
class TestServers:
    """The embedded servers of this test run."""

    __test__ = False

    postgres: Server
    valkey: Server

    def restart_postgres(self, *, at_once: bool = False, away_seconds: float = 0.0) -> None:
        """Stop and start it; `at_once` is a kill -9 of all its processes instead of a fast shutdown."""
        connection.close()
        if at_once and self.postgres.process is not None:
            self.postgres.process.send_signal(signal.SIGQUIT)  # immediate shutdown: as a crash
            self.postgres.process.wait(15)
        self.postgres.stop()
        time.sleep(away_seconds)
        self.postgres.start(self.postgres.port)

    def restart_redis(self, away_seconds: float = 0.0) -> None:
        """Stop it, and start it empty."""
        self.valkey.stop()
        time.sleep(away_seconds)
        self.valkey.start(self.valkey.port)

    def cut_sessions(self) -> None:
        """Terminate every database session but this one's."""
        with connection.cursor() as cursor:
            cursor.execute(CUT, [connection.settings_dict["NAME"]])


def embedded_servers(config: pytest.Config) -> TestServers:
    """The servers of the test run; skips where DATABASE_URL or REDIS_URL gave us others."""
    running = {server.name: server for server in config.stash[SERVERS]._running}
    if set(running) != {"postgres", "valkey"}:
        pytest.skip("it restarts PostgreSQL and Redis, so it needs the embedded ones")
    return TestServers(running["postgres"], running["valkey"])


@contextlib.contextmanager
def committed_to_disk(blocker: Any) -> Iterator[None]:
    """Commits of this database survive a crash of PostgreSQL, which those of other tests need not."""
    _alter(blocker, "SET synchronous_commit = on")
    try:
        yield
    finally:
        _alter(blocker, "RESET synchronous_commit")


def _alter(blocker: Any, what: str) -> None:
    with blocker.unblock():
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{connection.settings_dict["NAME"]}" {what}')
        connection.close()
