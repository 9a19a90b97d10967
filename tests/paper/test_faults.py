"""Switchable faults: what the client sees, and what the books say."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from tests.support.paper import Paper


def buy(paper: Paper, key: str, **order: Any) -> requests.Response:
    wanted = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    return paper.order(api_key=key, **(wanted | order))


def placed(paper: Paper, key: str) -> int:
    return len(paper.books(key)["orders"])


def test_a_dropped_response_leaves_an_order(paper: Paper, key: str) -> None:
    paper.fault("drop_response")
    with pytest.raises(requests.ConnectionError):
        buy(paper, key)
    assert placed(paper, key) == 1
    assert buy(paper, key).status_code == 200


def test_a_dropped_request_leaves_none(paper: Paper, key: str) -> None:
    paper.fault("drop_request")
    with pytest.raises(requests.ConnectionError):
        buy(paper, key)
    assert placed(paper, key) == 0


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("unavailable", 503, '{"code":-1000,"msg":"Service Unavailable."}'),
        ("timeout", 504, "execution status unknown"),
        ("bad_gateway", 502, "<html>"),
        ("empty", 200, ""),
        ("redirect", 302, ""),
        ("truncated", 200, '{"symbol":"BTCUSDT"'),
    ],
)
@pytest.mark.parametrize(("when", "orders"), [("after", 1), ("before", 0)])
def test_answers_that_say_nothing(
    paper: Paper, key: str, kind: str, status: int, body: str, when: str, orders: int
) -> None:
    paper.fault(kind, when=when)
    answer = buy(paper, key)
    assert answer.status_code == status
    assert body in answer.text or kind == "truncated"
    if kind == "truncated":
        with pytest.raises(ValueError):
            answer.json()
    assert placed(paper, key) == orders


@pytest.mark.parametrize(
    ("kind", "options", "status", "code", "retry_after"),
    [
        ("rate_limited", {"retry_after": 30}, 429, -1003, "30"),
        ("rate_limited", {"retry_after": "soon"}, 429, -1003, "soon"),
        ("rate_limited", {}, 429, -1003, None),
        ("banned", {"retry_after": 7200}, 418, -1003, "7200"),
        ("key_refused", {}, 401, -2015, None),
    ],
)
def test_refusals(
    paper: Paper,
    key: str,
    kind: str,
    options: dict[str, Any],
    status: int,
    code: int,
    retry_after: str | None,
) -> None:
    paper.fault(kind, **options)
    answer = buy(paper, key)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("Retry-After") == retry_after
    assert placed(paper, key) == 0


def test_an_answer_of_ones_own(paper: Paper, key: str) -> None:
    paper.fault("answer", status=400, body='{"code":-1008,"msg":"busy"}', headers={"X-Test": "1"})
    answer = buy(paper, key)
    assert (answer.status_code, answer.json()["code"], answer.headers["X-Test"]) == (400, -1008, "1")
    assert placed(paper, key) == 1


def test_a_fault_strikes_as_often_as_it_was_told_and_only_where(paper: Paper, key: str) -> None:
    paper.fault("unavailable", count=2, skip=1)
    codes = [buy(paper, key).status_code for _ in range(4)]
    assert codes == [200, 503, 503, 200]
    assert paper.public("/api/v3/time").status_code == 200
    [fault] = paper.control("/paper/faults")["faults"]
    assert (fault["struck"], fault["count"]) == (2, 0)
    assert paper.control("/paper/faults", method="DELETE") == {"cleared": 1}


def test_a_dripping_answer_comes_a_byte_at_a_time(paper: Paper) -> None:
    paper.fault("drip", method="GET", path="/api/v3/time", interval=0.01)
    started = time.monotonic()
    answer = paper.public("/api/v3/time")
    assert "serverTime" in answer.json()
    assert time.monotonic() - started > 0.01 * (len(answer.content) - 1)


def test_a_young_order_is_not_found_while_queries_are_stale(paper: Paper, key: str) -> None:
    paper.fault("stale_order", seconds=60)
    order = buy(paper, key, newClientOrderId="young").json()
    wanted = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    assert paper.signed("GET", "/api/v3/order", key, **wanted).json()["code"] == -2013
    paper.control("/paper/clock", {"offset_ms": 60_000})
    assert paper.signed("GET", "/api/v3/order", key, **wanted).json()["status"] == "FILLED"
    paper.control("/paper/clock", {"offset_ms": 0})
    paper.control("/paper/faults", method="DELETE")
    assert paper.signed("GET", "/api/v3/order", key, **wanted).json()["status"] == "FILLED"


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "nonsense"},
        {"kind": "delay"},
        {"kind": "drip", "when": "before"},
        {"kind": "empty", "count": "x"},
    ],
)
def test_a_wrong_fault_is_refused_with_a_sentence(paper: Paper, wanted: dict[str, Any]) -> None:
    answer = paper.session.post(f"{paper.url}/paper/faults", json=wanted, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert paper.control("/paper/faults") == {"faults": []}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/paper/accounts", {"apiKey": "with space"}),
        ("/paper/accounts", {"apiKey": "x", "balances": {"USDT": -1}}),
        ("/paper/accounts", {"apiKey": "x", "balances": {"USDT": "NaN"}}),
        ("/paper/accounts", {"apiKey": "x", "feesInBnb": "yes"}),
        ("/paper/clock", {}),
        ("/paper/clock", {"now_ms": "soon"}),
        ("/paper/symbols/NOPE", {"status": "BREAK"}),
        ("/paper/symbols/BTCUSDT", {"status": "ASLEEP"}),
        ("/paper/price", {"symbol": "BTCUSDT", "price": 0}),
        ("/paper/price", {"symbol": ["BTCUSDT"], "price": 1}),
    ],
)
def test_wrong_control_requests_are_refused_with_a_sentence(
    paper: Paper, path: str, body: dict[str, Any]
) -> None:
    answer = paper.session.post(paper.url + path, json=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_page_in_a_browser_cannot_steer(paper: Paper) -> None:
    answer = paper.session.post(
        f"{paper.url}/paper/clock", json={"offset_ms": 1}, headers={"Origin": "http://evil"}, timeout=10
    )
    assert answer.status_code == 403
