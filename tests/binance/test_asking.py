"""Questions: what is sent, what is retried, what is raised."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.binance.conftest import API_KEY, API_SECRET, ORDER, SHORT, Clients
from tests.support.fake_exchange import FakeExchange, Script, error, hang_up, reply, reset, silent
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import Source
from tradebot.binance.wire import encode
from tradebot.errors import (
    ClientInitFailed,
    KeyRefused,
    NotSent,
    OrderNotFound,
    RateLimited,
    Rejected,
    Transient,
)
from tradebot.secrets import Secret
from tradebot.timings import DEFAULT

PRICE = "/api/v3/ticker/price"
KLINES = "/api/v3/klines"
GOOD_PRICE = reply(200, {"symbol": "BTCUSDT", "price": "60000.01000000"})


def test_a_signed_question_carries_our_clock_our_window_and_a_valid_signature_at_the_end(
    exchange: FakeExchange, client: Clients
) -> None:
    exchange.clock_skew_ms = 120_000
    exchange.on(ORDER, reply(200, {"orderId": 5}))
    assert client().order("BTCUSDT", "tb1-x-1-1") == {"orderId": 5}
    [seen] = exchange.to(ORDER)
    query = seen.target.partition("?")[2]
    signed, _, signature = query.partition("&signature=")
    assert signature == hmac.new(API_SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    assert seen.params["recvWindow"] == "5000"
    assert abs(int(seen.params["timestamp"]) - (time.time() * 1000 + 120_000)) < 2000
    assert seen.headers["x-mbx-apikey"] == API_KEY


def test_symbols_that_are_not_ascii_are_encoded_before_signing(
    exchange: FakeExchange, client: Clients
) -> None:
    exchange.on("/api/v3/openOrders", reply(200, []))
    client().open_orders("币安人生USDT")
    [seen] = exchange.to("/api/v3/openOrders")
    signed, _, signature = seen.target.partition("?")[2].partition("&signature=")
    assert signed.startswith("symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&")
    assert signature == hmac.new(API_SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()


def test_values_are_written_as_the_exchange_takes_them() -> None:
    params = {"a": 0.00001, "b": Decimal("1E-8"), "c": True, "d": "x y&z=+~", "e": 5}
    assert encode(params) == "a=0.00001&b=0.00000001&c=true&d=x%20y%26z%3D%2B~&e=5"


def test_an_open_question_carries_no_timestamp_and_no_signature(
    exchange: FakeExchange, client: Clients
) -> None:
    rows = [[1, "1", "2", "0", "1", "9", 59_999, "9", 1, "1", "1", "0"]]
    exchange.on(KLINES, reply(200, rows))
    public = client(api_key=None, api_secret=None)
    assert public.klines("BTCUSDT", "1m", start_ms=5, limit=10) == rows
    [seen] = exchange.requests
    assert seen.target == f"{KLINES}?symbol=BTCUSDT&interval=1m&startTime=5&limit=10"
    assert "x-mbx-apikey" not in seen.headers


def test_prices_come_in_one_request(exchange: FakeExchange, client: Clients) -> None:
    rows = [{"symbol": "BTCUSDT", "price": "6.1"}, {"symbol": "ETHUSDT", "price": "3.2"}]
    exchange.on(PRICE, reply(200, rows))
    assert client().prices() == {"BTCUSDT": "6.1", "ETHUSDT": "3.2"}
    assert len(exchange.to(PRICE)) == 1


def test_all_parameters_of_trades_and_orders_are_sent(exchange: FakeExchange, client: Clients) -> None:
    exchange.on("/api/v3/myTrades", reply(200, []))
    exchange.on("/api/v3/allOrders", reply(200, []))
    client().my_trades("BTCUSDT", order_id=7, start_ms=1, end_ms=2, from_id=3)
    client().all_orders("BTCUSDT", start_ms=1, end_ms=2)
    [trades], [orders] = exchange.to("/api/v3/myTrades"), exchange.to("/api/v3/allOrders")
    expected = {
        "symbol": "BTCUSDT",
        "orderId": "7",
        "startTime": "1",
        "endTime": "2",
        "fromId": "3",
        "limit": "1000",
    }
    assert trades.params.items() >= expected.items()
    assert (
        orders.params.items()
        >= {"symbol": "BTCUSDT", "startTime": "1", "endTime": "2", "limit": "500"}.items()
    )


def test_futures_questions_go_to_the_futures_paths(exchange: FakeExchange) -> None:
    source = Source("paper", "futures", exchange.url, exchange.url)
    exchange.on("/fapi/v2/ticker/price", reply(200, [{"symbol": "BTCUSDT", "price": "6"}]))
    exchange.on("/fapi/v1/klines", reply(200, []))
    public = ExchangeClient(source, timings=SHORT)
    assert public.prices() == {"BTCUSDT": "6"}
    assert public.klines("BTCUSDT", "1m") == []


PASSING = {
    "500": reply(500, b"<html>"),
    "503": error(503, -1008, "Server is currently overloaded"),
    "-1001": error(400, -1001, "Internal error"),
    "reset": reset,
    "closed": hang_up,
    "timeout": silent,
    "not JSON": reply(200, b"<html>"),
    "a short limit": error(429, -1003, "Too many requests", {"Retry-After": "1"}),
}


@pytest.mark.parametrize("script", PASSING.values(), ids=PASSING.keys())
def test_a_question_is_asked_again_after_what_passes(
    exchange: FakeExchange, client: Clients, script: Script
) -> None:
    exchange.on(PRICE, script, GOOD_PRICE)
    assert client().price("BTCUSDT") == "60000.01000000"
    assert len(exchange.to(PRICE)) == 2


@pytest.mark.parametrize("script", [reply(500, b""), reset, hang_up])
def test_a_question_is_given_up_after_four_tries(
    exchange: FakeExchange, client: Clients, script: Script
) -> None:
    exchange.on(PRICE, script)
    with pytest.raises(Transient):
        client().price("BTCUSDT")
    assert len(exchange.to(PRICE)) == 4


def test_all_tries_together_keep_the_total_limit(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(PRICE, silent)
    started = time.monotonic()
    with pytest.raises(Transient):
        client(timings=replace(SHORT, read_budget_seconds=1.0)).price("BTCUSDT")
    assert time.monotonic() - started < 1.3
    assert len(exchange.to(PRICE)) == 2


def test_a_refused_connection_is_told_as_not_sent() -> None:
    source = Source("paper", "spot", "http://127.0.0.1:1", "http://127.0.0.1:1")
    with pytest.raises(NotSent, match="Connection refused"):
        ExchangeClient(source, timings=SHORT).price("BTCUSDT")


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (error(400, -1121, "Invalid symbol."), Rejected),
        (error(401, -2015, "Invalid API-key, IP, or permissions for action."), KeyRefused),
        (error(400, -2013, "Order does not exist."), OrderNotFound),
    ],
)
def test_a_definite_no_is_not_asked_again_and_keeps_the_words_of_the_exchange(
    exchange: FakeExchange, client: Clients, script: Script, kind: type[Rejected]
) -> None:
    exchange.on(ORDER, script)
    with pytest.raises(kind) as raised:
        client().order("BTCUSDT", "tb1-x-1-1")
    assert len(exchange.to(ORDER)) == 1
    assert str(raised.value) in (
        "Invalid symbol.",
        "Invalid API-key, IP, or permissions for action.",
        "Order does not exist.",
    )


def test_a_cancel_of_an_order_that_is_not_open_is_told(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(ORDER, error(400, -2011, "Unknown order sent."))
    with pytest.raises(OrderNotFound):
        client().cancel_order("BTCUSDT", "tb1-x-1-1")
    [seen] = exchange.to(ORDER)
    assert seen.method == "DELETE"
    assert seen.params["origClientOrderId"] == "tb1-x-1-1"


def test_a_long_limit_is_not_waited_for(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(PRICE, error(429, -1003, "Too many requests", {"Retry-After": "30"}))
    started = time.monotonic()
    with pytest.raises(RateLimited) as raised:
        client().price("BTCUSDT")
    assert raised.value.retry_after_seconds == 30
    assert time.monotonic() - started < 1


def test_a_redirect_is_not_followed(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(PRICE, reply(302, b"", {"Location": f"{exchange.url}/elsewhere"}))
    with pytest.raises(Transient):
        client().price("BTCUSDT")
    assert exchange.to("/elsewhere") == []


@pytest.mark.parametrize("answer", [{}, [], {"price": 5}, None, "text"])
def test_an_answer_of_another_shape_is_not_taken(
    exchange: FakeExchange, client: Clients, answer: object
) -> None:
    exchange.on(PRICE, reply(200, b"null" if answer is None else answer))
    with pytest.raises(Transient):
        client().price("BTCUSDT")


def test_connections_are_kept_and_belong_to_the_thread_not_the_client(
    exchange: FakeExchange, client: Clients
) -> None:
    exchange.on(PRICE, GOOD_PRICE)
    for _ in range(3):
        client().price("BTCUSDT")
    assert {seen.connection for seen in exchange.requests} == {1}


def test_cookies_and_proxies_of_the_environment_are_not_used(
    exchange: FakeExchange, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    answer = {"symbol": "BTCUSDT", "price": "1"}
    exchange.on(PRICE, reply(200, answer, {"Set-Cookie": "who=me; Path=/"}), GOOD_PRICE)
    client().price("BTCUSDT")
    client().price("BTCUSDT")
    assert all("cookie" not in seen.headers for seen in exchange.requests)
    assert len(exchange.requests) == 2


def test_making_a_client_asks_nothing_and_is_cheap(exchange: FakeExchange, client: Clients) -> None:
    started = time.perf_counter()
    for _ in range(200):
        client()
    assert (time.perf_counter() - started) / 200 < 0.001
    assert exchange.connections == 0


@pytest.mark.parametrize("text", ["", " ", "has space", "has\nnewline", "ключ", "\U0001f511", "tab\t"])
def test_a_malformed_key_makes_no_client(source: Source, text: str) -> None:
    with pytest.raises(ClientInitFailed, match="malformed"):
        ExchangeClient(source, api_key=Secret(text), api_secret=Secret("fine"))
    with pytest.raises(ClientInitFailed, match="malformed"):
        ExchangeClient(source, api_key=Secret("fine"), api_secret=Secret(text))


def test_a_key_without_its_secret_makes_no_client(source: Source) -> None:
    with pytest.raises(ClientInitFailed, match="together"):
        ExchangeClient(source, api_key=Secret("fine"))


def test_a_live_source_refuses_scaled_times() -> None:
    live = Source("live", "spot", "live", "https://api.binance.com")
    with pytest.raises(ClientInitFailed, match="default timings"):
        ExchangeClient(live, timings=DEFAULT.scaled(0.5))
    ExchangeClient(live)
