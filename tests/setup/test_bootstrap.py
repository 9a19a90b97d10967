"""The bootstrap itself: servers, environment, clean Redis, no network."""

from __future__ import annotations

import socket

import pytest
from django.db import connection

from tests.support.network import NetworkBlockedError
from tradebot.redis import redis_client


@pytest.mark.django_db
def test_database_is_postgresql_and_runs_in_utc() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW timezone")
        assert cursor.fetchone() == ("UTC",)
    assert connection.vendor == "postgresql"


@pytest.mark.parametrize("_", [1, 2])
def test_each_test_finds_an_empty_redis(_: int) -> None:
    assert redis_client().dbsize() == 0
    redis_client().set("left", "behind")


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "2001:db8::1"])
def test_reaching_beyond_this_machine_is_an_error(host: str) -> None:
    with pytest.raises(NetworkBlockedError, match=host):
        socket.create_connection((host, 443), timeout=1)
