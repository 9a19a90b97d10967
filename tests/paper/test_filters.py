"""Each filter and each malformed parameter, over HTTP, with the exchange's own code and text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.paper import Paper

PRICE = 70_000


@pytest.fixture(autouse=True)
def steady_price(paper: Paper) -> None:
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": PRICE})


LIMIT: dict[str, Any] = {
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "60000",
}
MARKET: dict[str, Any] = {"side": "BUY", "type": "MARKET", "quantity": "0.01"}
STOP: dict[str, Any] = {
    "side": "SELL",
    "type": "STOP_LOSS_LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "59000",
    "stopPrice": "60000",
}


def refused(paper: Paper, key: str, order: dict[str, Any], **changes: Any) -> tuple[int, str]:
    """Code and text of the refusal; nothing was placed and no money moved."""
    before = paper.books(key)
    answer = paper.order(api_key=key, **{"symbol": "BTCUSDT", **order, **changes})
    assert answer.status_code == 400, answer.text
    assert paper.books(key) | {"nowMs": 0} == before | {"nowMs": 0}
    return answer.json()["code"], answer.json()["msg"]


@pytest.mark.parametrize(
    ("filter_name", "order", "changes"),
    [
        ("PRICE_FILTER", LIMIT, {"price": "60000.001"}),
        ("PRICE_FILTER", LIMIT, {"price": "99999999"}),
        ("PRICE_FILTER", STOP, {"stopPrice": "60000.005"}),
        ("PERCENT_PRICE_BY_SIDE", LIMIT, {"price": "10000"}),
        ("PERCENT_PRICE_BY_SIDE", LIMIT, {"side": "SELL", "price": "400000"}),
        ("LOT_SIZE", LIMIT, {"quantity": "0.000001"}),
        ("LOT_SIZE", LIMIT, {"quantity": "0.010001"}),
        ("LOT_SIZE", MARKET, {"quantity": "0.010001"}),
        ("MARKET_LOT_SIZE", MARKET, {"quantity": "5000"}),
        ("NOTIONAL", LIMIT, {"quantity": "0.00005"}),
        ("NOTIONAL", MARKET, {"quantity": "0.00005"}),
        ("NOTIONAL", MARKET, {"quantity": None, "quoteOrderQty": "4.99"}),
        ("ICEBERG_PARTS", LIMIT, {"icebergQty": "0.00001"}),
    ],
)
def test_a_filter_refuses(
    paper: Paper, key: str, filter_name: str, order: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert refused(paper, key, order, **changes) == (-1013, f"Filter failure: {filter_name}")


@pytest.mark.parametrize(
    ("code", "order", "changes"),
    [
        (-1102, LIMIT, {"price": None}),
        (-1102, LIMIT, {"timeInForce": None}),
        (-1102, LIMIT, {"quantity": None}),
        (-1102, LIMIT, {"side": None}),
        (-1102, LIMIT, {"type": None}),
        (-1102, STOP, {"stopPrice": None}),
        (-1102, MARKET, {"quantity": None}),
        (-1102, MARKET, {"symbol": None}),
        (-1106, MARKET, {"price": "60000"}),
        (-1106, MARKET, {"timeInForce": "GTC"}),
        (-1106, LIMIT, {"stopPrice": "60000"}),
        (-1111, LIMIT, {"quantity": "0.0100000001"}),
        (-1111, LIMIT, {"price": "60000.000000001"}),
        (-1100, LIMIT, {"quantity": "1e-05"}),
        (-1100, LIMIT, {"quantity": "-1"}),
        (-1100, LIMIT, {"newClientOrderId": "with space"}),
        (-1100, LIMIT, {"newClientOrderId": "x" * 37}),
        (-1100, LIMIT, {"symbol": "btcusdt"}),
        (-1100, LIMIT, {"symbol": "BTC/USDT"}),
        (-1105, LIMIT, {"price": ""}),
        (-1104, LIMIT, {"leverage": "5"}),
        (-1115, LIMIT, {"timeInForce": "GTX"}),
        (-1116, LIMIT, {"type": "STOP_MARKET"}),
        (-1117, LIMIT, {"side": "LONG"}),
        (-1121, LIMIT, {"symbol": "NOPEUSDT"}),
        (-1013, LIMIT, {"quantity": "0"}),
        (-2010, LIMIT, {"symbol": "LUNAUSDT", "quantity": "100", "price": "0.18"}),
        (-2010, LIMIT, {"quantity": "5"}),
        (-2010, MARKET, {"side": "SELL", "quantity": "2"}),
    ],
)
def test_what_is_malformed_or_impossible_has_its_code(
    paper: Paper, key: str, code: int, order: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert refused(paper, key, order, **changes)[0] == code


def test_too_many_orders_on_a_symbol(paper: Paper, key: str) -> None:
    for number in range(5):
        assert paper.order(api_key=key, symbol="BTCUSDT", **STOP).status_code == 200, number
    assert refused(paper, key, STOP) == (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")
    for _ in range(195):
        answer = paper.order(api_key=key, symbol="BTCUSDT", **(LIMIT | {"quantity": "0.0001"}))
        assert answer.status_code == 200, answer.text
    assert refused(paper, key, LIMIT, quantity="0.0001") == (-1013, "Filter failure: MAX_NUM_ORDERS")
    assert paper.order(api_key=key, symbol="BTCUSDT", **MARKET).status_code == 200


def test_zero_filters_are_off(paper: Paper, key: str) -> None:
    price = float(paper.public("/api/v3/ticker/price", symbol="OPENUSDT").json()["price"])
    answer = paper.order(
        api_key=key,
        **LIMIT | {"symbol": "OPENUSDT", "quantity": "100", "price": f"{price * 0.9:.8f}"},
    )
    assert answer.status_code == 200, answer.text


def test_an_order_test_checks_and_places_nothing(paper: Paper, key: str) -> None:
    def test(**order: Any) -> Any:
        return paper.signed("POST", "/api/v3/order/test", key, symbol="BTCUSDT", **order)

    assert test(**MARKET).json() == {}
    assert test(**(MARKET | {"quantity": "0.00005"})).json()["code"] == -1013
    assert paper.books(key)["orders"] == []
