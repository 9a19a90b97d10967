"""Conditions and wrong market data: what is different as long as a fault is switched on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.paper.faulting import FUTURES, LIMIT, SPOT, off, send, stand, switch
from tests.support.paper import Paper


@pytest.mark.parametrize("status", ["BREAK", "HALT"])
def test_a_halted_symbol_refuses_and_resumes(paper: Paper, key: str, status: str) -> None:
    switch(paper, "halt", symbol="BTCUSDT", status=status)

    def shown() -> str:
        body = paper.public("/api/v3/exchangeInfo", symbol="BTCUSDT").json()
        return str(body["symbols"][0]["status"])

    assert shown() == status
    assert send(paper, key).json() == {"code": -2010, "msg": "Market is closed."}
    assert send(paper, key, FUTURES).json()["code"] == -4140
    assert send(paper, key, symbol="ETHUSDT").status_code == 200
    off(paper)
    assert shown() == "TRADING"
    assert send(paper, key).status_code == 200


def test_nothing_fills_while_a_symbol_is_halted(paper: Paper, key: str) -> None:
    stand(paper)
    order_id = send(paper, key, **LIMIT).json()["orderId"]
    switch(paper, "halt", symbol="BTCUSDT")
    stand(paper, "59000")
    stand(paper, "61000")
    off(paper)
    asked = {"symbol": "BTCUSDT", "orderId": order_id}
    assert paper.signed("GET", SPOT, key, **asked).json()["status"] == "NEW"


def test_an_empty_book_expires_market_orders(paper: Paper, key: str) -> None:
    switch(paper, "empty_book", symbol="BTCUSDT")
    order = send(paper, key).json()
    assert (order["status"], order["executedQty"], order["fills"]) == ("EXPIRED", "0.00000000", [])
    assert order["expiryReason"] == "INSUFFICIENT_LIQUIDITY"
    by_money = send(paper, key, quantity=None, quoteOrderQty="100")
    assert by_money.json()["code"] == -2010
    assert paper.public("/api/v3/depth", symbol="BTCUSDT").json()["bids"] == []
    assert send(paper, key, FUTURES).status_code == 200


def test_maintenance_is_everything_at_once(paper: Paper, key: str) -> None:
    switch(paper, "maintenance")
    assert paper.public("/sapi/v1/system/status").json()["status"] == 1
    infos = paper.public("/api/v3/exchangeInfo").json()["symbols"]
    assert {one["status"] for one in infos} == {"BREAK"}
    assert send(paper, key, symbol="ETHUSDT").json()["msg"] == "Market is closed."
    off(paper)
    assert paper.public("/sapi/v1/system/status").json() == {"status": 0, "msg": "normal"}
    assert send(paper, key, symbol="ETHUSDT").status_code == 200


def test_a_thin_book_is_taken_in_many_levels(paper: Paper, key: str) -> None:
    switch(paper, "thin_book", symbol="BTCUSDT", quote=10)
    assert len(send(paper, key, quantity="0.01").json()["fills"]) > 3


def test_a_delisted_symbol_is_gone_and_its_orders_and_positions_ended(paper: Paper, key: str) -> None:
    stand(paper)
    send(paper, key, **LIMIT)
    send(paper, key, FUTURES)
    switch(paper, "delisted", symbol="BTCUSDT")
    for path in ("/api/v3/exchangeInfo", "/fapi/v1/exchangeInfo"):
        assert "BTCUSDT" not in [one["symbol"] for one in paper.public(path).json()["symbols"]]
    prices = [one["symbol"] for one in paper.public("/api/v3/ticker/price").json()]
    assert "BTCUSDT" not in prices
    assert send(paper, key).json() == {"code": -1121, "msg": "Invalid symbol."}
    assert send(paper, key, FUTURES).json()["code"] == -1121
    books = paper.books(key)
    [order] = books["orders"]
    assert (order["status"], order["expiryReason"]) == ("EXPIRED", "EXCHANGE_CANCELED")
    settled = books["futures"]["orders"][-1]
    assert settled["clientOrderId"] == f"settlement_autoclose-{settled['orderId']}"
    assert [one["positionAmt"] for one in books["futures"]["positions"]] == ["0"]
    off(paper)
    assert send(paper, key).status_code == 200


def test_filters_change_and_change_back(paper: Paper, key: str) -> None:
    changes = {"LOT_SIZE": {"stepSize": "0.001", "minQty": "0.001"}, "NOTIONAL": {"minNotional": 1000}}

    def lot() -> str:
        body = paper.public("/api/v3/exchangeInfo", symbol="BTCUSDT").json()
        rows = {one["filterType"]: one for one in body["symbols"][0]["filters"]}
        return str(rows["LOT_SIZE"]["stepSize"])

    before = lot()
    switch(paper, "filters", symbol="BTCUSDT", market="spot", filters=changes)
    assert lot() == "0.001"
    assert send(paper, key, quantity="0.0205").json()["msg"] == "Filter failure: LOT_SIZE"
    assert send(paper, key).json()["msg"] == "Filter failure: NOTIONAL"
    assert send(paper, key, quantity="0.02").status_code == 200
    off(paper)
    assert lot() == before
    assert send(paper, key, quantity="0.0205").status_code == 200


def test_futures_filters_change_too(paper: Paper, key: str) -> None:
    switch(
        paper, "filters", symbol="BTCUSDT", market="futures", filters={"MIN_NOTIONAL": {"notional": "900"}}
    )
    assert send(paper, key, FUTURES).json()["code"] == -4164
    assert send(paper, key).status_code == 200


@pytest.mark.parametrize(
    ("filters", "failure"),
    [
        ({"MAX_POSITION": {"maxPosition": "1"}}, "MAX_POSITION"),
        (
            {"PERCENT_PRICE": {"multiplierUp": "0.5", "multiplierDown": "0.4", "avgPriceMins": 5}},
            "PERCENT_PRICE",
        ),
        ({"MIN_NOTIONAL": {"minNotional": "5000", "applyToMarket": True}, "NOTIONAL": None}, "MIN_NOTIONAL"),
        ({"MAX_NUM_ORDERS": {"maxNumOrders": 0}}, "MAX_NUM_ORDERS"),
    ],
)
def test_filters_that_no_symbol_has_by_itself(
    paper: Paper, key: str, filters: dict[str, Any], failure: str
) -> None:
    stand(paper)
    switch(paper, "filters", symbol="BTCUSDT", market="spot", filters=filters)
    assert send(paper, key, **LIMIT).json() == {"code": -1013, "msg": f"Filter failure: {failure}"}


def test_a_clock_is_off_and_drifts_until_it_is_switched_off(paper: Paper, key: str) -> None:
    def ahead() -> int:
        return int(paper.public("/api/v3/time").json()["serverTime"]) - time.time_ns() // 1_000_000

    switch(paper, "clock", offset_ms=-7000)
    assert -7500 < ahead() < -6500
    late = send(paper, key, timestamp=time.time_ns() // 1_000_000)
    assert late.json()["code"] == -1021
    off(paper)
    assert abs(ahead()) < 500
    switch(paper, "clock", drift_ms_per_minute=60_000)  # twice as fast
    first, deadline = ahead(), time.monotonic() + 10
    while ahead() < first + 200:
        assert time.monotonic() < deadline
    off(paper)
    assert abs(ahead()) < 500


# -- market data (M1)


@pytest.mark.parametrize(
    ("what", "check"),
    [
        ("gap", lambda rows, good: len(rows) == len(good) - 1),
        ("duplicate", lambda rows, good: rows[-1] == rows[-2]),
        ("disorder", lambda rows, good: rows[-1][0] < rows[0][0]),
        ("stale", lambda rows, good: rows == good[:-10]),
        ("empty", lambda rows, good: rows == []),
        ("nan", lambda rows, good: rows[-2][1:5] == ["NaN"] * 4),
        ("negative", lambda rows, good: rows[-2][4] == "-1.00000000"),
        ("thousandfold", lambda rows, good: float(rows[-2][4]) == pytest.approx(1000 * float(good[-2][4]))),
    ],
)
def test_candles_are_wrong(paper: Paper, what: str, check: Any) -> None:
    end = paper.now_ms() - 10 * 60_000

    def klines(symbol: str = "BTCUSDT") -> Any:
        return paper.public("/api/v3/klines", symbol=symbol, interval="1m", limit=50, endTime=end).json()

    good = klines()
    switch(paper, "bad_klines", what=what, symbol="BTCUSDT")
    other = klines("ETHUSDT")
    assert len(other) == 50
    assert check(klines(), good)
    assert klines() == good


@pytest.mark.parametrize(("what", "price"), [("nan", "NaN"), ("zero", "0.00000000"), ("thousandfold", None)])
def test_prices_are_wrong(paper: Paper, what: str, price: str | None) -> None:
    stand(paper)
    switch(paper, "bad_prices", what=what, symbol="BTCUSDT", count=2)
    [wrong] = [one for one in paper.public("/api/v3/ticker/price").json() if one["symbol"] == "BTCUSDT"]
    assert wrong["price"] == (price or "62000000.00000000")
    assert paper.public("/api/v3/ticker/price", symbol="BTCUSDT").json() == wrong
    assert paper.public("/api/v3/ticker/price", symbol="BTCUSDT").json()["price"] == "62000.00000000"
