"""The fault matrix as switches: what the client sees of each, and what the books say."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
import requests

from tests.paper.faulting import FUTURES, LIMIT, MARKET, SPOT, off, send, stand, switch
from tests.support.paper import Paper, secret_of
from trading.paper.fault_refusals import REASONS

D = Decimal
# -- rejections by name (X1-X16, X19)


@pytest.mark.parametrize("reason", sorted(name for name, (spot, _) in REASONS.items() if spot))
def test_every_rejection_of_spot(paper: Paper, key: str, reason: str) -> None:
    switch(paper, "reject", reason=reason, path=SPOT, method="POST")
    answer = send(paper, key)
    code, text = REASONS[reason][0] or (0, "")
    assert (answer.status_code, answer.json()) == (400, {"code": code, "msg": text})
    assert paper.books(key)["orders"] == []
    assert send(paper, key).status_code == 200


@pytest.mark.parametrize("reason", sorted(name for name, (_, futures) in REASONS.items() if futures))
def test_every_rejection_of_futures(paper: Paper, key: str, reason: str) -> None:
    switch(paper, "reject", reason=reason, market="futures", method="POST")
    answer = send(paper, key, FUTURES)
    code, text = REASONS[reason][1] or (0, "")
    assert (answer.status_code, answer.json()) == (400, {"code": code, "msg": text})
    assert send(paper, key, FUTURES).status_code == 200


def test_a_duplicate_is_placed_and_denied(paper: Paper, key: str) -> None:
    switch(paper, "duplicate", method="POST")
    assert send(paper, key, newClientOrderId="twin").json() == {"code": -2010, "msg": "Duplicate order sent."}
    [order] = paper.books(key)["orders"]
    assert (order["clientOrderId"], order["status"]) == ("twin", "FILLED")
    switch(paper, "duplicate", method="POST")
    assert send(paper, key, FUTURES).json()["code"] == -4116


@pytest.mark.parametrize(
    ("kind", "options", "status", "code", "retry_after"),
    [
        ("too_many_orders", {"retry_after": 8}, 429, -1015, "8"),
        ("too_many_orders", {}, 429, -1015, None),
        ("rate_limited", {"retry_after": -5}, 429, -1003, "-5"),
        ("rate_limited", {"retry_after": 10**9}, 429, -1003, str(10**9)),
        ("banned", {}, 418, -1003, None),
        ("key_refused", {}, 401, -2015, None),
        ("keys_locked", {}, 401, -2017, None),
    ],
)
def test_limits_and_keys(
    paper: Paper,
    key: str,
    kind: str,
    options: dict[str, Any],
    status: int,
    code: int,
    retry_after: str | None,
) -> None:
    switch(paper, kind, **options)
    answer = send(paper, key)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("Retry-After") == retry_after
    assert paper.books(key)["orders"] == []


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [("unexpected", 400, "-1006"), ("overloaded", 503, "-1008"), ("waf", 403, "<html>")],
)
def test_other_answers(paper: Paper, key: str, kind: str, status: int, text: str) -> None:
    switch(paper, kind, method="POST")
    answer = send(paper, key)
    assert answer.status_code == status
    assert text in answer.text


# -- which requests


def test_a_fault_selects_by_symbol_side_type_account_and_path(paper: Paper, key: str) -> None:
    other = f"{key}-other"
    for selects in (
        {"symbol": "ETHUSDT"},
        {"side": "SELL"},
        {"type": "LIMIT"},
        {"apiKey": other},
        {"market": "futures"},
        {"path": "/fapi/*"},
        {"method": "GET"},
    ):
        switch(paper, "unavailable", count=-1, **selects)
        assert send(paper, key).status_code == 200, selects
        off(paper)
    switch(paper, "unavailable", count=-1, symbol="BTCUSDT", side="BUY", type="MARKET", path="/api/v3/o*")
    assert send(paper, key).status_code == 503
    assert send(paper, other).status_code == 503


def test_a_fault_ends_by_itself_and_begins_later(paper: Paper) -> None:
    def status() -> int:
        return paper.public("/api/v3/time").status_code

    switch(paper, "unavailable", count=-1, after_seconds=0.3, for_seconds=0.4, path="/api/v3/time")
    assert status() == 200
    deadline = time.monotonic() + 10
    while status() == 200:
        assert time.monotonic() < deadline
    while status() == 503:
        assert time.monotonic() < deadline
    assert paper.control("/paper/faults") == {"faults": []}


def test_a_chance_strikes_a_share(paper: Paper) -> None:
    def hits() -> list[int]:
        return [paper.public("/api/v3/ping").status_code for _ in range(60)]

    switch(paper, "unavailable", count=-1, chance=0.3, path="/api/v3/ping")
    assert 6 <= hits().count(503) <= 32


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "reject"},
        {"kind": "reject", "reason": "MOOD"},
        {"kind": "reject", "reason": "NOTIONAL", "market": "futures"},
        {"kind": "reject", "reason": "REDUCE_ONLY", "path": "/api/v3/order"},
        {"kind": "unavailable", "chance": 2},
        {"kind": "unavailable", "skip": -1},
        {"kind": "unavailable", "market": "moon"},
        {"kind": "unavailable", "path": 5},
        {"kind": "unavailable", "seconds": 5},
        {"kind": "delay", "seconds": "long"},
        {"kind": "delay", "seconds": -1},
        {"kind": "fill_partly", "share": 1.5},
        {"kind": "fill_in_parts", "parts": 0},
        {"kind": "halt", "symbol": "NOPEUSDT"},
        {"kind": "halt", "status": "TRADING"},
        {"kind": "delisted"},
        {"kind": "filters", "symbol": "BTCUSDT", "filters": {"LOT_SIZE": {"stepSize": "many"}}},
        {"kind": "filters", "symbol": "BTCUSDT", "filters": {"LOT_SIZE": 5}},
        {"kind": "filters", "filters": {}},
        {"kind": "clock", "offset_ms": "late"},
        {"kind": "bad_prices", "what": "gap"},
        {"kind": "bad_klines"},
    ],
)
def test_a_wrong_switch_is_refused_with_a_sentence(paper: Paper, wanted: dict[str, Any]) -> None:
    answer = paper.session.post(f"{paper.url}/paper/faults", json=wanted, timeout=10)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]
    assert paper.control("/paper/faults") == {"faults": []}


# -- the network


def test_half_an_answer_and_a_reset(paper: Paper, key: str) -> None:
    switch(paper, "cut", method="POST")
    with pytest.raises(requests.exceptions.RequestException):
        send(paper, key)
    assert len(paper.books(key)["orders"]) == 1


def test_a_replayed_market_order_executes_twice(paper: Paper, key: str) -> None:
    switch(paper, "replay", method="POST", path=SPOT)
    assert send(paper, key, newClientOrderId="once").status_code == 200
    orders = paper.books(key)["orders"]
    assert [one["clientOrderId"] for one in orders] == ["once", "once"]
    assert [one["status"] for one in orders] == ["FILLED", "FILLED"]


def test_a_replayed_resting_order_is_a_duplicate(paper: Paper, key: str) -> None:
    stand(paper)
    switch(paper, "replay", method="POST", path=SPOT)
    assert send(paper, key, newClientOrderId="once", **LIMIT).status_code == 200
    assert len(paper.books(key)["orders"]) == 1


def test_a_body_is_replayed_too_and_later(paper: Paper, key: str) -> None:
    import hashlib
    import hmac
    from urllib.parse import urlencode

    switch(paper, "replay", method="POST", path=SPOT, seconds=0.2)
    body = urlencode({**MARKET, "timestamp": paper.now_ms()})
    signature = hmac.new(secret_of(key).encode(), body.encode(), hashlib.sha256).hexdigest()
    answer = paper.session.post(
        paper.url + SPOT,
        data=f"{body}&signature={signature}",
        headers={"X-MBX-APIKEY": key, "Content-Type": "application/x-www-form-urlencoded"},
        timeout=10,
    )
    assert answer.status_code == 200
    deadline = time.monotonic() + 10
    while len(paper.books(key)["orders"]) < 2:
        assert time.monotonic() < deadline


def test_a_closed_door_refuses_connections_for_a_while(tmp_path: Any) -> None:
    from tests.support.paper import start_paper

    with start_paper(tmp_path, symbols=5) as paper:
        url = paper.url
        switch(paper, "refuse_connections", seconds=0.7)
        deadline = time.monotonic() + 10
        refused = False
        while not refused:
            assert time.monotonic() < deadline
            try:
                requests.get(f"{url}/api/v3/ping", timeout=5)
            except requests.ConnectionError:
                refused = True
        while True:
            assert time.monotonic() < deadline
            try:
                answer = requests.get(f"{url}/api/v3/ping", timeout=5)
                break
            except requests.ConnectionError:
                continue
        assert answer.status_code == 200


# -- queries that lag (N3, N8)


def test_lists_lag_behind_too_when_asked(paper: Paper, key: str) -> None:
    stand(paper)
    switch(paper, "stale_order", seconds=60, lists_too=True, apiKey=key)
    order_id = send(paper, key, **LIMIT).json()["orderId"]
    bought = send(paper, key).json()["orderId"]
    asked = {"symbol": "BTCUSDT"}

    def seen() -> tuple[int, int, int, int]:
        return (
            paper.signed("GET", SPOT, key, orderId=order_id, **asked).status_code,
            len(paper.signed("GET", "/api/v3/openOrders", key, **asked).json()),
            len(paper.signed("GET", "/api/v3/allOrders", key, **asked).json()),
            len(paper.signed("GET", "/api/v3/myTrades", key, orderId=bought, **asked).json()),
        )

    assert seen() == (400, 0, 0, 0)
    assert paper.signed("DELETE", SPOT, key, orderId=order_id, **asked).status_code == 200  # the engine knows
    off(paper)
    assert seen() == (200, 0, 2, 1)
