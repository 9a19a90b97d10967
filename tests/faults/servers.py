"""The tests' own PostgreSQL and Valkey, to be cut off, restarted and taken away."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.support.servers import SERVERS
from tradebot.embedded_server import Server
from tradebot.redis import redis_client

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"


@dataclass
class TestServers:
    """The embedded servers of this test run."""

    __test__ = False

    postgres: Server
    valkey: Server

    def restart_postgres(self) -> None:
        """Stop it by a fast shutdown, and start it."""
        connection.close()
        self.postgres.stop()
        self.postgres.start(self.postgres.port)

    def power_cut(self) -> None:
        """End both at once, without letting them finish anything."""
        connection.close()
        for server, number in ((self.postgres, signal.SIGQUIT), (self.valkey, signal.SIGKILL)):
            if server.process is not None:
                server.process.send_signal(number)  # PostgreSQL's immediate shutdown is a crash
                server.process.wait(15)

    def power_back(self) -> None:
        """Start both; PostgreSQL recovers, Redis is empty."""
        for server in (self.postgres, self.valkey):
            server.stop()
            server.start(server.port)

    @property
    def redis_troubles(self) -> dict[str, Callable[[], AbstractContextManager[None]]]:
        """What can be the matter with Redis, by name, for as long as a block lasts."""
        return {
            "redis down": self._redis_down,
            "redis read-only": lambda: self._redis_is(
                ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")
            ),
            "redis full": lambda: self._redis_is(
                ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")
            ),
            "redis slow": lambda: self._redis_is(("CLIENT", "PAUSE", "2000", "ALL"), ("PING",)),
        }

    @contextlib.contextmanager
    def _redis_down(self) -> Iterator[None]:
        self.valkey.stop()
        try:
            yield
        finally:
            self.valkey.start(self.valkey.port)  # empty

    @contextlib.contextmanager
    def _redis_is(self, begin: tuple[str, ...], end: tuple[str, ...]) -> Iterator[None]:
        redis_client().execute_command(*begin)
        try:
            yield
        finally:
            Retry(ConstantBackoff(0.2), 25).call_with_retry(
                lambda: redis_client().execute_command(*end), lambda error: None
            )

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
