"""Long pauses that the exchange asked for outlive Redis and every process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection, transaction

from bots.gates import KEEPER
from marketdata import gates
from marketdata.models import ExchangeGate
from tests.binance.conftest import ORDER, PAYLOAD, Clients
from tests.support.fake_exchange import FakeExchange, error, reply
from tradebot.binance import budget, gate_memory, redis_guard
from tradebot.binance.gate_memory import Keeper
from tradebot.binance.sources import Source
from tradebot.errors import RateLimited
from tradebot.redis import redis_client
from trading.models import OutboxMessage

PRICE = "/api/v3/ticker/price"
GOOD_PRICE = reply(200, {"symbol": "BTCUSDT", "price": "1"})
BAN = error(418, -1003, "Way too much", {"Retry-After": "7200"})
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def kept(transactional_db, gates_in_memory: None) -> Iterator[None]:
    gate_memory.register(KEEPER)
    yield
    ExchangeGate.objects.all().delete()


def restart() -> None:
    """As if every process had ended and Redis had been emptied."""
    redis_client().flushdb()
    budget.forget_process_state()


@pytest.mark.usefixtures("kept")
def test_after_a_ban_nothing_is_sent_though_everything_was_restarted_and_redis_emptied(
    exchange: FakeExchange, source: Source, client: Clients
) -> None:
    exchange.on(ORDER, BAN)
    assert client().post_order(ORDER, PAYLOAD).kind == "REJECTED"
    for lane in ("entry", "exit", "background", "sweep"):
        restart()
        with pytest.raises(RateLimited) as raised:
            client(lane=lane).price("BTCUSDT")
        assert 7190 < raised.value.retry_after_seconds <= 7200
        assert redis_client().pttl(f"gate:{source.host}:tests") > 7_190_000  # and others see it again
    restart()
    assert client().post_order(ORDER, PAYLOAD).kind == "NOT_SENT"
    restart()
    assert budget.entries_allowed(source)[0] is False
    assert len(exchange.requests) == 1


@pytest.mark.usefixtures("kept")
def test_a_process_that_runs_on_reads_the_gates_again_when_redis_was_emptied(
    exchange: FakeExchange, source: Source, client: Clients
) -> None:
    exchange.on(PRICE, GOOD_PRICE)
    client().price("BTCUSDT")
    gates.save(f"gate:{source.host}:tests", datetime.now(UTC) + timedelta(hours=2))  # another process's
    redis_client().flushdb()
    with pytest.raises(RateLimited):
        client().price("BTCUSDT")
    assert len(exchange.requests) == 1


@pytest.mark.usefixtures("kept")
def test_a_new_process_obeys_after_redis_was_emptied(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(ORDER, BAN)
    client().post_order(ORDER, PAYLOAD)
    redis_client().flushdb()
    done = subprocess.run(
        [sys.executable, "-c", _NEW_PROCESS, exchange.url, str(connection.settings_dict["NAME"])],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tradebot.settings"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "RateLimited", done.stderr
    assert len(exchange.requests) == 1


_NEW_PROCESS = """
import sys
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[2]
django.setup()
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import Source
from tradebot.errors import RateLimited
try:
    print(ExchangeClient(Source("paper", "spot", sys.argv[1], sys.argv[1])).price("BTCUSDT"))
except RateLimited as error:
    print("RateLimited")
"""


@pytest.mark.usefixtures("kept")
def test_without_redis_a_new_process_obeys_too(
    exchange: FakeExchange, source: Source, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget.close_gate(source, 7200)
    restart()
    monkeypatch.setattr(redis_guard, "redis_client", lambda: redis_client().from_url("redis://127.0.0.1:1"))
    with pytest.raises(RateLimited):
        client().price("BTCUSDT")
    assert exchange.requests == []


@pytest.mark.usefixtures("kept")
def test_what_is_kept_does_not_hang_on_the_transaction_in_which_it_was_heard(source: Source) -> None:
    with transaction.atomic():
        budget.close_gate(source, 7200)
        transaction.set_rollback(True)
    restart()
    assert budget.gate_until(source) is not None


@pytest.mark.usefixtures("kept")
def test_short_gates_are_not_kept_and_a_longer_one_stays(source: Source) -> None:
    budget.close_gate(source, 59)
    assert not ExchangeGate.objects.exists()
    budget.close_gate(source, 7200)
    budget.close_gate(source, 60)
    left = ExchangeGate.objects.get().until - datetime.now(UTC)
    assert 7190 < left.total_seconds() <= 7200


@pytest.mark.usefixtures("kept")
def test_a_gate_that_has_ended_holds_nobody(exchange: FakeExchange, source: Source, client: Clients) -> None:
    exchange.on(PRICE, GOOD_PRICE)
    gates.save(f"gate:{source.host}:tests", datetime.now(UTC) - timedelta(seconds=1))
    assert client().price("BTCUSDT") == "1"


@pytest.mark.usefixtures("kept")
def test_the_gates_are_read_once_and_not_with_each_request(
    exchange: FakeExchange, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    gate_memory.register(Keeper(KEEPER.save, lambda: reads.append(1) or gates.load(), KEEPER.tell))
    exchange.on(PRICE, GOOD_PRICE)
    for _ in range(5):
        client().price("BTCUSDT")
    assert len(reads) == 2  # the process's first look, and a Redis that did not know of them


def away(*_: object) -> dict[str, datetime]:
    raise OperationalError("the database is away")


def test_a_database_that_is_away_stops_no_request_and_hides_no_gate(
    exchange: FakeExchange, source: Source, client: Clients, gates_in_memory: None
) -> None:
    gate_memory.register(Keeper(away, away, away))  # type: ignore[arg-type]
    exchange.on(PRICE, GOOD_PRICE, BAN)
    assert client().price("BTCUSDT") == "1"
    with pytest.raises(RateLimited):
        client().price("BTCUSDT")
    budget.forget_process_state()  # another process knows it from Redis
    with pytest.raises(RateLimited):
        client().price("BTCUSDT")
    assert len(exchange.requests) == 2


@pytest.mark.usefixtures("kept")
def test_a_ban_is_told_once_and_a_limit_is_not(
    exchange: FakeExchange,
    source: Source,
    client: Clients,
    admin_user: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    budget.close_gate(source, 60)  # a 429
    assert not OutboxMessage.objects.exists()
    with caplog.at_level(logging.ERROR, logger="tradebot.binance.gate_memory"):
        for _ in range(3):  # as from three threads whose requests were under way
            budget.close_gate(source, 7200, banned=True)
            budget.forget_process_state()
    assert len(caplog.records) == 1
    message = OutboxMessage.objects.get()
    assert message.event == "error"
    assert message.payload["error"] == "exchange ban"
    assert "nothing is sent through gate:" in message.payload["reason"]
