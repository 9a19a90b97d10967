"""Request weight, bans and order counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paper import Paper, start_paper
from trading.paper.errors import ApiError
from trading.paper.limits import OrderCounts, WeightLimit

MINUTE_MS = 60_000
NOW_MS = 1_790_000_040_000  # a whole minute


def test_above_the_limit_is_429_until_the_minute_ends() -> None:
    weights = WeightLimit(100)
    weights.charge("a", 100, NOW_MS)
    with pytest.raises(ApiError) as caught:
        weights.charge("a", 1, NOW_MS + 15_500)
    assert (caught.value.code, caught.value.status) == (-1003, 429)
    assert caught.value.headers == {"Retry-After": "45"}
    weights.charge("b", 100, NOW_MS)
    weights.charge("a", 100, NOW_MS + MINUTE_MS)
    assert weights.used("a", NOW_MS + MINUTE_MS) == 100


def test_who_does_not_stop_is_banned_and_longer_each_time() -> None:
    weights = WeightLimit(1)

    def abuse(now_ms: int) -> ApiError:
        for _ in range(11):
            with pytest.raises(ApiError):
                weights.charge("a", 2, now_ms)
        with pytest.raises(ApiError) as caught:
            weights.charge("a", 2, now_ms)
        return caught.value

    first = abuse(NOW_MS)
    assert (first.status, first.headers) == (418, {"Retry-After": "120"})
    assert str(NOW_MS + 120_000) in first.message
    with pytest.raises(ApiError) as caught:
        weights.charge("a", 0, NOW_MS + MINUTE_MS)
    assert (caught.value.status, caught.value.headers) == (418, {"Retry-After": "60"})
    weights.charge("a", 1, NOW_MS + 120_000)
    assert abuse(NOW_MS + 120_000).headers == {"Retry-After": "240"}


def test_unfilled_orders_are_counted_in_windows_and_leave_when_they_fill() -> None:
    counts = OrderCounts(per_ten_seconds=2, per_day=3)
    counts.add(1, NOW_MS, 2)
    with pytest.raises(ApiError) as caught:
        counts.check(1, 1, NOW_MS + 1000)
    assert (caught.value.code, caught.value.status) == (-1015, 429)
    assert caught.value.headers == {"Retry-After": "9"}
    counts.check(2, 1, NOW_MS)
    counts.filled(1, NOW_MS)
    counts.check(1, 1, NOW_MS + 1000)
    assert counts.counts(1, NOW_MS + 1000) == (1, 1)
    counts.add(1, NOW_MS + 10_000, 2)
    with pytest.raises(ApiError, match="per 1 DAY"):
        counts.check(1, 1, NOW_MS + 20_000)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Paper]:
    """An exchange with little patience, whose clock stands still."""
    with start_paper(tmp_path, clock="stepped", weight_limit=100, order_limit=3, symbols=10) as paper:
        yield paper


def test_headers_count_and_the_limit_is_in_exchange_info(small: Paper) -> None:
    first = small.public("/api/v3/time")
    assert first.headers["X-MBX-USED-WEIGHT-1M"] == "1"
    info = small.public("/api/v3/exchangeInfo")
    assert info.headers["X-MBX-USED-WEIGHT-1M"] == "21"
    limits = {(one["rateLimitType"], one["interval"]): one["limit"] for one in info.json()["rateLimits"]}
    assert limits[("REQUEST_WEIGHT", "MINUTE")] == 100
    assert limits[("ORDERS", "SECOND")] == 3
    assert small.public("/fapi/v1/time").headers["X-MBX-USED-WEIGHT-1M"] == "1"


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("/api/v3/ping", {}, 1),
        ("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1}, 2),
        ("/api/v3/ticker/price", {"symbol": "BTCUSDT"}, 2),
        ("/api/v3/ticker/price", {}, 4),
        ("/api/v3/ticker/bookTicker", {}, 4),
        ("/api/v3/depth", {"symbol": "BTCUSDT"}, 5),
        ("/api/v3/avgPrice", {"symbol": "BTCUSDT"}, 2),
        ("/api/v3/ticker/24hr", {"symbol": "BTCUSDT"}, 2),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m"}, 5),
    ],
)
def test_public_weights(paper: Paper, path: str, params: dict[str, object], weight: int) -> None:
    clock = paper.now_ms() % MINUTE_MS
    paper.control("/paper/clock", {"offset_ms": MINUTE_MS + 10_000 - clock})  # not across a minute
    before = paper.public(path, **params)
    after = paper.public(path, **params)
    assert before.status_code == 200, before.text
    used = [int(answer.headers["X-MBX-USED-WEIGHT-1M"]) for answer in (before, after)]
    assert used[1] - used[0] == weight


def test_placing_and_cancelling_is_free_unless_it_fails(small: Paper) -> None:
    limit = {"symbol": "BNBUSDT", "type": "LIMIT", "timeInForce": "GTC", "side": "BUY"}
    price = float(small.public("/api/v3/ticker/price", symbol="BNBUSDT").json()["price"])
    placed = small.order(**limit, quantity="0.1", price=f"{price * 0.9:.2f}", newClientOrderId="a")
    assert placed.headers["X-MBX-USED-WEIGHT-1M"] == "2"
    assert placed.headers["X-MBX-ORDER-COUNT-10S"] == "1"
    failed = small.order(**limit, quantity="0.1", price="1")
    assert failed.headers["X-MBX-USED-WEIGHT-1M"] == "3"
    cancelled = small.signed("DELETE", "/api/v3/order", symbol="BNBUSDT", origClientOrderId="a")
    assert cancelled.headers["X-MBX-USED-WEIGHT-1M"] == "3"


def test_over_http_the_limit_answers_429_and_then_418(small: Paper) -> None:
    answers = [small.public("/api/v3/exchangeInfo") for _ in range(17)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 10 + [418] * 2
    assert answers[5].json()["code"] == -1003
    assert answers[5].headers["Retry-After"] == "60"
    assert answers[16].headers["Retry-After"] == "120"
    small.control("/paper/clock", {"now_ms": small.now_ms() + 120_000})
    assert small.public("/api/v3/ping").status_code == 200


def test_too_many_orders_answer_1015_with_retry_after(small: Paper) -> None:
    price = float(small.public("/api/v3/ticker/price", symbol="BNBUSDT").json()["price"])
    limit = {"symbol": "BNBUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    rest = limit | {"quantity": "0.1", "price": f"{price * 0.9:.2f}"}
    assert [small.order(**rest).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = small.order(**rest)
    assert refused.json()["code"] == -1015
    assert 1 <= int(refused.headers["Retry-After"]) <= 10
    counted = small.signed("GET", "/api/v3/rateLimit/order").json()
    assert [one["count"] for one in counted] == [3, 3]
    small.control("/paper/clock", {"now_ms": small.now_ms() + 10_000})
    assert small.order(**rest).status_code == 200
