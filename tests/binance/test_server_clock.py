"""The exchange's clock: measured, shared, measured again when it must be."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import LazySettings

from tests.binance.conftest import ORDER, PAYLOAD, Clients
from tests.support.fake_exchange import FakeExchange, Received, error, reply
from tradebot import clock
from tradebot.binance import server_clock
from tradebot.binance.sources import Source
from tradebot.errors import Transient
from tradebot.redis import redis_client

TIME = "/api/v3/time"


def _near(found_ms: int, expected_ms: float) -> bool:
    return abs(found_ms - expected_ms) < 200


@pytest.mark.parametrize("skew_ms", [2000, -6000, 0])
def test_the_estimate_follows_the_exchange_whatever_the_local_clock_says(
    exchange: FakeExchange, source: Source, client: Clients, skew_ms: int
) -> None:
    exchange.clock_skew_ms = skew_ms
    assert _near(client().now_ms(), time.time() * 1000 + skew_ms)
    stored = json.loads(redis_client().get(f"clock:offset:{source.name}:{server_clock.MACHINE}") or "")
    assert _near(stored["offset_ms"], skew_ms)
    assert _near(stored["measured_at_ms"], time.time() * 1000)


def test_the_offset_is_asked_for_once_and_shared(exchange: FakeExchange, client: Clients) -> None:
    for _ in range(5):
        client().now_ms()
    server_clock.forget_process_state()  # another process
    client().now_ms()
    assert len(exchange.to(TIME)) == 1


def test_another_machine_has_another_clock_and_measures_for_itself(
    exchange: FakeExchange, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    client().now_ms()
    server_clock.forget_process_state()
    monkeypatch.setattr(server_clock, "MACHINE", "another")
    client().now_ms()
    assert len(exchange.to(TIME)) == 2


def test_an_old_offset_is_measured_again(
    exchange: FakeExchange, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    client().now_ms()
    exchange.clock_skew_ms = 3000
    monkeypatch.setattr(server_clock, "_local_clock_was_set", lambda known: False)
    later = datetime.now(UTC) + timedelta(seconds=601)
    monkeypatch.setattr(clock, "now", lambda: later)
    exchange.clock_skew_ms += 601_000
    assert _near(client().now_ms(), clock.to_ms(later) + 3000)
    assert len(exchange.to(TIME)) == 2


def test_a_local_clock_that_was_set_is_noticed(
    exchange: FakeExchange, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    client().now_ms()
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(seconds=6))
    assert _near(client().now_ms(), time.time() * 1000)
    assert len(exchange.to(TIME)) == 2


def test_a_clock_that_is_set_during_the_measurement_does_not_spoil_it(
    exchange: FakeExchange, source: Source, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaps = iter([0, 60])

    def leaping() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=next(leaps, 60))

    monkeypatch.setattr(clock, "now", leaping)
    assert _near(client().sync_clock(), -60_000)


def test_after_a_minus_1021_a_question_measures_and_asks_again(
    exchange: FakeExchange, client: Clients
) -> None:
    client().now_ms()
    exchange.clock_skew_ms = -5000
    exchange.on(
        ORDER, error(400, -1021, "Timestamp for this request was 1000ms ahead."), reply(200, {"orderId": 1})
    )
    assert client().order("BTCUSDT", "tb1-x-1-1") == {"orderId": 1}
    first, second = exchange.to(ORDER)
    assert _near(int(first.params["timestamp"]), time.time() * 1000)
    assert _near(int(second.params["timestamp"]), time.time() * 1000 - 5000)


def test_after_an_orders_minus_1021_every_process_measures_again(
    exchange: FakeExchange, client: Clients
) -> None:
    client().now_ms()
    exchange.on(ORDER, error(400, -1021, "Timestamp for this request was 1000ms ahead."))
    assert client().post_order(ORDER, PAYLOAD).code == -1021
    exchange.clock_skew_ms = -5000
    server_clock.forget_process_state()  # another process
    assert _near(client().now_ms(), time.time() * 1000 - 5000)


def test_asking_for_the_time_takes_nothing_from_the_limit_of_the_question(
    exchange: FakeExchange, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(connection: socket.socket, received: Received) -> bool:
        time.sleep(0.3)
        return reply(200, {"orderId": 1})(connection, received)

    monkeypatch.setattr("tradebot.binance.client.TIME_BUDGET_SECONDS", 0.2)
    exchange.on(ORDER, slow)
    assert client().order("BTCUSDT", "tb1-x-1-1") == {"orderId": 1}
    assert len(exchange.to(ORDER)) == 1


def test_with_the_exchange_away_the_old_offset_serves(
    exchange: FakeExchange, source: Source, client: Clients
) -> None:
    exchange.clock_skew_ms = 2000
    client().now_ms()
    server_clock.distrust(source)
    exchange.on(TIME, reply(503, b""))
    asked = len(exchange.to(TIME))
    one = client()
    for _ in range(3):
        assert _near(one.now_ms(), time.time() * 1000 + 2000)
    assert len(exchange.to(TIME)) - asked == 2  # tried once, with its retry, and not again at once


def test_without_any_offset_the_failure_is_told(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(TIME, reply(503, b""))
    with pytest.raises(Transient):
        client().now_ms()


@pytest.mark.parametrize("poison", [b'{"offset_ms": "far"}', b"[]", b"\xff", {"of": "another type"}])
def test_a_poisoned_offset_in_redis_is_measured_anew(
    exchange: FakeExchange, source: Source, client: Clients, poison: bytes | dict[str, str]
) -> None:
    key = f"clock:offset:{source.name}:{server_clock.MACHINE}"
    if isinstance(poison, bytes):
        redis_client().set(key, poison)
    else:
        redis_client().hset(key, mapping=poison)
    assert _near(client().now_ms(), time.time() * 1000)


def test_a_replay_goes_by_the_stepped_clock(
    exchange: FakeExchange, source: Source, client: Clients, settings: LazySettings
) -> None:
    settings.CLOCK = "stepped"
    moment = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
    exchange.on(TIME, reply(200, {"serverTime": clock.to_ms(moment)}))
    clock.step_to(moment)
    one = client()
    assert one.now_ms() == clock.to_ms(moment)
    clock.step_to(moment + timedelta(minutes=1))
    assert one.now_ms() == clock.to_ms(moment) + 60_000
    assert len(exchange.to(TIME)) == 1
