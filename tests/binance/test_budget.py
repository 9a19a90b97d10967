"""The request budget that all processes share, and the gate after a limit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from tests.binance.conftest import API_KEY, ORDER, PAYLOAD, Clients
from tests.support.fake_exchange import FakeExchange, error, reply
from tradebot.binance import budget, redis_guard
from tradebot.binance.sources import Source
from tradebot.errors import RateLimited
from tradebot.redis import redis_client
from tradebot.secrets import Secret

PRICE = "/api/v3/ticker/price"
GOOD_PRICE = reply(200, {"symbol": "BTCUSDT", "price": "1"})
FILLED = reply(200, {"orderId": 28})
LIMITS = {
    "rateLimits": [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 100},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 10},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 1000},
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 5000},
    ]
}


@pytest.fixture(autouse=True)
def steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget's wall clock stands at the middle of a minute, so that no window ends during a test."""
    monkeypatch.setattr("tradebot.binance.budget.time.time", lambda: 1_800_000_031.0)


@pytest.fixture
def small(source: Source) -> Source:
    budget.note_limits(source, LIMITS)
    return source


def _spend(source: Source, lane: budget.Lane, weight: int = 1) -> int:
    spent = 0
    while True:
        try:
            budget.reserve(source, weight, lane)
        except RateLimited:
            return spent
        spent += weight


def test_entries_and_background_stop_at_80_percent_and_exits_at_95(small: Source) -> None:
    assert _spend(small, "entry") == 80
    assert _spend(small, "background") == 0
    assert budget.entries_allowed(small) == (False, "The request weight is above 80% (80 of 100).")
    assert _spend(small, "exit") == 15
    assert budget.usage(small) == budget.UsedWeight(95, 100)


def test_a_request_above_the_budget_is_not_sent_and_says_when_to_come_back(
    exchange: FakeExchange, small: Source, client: Clients
) -> None:
    _spend(small, "entry")
    with pytest.raises(RateLimited, match="request weight would pass 80%") as raised:
        client(lane="background").price("BTCUSDT")
    assert raised.value.retry_after_seconds == 29.0
    answer = client(lane="entry").post_order(ORDER, PAYLOAD)
    assert (answer.kind, answer.retry_after_seconds) == ("NOT_SENT", 29.0)
    assert exchange.requests == []
    exchange.on(ORDER, FILLED)
    assert client(lane="exit").post_order(ORDER, PAYLOAD).kind == "ACCEPTED"


@pytest.mark.parametrize("used", [3, 60], ids=["down", "up"])
def test_the_header_corrects_the_count(
    exchange: FakeExchange, small: Source, client: Clients, used: int
) -> None:
    budget.reserve(small, 40, "entry")  # another's, still under way
    settled = budget.reserve(small, 10, "entry")
    budget.settle(small, settled, {"X-MBX-USED-WEIGHT-1M": "10"})
    exchange.on(PRICE, reply(200, {"symbol": "BTCUSDT", "price": "1"}, {"x-mbx-used-weight-1m": str(used)}))
    client().price("BTCUSDT")
    assert budget.usage(small).used == used + 40


@pytest.mark.parametrize("header", ["", "-1", "many", "1e3", "9" * 30])
def test_a_senseless_header_changes_nothing(small: Source, header: str) -> None:
    charged = budget.reserve(small, 10, "entry")
    budget.settle(small, charged, {"X-MBX-USED-WEIGHT-1M": header})
    assert budget.usage(small).used == 10


def test_a_header_of_a_window_that_ended_meanwhile_is_not_applied(
    small: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged = budget.reserve(small, 10, "entry")
    monkeypatch.setattr("tradebot.binance.budget.time.time", lambda: 1_800_000_061.0)
    budget.settle(small, charged, {"X-MBX-USED-WEIGHT-1M": "99"})
    assert budget.usage(small).used == 0


def test_orders_have_a_budget_per_account(exchange: FakeExchange, small: Source, client: Clients) -> None:
    exchange.on(ORDER, FILLED)
    kinds = [client(lane="entry").post_order(ORDER, PAYLOAD).kind for _ in range(9)]
    assert kinds == ["ACCEPTED"] * 8 + ["NOT_SENT"]
    other = client(lane="entry", api_key=Secret("another-key"))
    assert other.post_order(ORDER, PAYLOAD).kind == "ACCEPTED"
    assert client(lane="exit").post_order(ORDER, PAYLOAD).kind == "ACCEPTED"


def test_the_order_count_header_corrects_the_budget(
    exchange: FakeExchange, small: Source, client: Clients
) -> None:
    exchange.on(ORDER, reply(200, {"orderId": 1}, {"X-MBX-ORDER-COUNT-10S": "0"}))
    kinds = [client(lane="entry").post_order(ORDER, PAYLOAD).kind for _ in range(12)]
    assert kinds == ["ACCEPTED"] * 12


def test_limits_are_read_from_exchange_info_and_shared(
    exchange: FakeExchange, source: Source, client: Clients
) -> None:
    assert budget.limits_of(source).weight_per_minute == 6000
    exchange.on("/api/v3/exchangeInfo", reply(200, {**LIMITS, "symbols": []}))
    client().exchange_info()
    budget.forget_process_state()  # as another process would see it
    limits = budget.limits_of(source)
    assert limits.weight_per_minute == 100
    assert [(row.suffix, row.seconds, row.limit) for row in limits.orders] == [
        ("10S", 10, 10),
        ("1D", 86_400, 1000),
    ]


@pytest.mark.parametrize(
    "rows",
    [
        None,
        "text",
        [],
        [{}],
        [1],
        [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 0}],
        [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": "6000"}],
        [{"rateLimitType": "ORDERS", "interval": "WEEK", "intervalNum": 1, "limit": 5}],
    ],
)
def test_senseless_limits_leave_the_usual_ones(source: Source, rows: object) -> None:
    assert budget.note_limits(source, {"rateLimits": rows}) == budget.DEFAULT_LIMITS["spot"]


def test_poisoned_limits_in_redis_are_not_taken(source: Source) -> None:
    key = f"budget:limits:{source.host}"
    redis_client().set(key, b"\xff{")
    assert budget.limits_of(source) == budget.DEFAULT_LIMITS["spot"]
    budget.forget_process_state()
    redis_client().delete(key)
    redis_client().lpush(key, "of another type")
    assert budget.limits_of(source) == budget.DEFAULT_LIMITS["spot"]
    assert budget.entries_allowed(source) == (True, "")


def test_after_a_429_nobody_sends_anything_until_the_gate_opens(
    exchange: FakeExchange, source: Source, client: Clients
) -> None:
    exchange.on(PRICE, error(429, -1003, "Too many requests", {"Retry-After": "30"}))
    with pytest.raises(RateLimited):
        client(lane="background").price("BTCUSDT")
    budget.forget_process_state()  # another process knows it from Redis only
    for lane in ("entry", "exit", "background"):
        with pytest.raises(RateLimited) as raised:
            client(lane=lane).price("BTCUSDT")
        assert 28 < raised.value.retry_after_seconds <= 30
        assert client(lane=lane).post_order(ORDER, PAYLOAD).kind == "NOT_SENT"
    assert len(exchange.requests) == 1
    until = budget.gate_until(source)
    assert until is not None
    assert 28 < (until - datetime.now(UTC)).total_seconds() <= 30
    assert budget.entries_allowed(source)[0] is False


def test_another_process_obeys_the_gate(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(ORDER, error(418, -1003, "Way too much", {"Retry-After": "7200"}))
    assert client().post_order(ORDER, PAYLOAD).kind == "REJECTED"
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS, exchange.url],
        env=dict(os.environ),
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "RateLimited", done.stderr
    assert len(exchange.requests) == 1


_OTHER_PROCESS = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tradebot.settings"
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import Source
from tradebot.errors import RateLimited
try:
    print(ExchangeClient(Source("paper", "spot", sys.argv[1], sys.argv[1])).price("BTCUSDT"))
except RateLimited as error:
    print("RateLimited")
"""


def test_the_gate_survives_an_emptied_redis_and_is_published_again(
    exchange: FakeExchange, source: Source, client: Clients
) -> None:
    budget.close_gate(source, 7200)
    redis_client().flushdb()
    with pytest.raises(RateLimited):
        client().price("BTCUSDT")
    assert redis_client().pttl(f"gate:{source.host}:tests") > 7_000_000
    assert exchange.requests == []


def test_a_longer_ban_replaces_a_shorter_one_and_not_the_other_way(source: Source) -> None:
    budget.close_gate(source, 7200)
    budget.close_gate(source, 30)
    assert redis_client().pttl(f"gate:{source.host}:tests") > 7_000_000
    budget.close_gate(source, 9000)
    assert redis_client().pttl(f"gate:{source.host}:tests") > 8_000_000


def test_the_gate_opens_by_itself(exchange: FakeExchange, source: Source, client: Clients) -> None:
    exchange.on(PRICE, GOOD_PRICE)
    budget.close_gate(source, 0.2)
    assert client().price("BTCUSDT") == "1"  # waits: it is less than 2 s
    assert budget.gate_until(source) is None


def test_too_many_orders_stop_the_orders_of_that_account_only(
    exchange: FakeExchange, client: Clients
) -> None:
    exchange.on(
        ORDER, error(429, -1015, "Too many new orders; current limit is 100 orders per 10 SECOND."), FILLED
    )
    exchange.on(PRICE, GOOD_PRICE)
    first = client().post_order(ORDER, PAYLOAD)
    assert (first.kind, first.retry_after_seconds) == ("REJECTED", 10.0)
    assert client().post_order(ORDER, PAYLOAD).kind == "NOT_SENT"
    assert client().price("BTCUSDT") == "1"
    assert client(api_key=Secret("another-key")).post_order(ORDER, PAYLOAD).kind == "ACCEPTED"


@pytest.fixture
def without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    away = redis.Redis.from_url("redis://127.0.0.1:1/0")
    monkeypatch.setattr(redis_guard, "redis_client", lambda: away)


@pytest.mark.usefixtures("without_redis")
def test_without_redis_exits_and_questions_go_on_and_entries_do_not(
    exchange: FakeExchange, source: Source, client: Clients
) -> None:
    exchange.on(ORDER, FILLED)
    exchange.on(PRICE, GOOD_PRICE)
    assert client(lane="entry").price("BTCUSDT") == "1"
    assert client(lane="exit").post_order(ORDER, PAYLOAD).kind == "ACCEPTED"
    refused = client(lane="entry").post_order(ORDER, PAYLOAD)
    assert refused.kind == "NOT_SENT"
    assert "Redis can't be reached" in refused.message
    allowed, why = budget.entries_allowed(source)
    assert not allowed
    assert "Redis can't be reached" in why


@pytest.mark.usefixtures("without_redis")
def test_without_redis_each_process_keeps_the_shares_and_the_gate_itself(small: Source) -> None:
    assert _spend(small, "background") == 80
    assert _spend(small, "exit") == 15
    charged = budget.reserve(Source("paper", "spot", "x", "http://other"), 5, "exit")
    budget.settle(Source("paper", "spot", "x", "http://other"), charged, {"X-MBX-USED-WEIGHT-1M": "1"})
    budget.close_gate(small, 30)
    with pytest.raises(RateLimited, match="asked for a pause"):
        budget.reserve(small, 1, "exit")


def test_a_redis_that_comes_back_is_used_again(small: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_guard, "REST_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        away = redis.Redis.from_url("redis://127.0.0.1:1/0")
        patch.setattr(redis_guard, "redis_client", lambda: away)
        assert budget.entries_allowed(small)[0] is False
    end = time.monotonic() + 5
    while not budget.entries_allowed(small)[0]:
        assert time.monotonic() < end
    assert budget.entries_allowed(small) == (True, "")


def test_no_key_stands_in_redis(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(ORDER, FILLED)
    client().post_order(ORDER, PAYLOAD)
    assert redis_client().keys("budget:orders:*")
    for name in redis_client().keys("*"):
        assert API_KEY.encode() not in name
