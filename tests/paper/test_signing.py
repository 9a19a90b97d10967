"""Signatures, timing and parameters, as the exchange's documents give them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.support.paper import Paper, secret_of
from tests.support.shared import require_shared
from trading.paper.errors import ApiError
from trading.paper.params import Params, check_time, signature_of, split_signature

SERVER_MS = 1_790_000_000_000
WINDOW = Decimal(5000)


def test_official_vectors_have_their_signatures() -> None:
    vectors = json.loads(require_shared("data/orders/hmac_vectors.json").read_text())["vectors"]
    assert len(vectors) == 3
    for vector in vectors:
        assert signature_of(vector["secret"], vector["payload"]) == vector["signature"]


@pytest.mark.parametrize(
    ("query", "body", "payload", "signature"),
    [
        ("a=1&signature=FF", "", "a=1", "FF"),
        ("", "a=1&b=2&signature=ff", "a=1&b=2", "ff"),
        ("a=1", "b=2&signature=ff", "a=1b=2", "ff"),
        ("a=1&signature=ff", "b=2", "a=1b=2", "ff"),
        ("signature=ff&a=1", "", "signature=ff&a=1", None),
        ("a=%E5%B8%81&signature=ff", "", "a=%E5%B8%81", "ff"),
    ],
)
def test_the_signed_payload_is_query_and_body_without_separator(
    query: str, body: str, payload: str, signature: str | None
) -> None:
    assert split_signature(query, body) == (payload, signature)


@pytest.mark.parametrize(
    ("timestamp", "message"),
    [
        (SERVER_MS, None),
        (SERVER_MS + 999, None),
        (SERVER_MS + 1000, "1000ms ahead"),
        (SERVER_MS - 5000, None),
        (SERVER_MS - 5001, "outside of the recvWindow"),
        ((SERVER_MS - 4999) * 1000, None),
        ((SERVER_MS - 5001) * 1000, "outside of the recvWindow"),
        ((SERVER_MS - 5000) * 1000 - 1, "outside of the recvWindow"),
    ],
)
def test_recv_window_has_exact_edges(timestamp: int, message: str | None) -> None:
    if message is None:
        check_time(timestamp, WINDOW, SERVER_MS)
        return
    with pytest.raises(ApiError, match=message) as caught:
        check_time(timestamp, WINDOW, SERVER_MS)
    assert caught.value.code == -1021


def test_the_second_check_looks_at_age_only() -> None:
    check_time(SERVER_MS + 5000, WINDOW, SERVER_MS, late_only=True)
    with pytest.raises(ApiError):
        check_time(SERVER_MS - 5001, WINDOW, SERVER_MS, late_only=True)


def test_the_query_wins_over_the_body() -> None:
    assert Params("a=1", "a=2&b=3").text("a") == "1"


def test_a_name_twice_is_1101_and_an_unread_one_is_1104() -> None:
    with pytest.raises(ApiError) as caught:
        Params("a=1&a=2", "")
    assert caught.value.code == -1101
    params = Params("a=1&b=2&signature=x", "")
    params.text("a")
    with pytest.raises(ApiError, match=r"read '1' parameter\(s\) but was sent '2'") as caught:
        params.finish()
    assert caught.value.code == -1104


@pytest.mark.parametrize("text", ["1e-05", "-1", "+1", "1,5", ".5", "5.", "NaN", "１２", "0x1", " 1"])  # noqa: RUF001
def test_numbers_are_plain_decimals(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        Params(f"quantity={text.replace('+', '%2B')}", "").decimal("quantity")
    assert caught.value.code == -1100


def signed_account(
    paper: Paper, payload: str, signature: str, key: str | None = "paper-sign"
) -> tuple[int, int]:
    headers = {} if key is None else {"X-MBX-APIKEY": key}
    url = f"{paper.url}/api/v3/account?{payload}&signature={signature}"
    answer = paper.session.get(url, headers=headers, timeout=10)
    return answer.status_code, answer.json().get("code", 0)


def test_keys_and_signatures_are_refused_with_their_codes(paper: Paper) -> None:
    payload = f"timestamp={paper.now_ms()}"
    good = signature_of(secret_of("paper-sign"), payload)
    assert signed_account(paper, payload, good) == (200, 0)
    assert signed_account(paper, payload, good.upper()) == (200, 0)
    assert signed_account(paper, payload, "0" * 64) == (400, -1022)
    assert signed_account(paper, payload + "&omitZeroBalances=true", good) == (400, -1022)
    assert signed_account(paper, payload, good, None) == (401, -2014)
    assert signed_account(paper, payload, good, "paper sign") == (401, -2014)
    assert signed_account(paper, payload, good, "stranger") == (401, -2015)
    assert paper.signed("GET", "/api/v3/account", timestamp=None).json()["code"] == -1102
    unsigned = paper.session.get(
        f"{paper.url}/api/v3/account?{payload}", headers={"X-MBX-APIKEY": "paper-sign"}, timeout=10
    )
    assert unsigned.json()["code"] == -1102


def test_a_revoked_key_is_refused_until_it_is_allowed_again(paper: Paper, key: str) -> None:
    paper.control("/paper/accounts", {"apiKey": key, "revoked": True})
    assert paper.signed("GET", "/api/v3/account", key).json()["code"] == -2015
    paper.control("/paper/accounts", {"apiKey": key, "revoked": False})
    assert paper.signed("GET", "/api/v3/account", key).status_code == 200


def test_an_order_may_come_in_query_body_or_both(paper: Paper, key: str) -> None:
    query = "symbol=BTCUSDT&side=BUY&type=MARKET"
    body = f"quantity=0.01&timestamp={paper.now_ms()}"
    signature = signature_of(secret_of(key), query + body)
    answer = paper.session.post(
        f"{paper.url}/api/v3/order?{query}",
        data=f"{body}&signature={signature}",
        headers={"X-MBX-APIKEY": key, "Content-Type": "application/x-www-form-urlencoded"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["executedQty"] == "0.01000000"


def test_a_non_ascii_symbol_is_signed_percent_encoded(paper: Paper, key: str) -> None:
    answer = paper.order(api_key=key, symbol="币安人生USDT", side="BUY", type="MARKET", quoteOrderQty="50")
    assert answer.status_code == 200, answer.text
    assert answer.json()["symbol"] == "币安人生USDT"


def test_time_is_checked_again_before_the_engine(paper: Paper, key: str) -> None:
    paper.fault("delay", seconds=0.4, when="engine")
    answer = paper.order(
        api_key=key, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", recvWindow="200"
    )
    assert answer.json()["code"] == -1021
    assert paper.books(key)["orders"] == []


def test_a_wrong_clock_gets_both_variants_of_1021(paper: Paper, key: str) -> None:
    now_ms = paper.now_ms()
    late = paper.signed("GET", "/api/v3/account", key, timestamp=now_ms - 6000).json()
    early = paper.signed("GET", "/api/v3/account", key, timestamp=now_ms + 3000).json()
    assert late["msg"] == "Timestamp for this request is outside of the recvWindow."
    assert early["msg"] == "Timestamp for this request was 1000ms ahead of the server's time."
    paper.control("/paper/clock", {"offset_ms": 3000})
    assert paper.signed("GET", "/api/v3/account", key, timestamp=now_ms + 3000).status_code == 200
    assert paper.signed("GET", "/api/v3/account", key, recvWindow="60001").json()["code"] == -1131
