"""An order leaves once, byte for byte, and its outcome is told as it is."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
import time
from dataclasses import replace

import pytest

from tests.binance.conftest import API_KEY, API_SECRET, ORDER, PAYLOAD, SHORT, Clients
from tests.support.fake_exchange import (
    FakeExchange,
    Script,
    drip,
    error,
    hang_up,
    head,
    raw,
    reply,
    reset,
    silent,
)
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import Source
from tradebot.secrets import Secret

FILLED = reply(200, {"orderId": 28, "clientOrderId": "tb1-x-1-1", "status": "FILLED"})


def test_the_committed_bytes_go_on_the_wire_with_the_signature_behind_them(
    exchange: FakeExchange, client: Clients
) -> None:
    exchange.on(ORDER, FILLED)
    answer = client().post_order(ORDER, PAYLOAD)
    [seen] = exchange.to(ORDER)
    signature = hmac.new(API_SECRET.encode(), PAYLOAD.encode(), hashlib.sha256).hexdigest()
    assert seen.method == "POST"
    assert seen.target == ORDER
    assert seen.body == f"{PAYLOAD}&signature={signature}".encode()
    assert seen.headers["x-mbx-apikey"] == API_KEY
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (answer.kind, answer.body["orderId"]) == ("ACCEPTED", 28)


UNKNOWN_OUTCOMES = {
    "timeout": silent,
    "reset": reset,
    "closed without an answer": hang_up,
    "502 page": reply(502, b"<html>Bad gateway</html>"),
    "200 empty": reply(200, b""),
    "200 cut off": raw(head(200, {"Content-Length": "100"}) + b'{"orderId": 28, "sta', keep=False),
    "200 broken JSON": reply(200, b'{"orderId": 28, "sta'),
    "not HTTP": raw(b"\x00\x01\x02 what\r\n\r\n", keep=False),
    "redirect": reply(302, {}, {"Location": "/elsewhere"}),
    "drips": drip(head(200, {"Content-Length": "2000"}) + b" " * 2000, 0.1),
}


@pytest.mark.parametrize("script", UNKNOWN_OUTCOMES.values(), ids=UNKNOWN_OUTCOMES.keys())
def test_an_outcome_that_is_not_known_is_unknown_and_the_order_is_not_sent_again(
    exchange: FakeExchange, client: Clients, script: Script
) -> None:
    exchange.on(ORDER, script)
    exchange.on("/elsewhere", FILLED)
    answer = client().post_order(ORDER, PAYLOAD)
    assert answer.kind == "UNKNOWN"
    assert [seen.path for seen in exchange.requests] == [ORDER]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (error(429, -1003, "Too many requests.", {"Retry-After": "1"}), -1003),
        (error(400, -1021, "Timestamp for this request was 1000ms ahead."), -1021),
        (error(400, -2010, "Account has insufficient balance for requested action."), -2010),
    ],
)
def test_a_refused_order_is_not_sent_again(
    exchange: FakeExchange, client: Clients, script: Script, code: int
) -> None:
    exchange.on(ORDER, script)
    answer = client().post_order(ORDER, PAYLOAD)
    assert (answer.kind, answer.code) == ("REJECTED", code)
    assert len(exchange.requests) == 1


def test_a_refused_connection_means_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        answer = _lone_client(url).post_order(ORDER, PAYLOAD)
    assert (answer.kind, answer.message) == ("NOT_SENT", "Connection refused")


def test_a_tls_failure_before_the_request_means_not_sent(exchange: FakeExchange) -> None:
    answer = _lone_client(exchange.url.replace("http:", "https:")).post_order(ORDER, PAYLOAD)
    assert answer.kind == "NOT_SENT"
    assert exchange.to(ORDER) == []


def test_a_name_that_does_not_resolve_means_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    answer = _lone_client("http://exchange.invalid").post_order(ORDER, PAYLOAD)
    assert (answer.kind, answer.message) == ("NOT_SENT", "Name or service not known")


def test_a_resolver_that_hangs_is_given_up_within_the_connect_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **o: time.sleep(1) or [])
    started = time.monotonic()
    answer = _lone_client("http://exchange.invalid").post_order(ORDER, PAYLOAD)
    assert answer.kind == "NOT_SENT"
    assert time.monotonic() - started < SHORT.connect_timeout_seconds + 0.5


WHOLE = head(200, {"Content-Length": "2000"}) + b" " * 2000


@pytest.mark.parametrize("at_once", [0, len(WHOLE) - 2000], ids=["in the headers", "in the body"])
def test_the_total_limit_holds_against_a_server_that_drips(
    exchange: FakeExchange, client: Clients, at_once: int
) -> None:
    exchange.on(ORDER, drip(WHOLE, 0.1, at_once=at_once))
    started = time.monotonic()
    answer = client().post_order(ORDER, PAYLOAD)
    taken = time.monotonic() - started
    assert answer.kind == "UNKNOWN"
    assert SHORT.total_timeout_seconds - 0.1 <= taken < SHORT.total_timeout_seconds + 0.3


def test_the_total_limit_holds_against_a_server_that_is_silent_for_longer(
    exchange: FakeExchange, client: Clients
) -> None:
    exchange.on(ORDER, drip(WHOLE, 3.0, at_once=20))
    started = time.monotonic()
    patient = client(timings=replace(SHORT, read_timeout_seconds=5.0))
    assert patient.post_order(ORDER, PAYLOAD).kind == "UNKNOWN"
    assert time.monotonic() - started < SHORT.total_timeout_seconds + 0.5


def test_an_order_does_not_go_on_a_connection_that_was_idle_for_long(
    exchange: FakeExchange, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.on(ORDER, FILLED)
    one = client()
    one.post_order(ORDER, PAYLOAD)
    one.post_order(ORDER, PAYLOAD)
    monkeypatch.setattr("tradebot.binance.transport.IDLE_SECONDS_ONCE", 0.0)
    one.post_order(ORDER, PAYLOAD)
    assert [seen.connection for seen in exchange.to(ORDER)] == [1, 1, 2]


def test_a_connection_that_the_server_closed_is_not_used_for_an_order(
    exchange: FakeExchange, client: Clients
) -> None:
    exchange.on(ORDER, FILLED)
    client().post_order(ORDER, PAYLOAD)
    exchange.drop_connections()
    assert client().post_order(ORDER, PAYLOAD).kind == "ACCEPTED"
    assert len(exchange.to(ORDER)) == 2


def test_threads_send_at_the_same_time_on_connections_of_their_own(
    exchange: FakeExchange, client: Clients
) -> None:
    exchange.on(ORDER, FILLED)
    kinds: list[str] = []

    def work() -> None:
        one = client()
        kinds.extend(one.post_order(ORDER, PAYLOAD).kind for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds == ["ACCEPTED"] * 40
    assert len(exchange.to(ORDER)) == 40
    assert exchange.connections == 8


def test_a_client_without_a_key_sends_no_order(exchange: FakeExchange, client: Clients) -> None:
    answer = client(api_key=None, api_secret=None).post_order(ORDER, PAYLOAD)
    assert answer.kind == "NOT_SENT"
    assert exchange.requests == []


def _lone_client(url: str) -> ExchangeClient:
    return ExchangeClient(
        Source("paper", "spot", url, url),
        api_key=Secret(API_KEY),
        api_secret=Secret(API_SECRET),
        timings=SHORT,
        lane="exit",
    )
