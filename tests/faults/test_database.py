"""What PostgreSQL can refuse: no request is sent that is not committed, and what was sent is found again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections

from tests.support.desk import SIGNAL
from tradebot import health
from trading.models import OrderRequest

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
REFUSALS = {
    "disk full": "53100",
    "too many connections": "53300",
    "deadlock": "40P01",
    "serialization failure": "40001",
    "read-only": "25006",
}


@contextmanager
def refusing(moment: str, code: str) -> Iterator[None]:
    """PostgreSQL answers every INSERT or UPDATE of a request with this SQLSTATE."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END $$"
        )
        cursor.execute(
            f"CREATE TRIGGER refuses BEFORE {moment} ON trading_orderrequest "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.parametrize("code", REFUSALS.values(), ids=REFUSALS)
def test_without_a_committed_request_nothing_is_sent(desk, code):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    with refusing("INSERT", code), pytest.raises(DatabaseError):
        desk.run(bot)
    assert not OrderRequest.objects.exists()
    assert desk.exchange_orders() == []
    assert desk.run(bot, key="again").outcome == "traded"
    assert len(desk.exchange_orders()) == 1
    assert desk.differences() == []


@pytest.mark.parametrize("code", REFUSALS.values(), ids=REFUSALS)
def test_an_answer_that_could_not_be_booked_is_found_again(desk, code):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    with refusing("UPDATE", code), pytest.raises(DatabaseError):
        desk.run(bot)
    assert OrderRequest.objects.get().state == "PREPARED"
    assert len(desk.exchange_orders()) == 1
    desk.wait(10)
    desk.run(bot, key="again")
    assert OrderRequest.objects.get().state == "ACCEPTED"
    assert len(desk.exchange_orders()) == 1
    assert desk.differences() == []


@contextmanager
def really_read_only() -> Iterator[None]:
    """New sessions of the database are read-only, as on a standby."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    connection.close()
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        connection.close()


def test_a_read_only_database_sends_nothing_and_says_so(desk, client):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    with really_read_only():
        with pytest.raises(DatabaseError):
            desk.run(bot)
        assert "database" in client.get("/readyz").json()["failing"]
        assert "tradebot_database_writable 0.0" in client.get("/metrics").content.decode()
        with pytest.raises(health.Unhealthy, match=r"^The database is read-only"):
            health.database()
    assert not OrderRequest.objects.exists()
    assert desk.exchange_orders() == []
    assert health.database().endswith("answers.")
    assert desk.run(bot, key="again").outcome == "traded"


def test_a_database_without_connections_left_says_so(db, monkeypatch):
    monkeypatch.setattr(health, "MOST_CONNECTIONS", 0.0)
    with pytest.raises(health.Unhealthy, match=r"^\d+ of \d+ database connections are in use\.$"):
        health.connections()


def test_a_bot_whose_row_is_locked_is_passed_over_and_doctor_names_the_session(desk, monkeypatch):
    monkeypatch.setattr(health, "LONG_TRANSACTION_SECONDS", 0)
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    admin = connections.create_connection("default")
    try:
        admin.set_autocommit(False)
        with admin.cursor() as cursor:
            cursor.execute("SET application_name = 'psql'")
            cursor.execute("SELECT 1 FROM trading_botstate WHERE bot_id = %s FOR UPDATE", [bot.pk])
        assert desk.run(bot, key="locked").outcome == "busy"
        with pytest.raises(health.Unhealthy, match=r"^The database session \d+ \(psql\) has been in a tran"):
            health.transactions()
    finally:
        admin.rollback()
        admin.close()
    assert health.transactions() == "No transaction is older than a minute."
    assert desk.run(bot, key="free").outcome == "traded"
    assert desk.differences() == []
