"""The table of answers: each row of docs/orders.md, "Reading the answer"."""

from __future__ import annotations

import json
import time

import pytest
from requests.structures import CaseInsensitiveDict

from tradebot.binance.answers import (
    order_answer,
    read_answer,
    says_market_closed,
    says_symbol_changed,
    wait_seconds,
)
from tradebot.binance.transport import Failure, Reply
from tradebot.errors import KeyRefused, NotSent, OrderNotFound, RateLimited, Rejected, Transient

SPOT, FUTURES = "/api/v3/order", "/fapi/v1/order"


def answer(status: int, code: int | None = None, message: str = "text", **headers: str) -> Reply:
    body = {} if code is None else {"code": code, "msg": message}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, CaseInsensitiveDict(names), json.dumps(body).encode())


def body(status: int, data: bytes) -> Reply:
    return Reply(status, CaseInsensitiveDict(), data)


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        (SPOT, b'{"orderId": 28, "status": "FILLED"}'),
        (SPOT, b'{"orderId": 28, "status": "EXPIRED", "executedQty": "0.5"}'),
        (FUTURES, b'{"orderId": 1, "status": "NEW", "code": 200}'),
        ("/api/v3/orderList/oco", b'{"orderListId": 7}'),
        ("/fapi/v1/algoOrder", b'{"algoId": 9}'),
    ],
)
def test_200_with_an_id_is_accepted(path: str, accepted: bytes) -> None:
    assert order_answer("spot", path, body(200, accepted)).kind == "ACCEPTED"


@pytest.mark.parametrize(
    ("path", "unclear"),
    [
        (SPOT, b""),
        (SPOT, b"{}"),
        (SPOT, b"[]"),
        (SPOT, b"null"),
        (SPOT, b"<html></html>"),
        (SPOT, b'{"orderId": 28, "sta'),
        (SPOT, b"\xff\xfe"),
        (SPOT, b"[" * 100_000),
        (SPOT, b'{"orderId": null}'),
        (SPOT, b'{"orderId": true}'),
        (SPOT, b'{"orderListId": 7}'),
        (SPOT, b'{"orderId": 28, "code": -1007, "msg": "x"}'),
        ("/api/v3/orderList/oco", b'{"orderListId": -1, "orderId": 28}'),
    ],
)
def test_200_without_an_id_is_unknown(path: str, unclear: bytes) -> None:
    found = order_answer("spot", path, body(200, unclear))
    assert (found.kind, found.hold_long) == ("UNKNOWN", True)


REFUSED = [-1013, -1015, -1021, -1022, -1100, -1102, -1111, -1121, -1199, -2010, -2014, -2015, -2018, -2019]
REFUSED += [-1002, -2017, -2027, -2028, -4003, -4014, -4061, -4120, -4131, -4164, -5021, -5022]


@pytest.mark.parametrize("market", ["spot", "futures"])
@pytest.mark.parametrize("code", REFUSED)
def test_codes_that_say_that_there_is_no_order_are_rejections(market: str, code: int) -> None:
    found = order_answer(market, SPOT, answer(400, code))
    assert (found.kind, found.code, found.message) == ("REJECTED", code, "text")


@pytest.mark.parametrize("code", [-2021, -2022, -2025])
def test_codes_that_differ_by_market(code: int) -> None:
    assert order_answer("futures", FUTURES, answer(400, code)).kind == "REJECTED"
    assert order_answer("spot", SPOT, answer(400, code)).kind == "UNKNOWN"


@pytest.mark.parametrize("code", [-1013, -1111, -1121])
def test_spot_refusals_that_say_that_our_copy_of_the_symbol_is_old(code: int) -> None:
    assert says_symbol_changed("spot", code, "text")


FUTURES_FILTERS = [-1111, -1121, *range(-4007, -4000), -4012, -4013, -4014, -4016, -4023, -4024, -4131, -4164]


@pytest.mark.parametrize("code", [*FUTURES_FILTERS, -4108, -4140, -4141])
def test_futures_refusals_that_say_that_our_copy_of_the_symbol_is_old(code: int) -> None:
    assert says_symbol_changed("futures", code, "text")


@pytest.mark.parametrize("code", [None, -1021, -2010, -2015, -2019, -2022, -2025, -4061, -4116, -4120])
def test_other_refusals_say_nothing_of_the_symbol(code: int | None) -> None:
    assert not says_symbol_changed("futures", code, "text")
    assert not says_symbol_changed("spot", code, "Account has insufficient balance for requested action.")


def test_a_closed_market_is_told_apart() -> None:
    assert says_market_closed("spot", -2010, "Market is closed. (-2010)")
    assert not says_market_closed("spot", -2010, "Account has insufficient balance for requested action.")
    assert [code for code in FUTURES_FILTERS if says_market_closed("futures", code, "text")] == []
    assert all(says_market_closed("futures", code, "text") for code in (-4108, -4140, -4141))
    assert says_symbol_changed("spot", -2010, "Market is closed.")


@pytest.mark.parametrize(
    ("status", "data"), [(429, b""), (418, b"<html>"), (403, b"<html>WAF</html>"), (429, b"{}")]
)
def test_limits_and_the_firewall_reject_whatever_the_body_says(status: int, data: bytes) -> None:
    assert order_answer("spot", SPOT, body(status, data)).kind == "REJECTED"


@pytest.mark.parametrize(
    ("code", "message"),
    [(-2010, "Duplicate order sent."), (-4116, "ClientOrderId is duplicated.")],
)
def test_a_known_id_is_unknown_because_the_first_request_lives(code: int, message: str) -> None:
    found = order_answer("futures", FUTURES, answer(400, code, message))
    assert (found.kind, found.is_duplicate) == ("UNKNOWN", True)


TROUBLE = [(400, code) for code in (-1000, -1001, -1006, -1007, -1008, -1016)]
TROUBLE += [(429, -1008), (500, None), (502, None), (503, -1008), (503, -2010), (504, -1007), (408, -1013)]
TROUBLE += [(301, None), (302, None), (307, None), (304, None)]
TROUBLE += [(400, None), (404, None), (409, -2021), (400, -9999), (400, -1014), (400, -2011), (201, None)]


@pytest.mark.parametrize(("status", "code"), TROUBLE)
def test_what_is_not_named_is_unknown(status: int, code: int | None) -> None:
    found = order_answer("spot", SPOT, answer(status, code))
    assert (found.kind, found.is_duplicate, found.hold_long) == ("UNKNOWN", False, True)


def test_network_outcomes() -> None:
    unknown = order_answer("spot", SPOT, Failure(sent=True, reason="no answer in time"))
    assert (unknown.kind, unknown.hold_long) == ("UNKNOWN", False)
    assert order_answer("spot", SPOT, Failure(sent=False, reason="refused")).kind == "NOT_SENT"


@pytest.mark.parametrize("code", [-1002, -1022, -2014, -2015, -2017])
def test_a_refused_key_is_told_apart(code: int) -> None:
    assert order_answer("spot", SPOT, answer(401, code)).key_refused is True
    assert order_answer("spot", SPOT, answer(400, -2010)).key_refused is False


READS = [
    (answer(429, -1003), RateLimited),
    (answer(418, -1003), RateLimited),
    (answer(400, -1003), RateLimited),
    (answer(429, -1015), RateLimited),
    (answer(400, -1021), Transient),
    (answer(400, -1000), Transient),
    (answer(400, -1007), Transient),
    (answer(503, -1008), Transient),
    (answer(500), Transient),
    (answer(408), Transient),
    (answer(302), Transient),
    (body(200, b""), Transient),
    (body(200, b"<html>"), Transient),
    (body(502, b"<html>"), Transient),
    (answer(400, -2013), OrderNotFound),
    (answer(400, -2011), OrderNotFound),
    (answer(401, -2015), KeyRefused),
    (answer(400, -2014), KeyRefused),
    (answer(400, -1022), KeyRefused),
    (answer(400, -1121), Rejected),
    (answer(400, -2026), Rejected),
    (answer(403), Rejected),
    (Failure(sent=True, reason="no answer in time"), Transient),
    (Failure(sent=False, reason="refused"), NotSent),
]


@pytest.mark.parametrize(("outcome", "kind"), READS)
def test_what_a_question_raises(outcome: Reply | Failure, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        read_answer(outcome)
    assert type(raised.value) is kind


def test_a_good_answer_is_given_back() -> None:
    assert read_answer(body(200, b"[1, 2]")) == [1, 2]


DAYS_3 = 259_200
WAITS = [
    ("30", "", 30),
    ("0", "", 1),
    (None, "", 60),
    ("", "", 60),
    ("-5", "", 60),
    ("soon", "", 60),
    ("1.5", "", 60),
    ("Wed, 21 Oct 2026 07:28:00 GMT", "", 60),
    ("7200", "", 7200),
    ("999999999", "", DAYS_3),
    ("9" * 400, "", DAYS_3),
    ("nan", "", 60),
    (None, "Way too many requests; IP banned until 9999999999999.", DAYS_3),
    (None, "Way too many requests; IP banned until 1000000000000.", 60),
]


@pytest.mark.parametrize(("header", "message", "seconds"), WAITS)
def test_how_long_a_limit_lasts(header: str | None, message: str, seconds: int) -> None:
    given = {} if header is None else {"Retry-After": header}
    reply = Reply(429, CaseInsensitiveDict(given), b"")
    assert wait_seconds(reply, -1003, message) == seconds


def test_a_ban_ends_when_its_text_says_so() -> None:
    until = int((time.time() + 500) * 1000)
    found = wait_seconds(answer(418), -1003, f"IP banned until {until}. Please use the websocket.")
    assert found == pytest.approx(500, abs=1)


def test_the_order_count_waits_until_its_interval_ends() -> None:
    assert wait_seconds(answer(429), -1015, "Too many new orders.") == 10
    assert wait_seconds(answer(400), -2010, "text") is None
