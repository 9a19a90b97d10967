"""Fills as a fault has them: in part, in a thousand trades, or just before a cancel; and by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.paper.faulting import FUTURES, LIMIT, MARKET, SPOT, off, send, stand, switch
from tests.support.paper import Paper

D = Decimal


def get(paper: Paper, key: str, path: str, **wanted: Any) -> Any:
    return paper.signed("GET", path, key, symbol="BTCUSDT", **wanted).json()


def test_a_market_order_ends_expired_with_a_part(paper: Paper, key: str) -> None:
    switch(paper, "fill_partly", share=0.4, market="spot")
    order = send(paper, key).json()
    assert (order["status"], order["executedQty"]) == ("EXPIRED", "0.00200000")
    assert order["expiryReason"] == "INSUFFICIENT_LIQUIDITY"
    balances = paper.books(key)["balances"]
    assert balances["USDT"]["locked"] == "0.00000000"
    assert D(balances["BTC"]["free"]) == 1 + D("0.002") - D("0.000002")
    assert send(paper, key).json()["status"] == "FILLED"


def test_a_resting_order_stays_partly_filled_until_the_fault_is_off(paper: Paper, key: str) -> None:
    stand(paper)
    order_id = send(paper, key, **LIMIT).json()["orderId"]
    switch(paper, "fill_partly", share=0.5, apiKey=key)
    stand(paper, "59000")

    def state() -> tuple[str, str]:
        order = get(paper, key, SPOT, orderId=order_id)
        return order["status"], order["executedQty"]

    assert state() == ("PARTIALLY_FILLED", "0.00500000")
    assert state() == ("PARTIALLY_FILLED", "0.00500000")
    off(paper)
    paper.control("/paper/clock", {"offset_ms": 1000})
    assert state() == ("FILLED", "0.01000000")
    assert len(get(paper, key, "/api/v3/myTrades", orderId=order_id)) == 2


def test_a_limit_order_that_takes_stays_partly_filled_and_can_be_cancelled(paper: Paper, key: str) -> None:
    stand(paper)
    switch(paper, "fill_partly", share=0.3)
    order = send(paper, key, **{**LIMIT, "price": "63000"}).json()
    assert (order["status"], order["executedQty"]) == ("PARTIALLY_FILLED", "0.00300000")
    asked = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    gone = paper.signed("DELETE", SPOT, key, **asked).json()
    assert (gone["status"], gone["executedQty"]) == ("CANCELED", "0.00300000")
    assert paper.books(key)["balances"]["USDT"]["locked"] == "0.00000000"


def test_a_thousand_trades_of_one_order_and_their_pages(paper: Paper, key: str) -> None:
    stand(paper)
    switch(paper, "fill_in_parts", parts=1000)
    order = send(paper, key, quantity="0.02").json()
    assert (order["status"], len(order["fills"])) == ("FILLED", 1000)
    assert sum(D(one["qty"]) for one in order["fills"]) == D("0.02")
    page = get(paper, key, "/api/v3/myTrades", orderId=order["orderId"], limit=1000)
    assert [one["id"] for one in page] == [one["tradeId"] for one in order["fills"]]
    first = page[0]["id"]
    pages = [get(paper, key, "/api/v3/myTrades", fromId=first + step, limit=400) for step in (0, 400, 800)]
    assert [len(one) for one in pages] == [400, 400, 200]
    commission = sum(D(one["commission"]) for one in page)
    assert D(paper.books(key)["balances"]["BTC"]["free"]) == 1 + D("0.02") - commission


def test_more_parts_than_lots_are_as_many_as_lots(paper: Paper, key: str) -> None:
    stand(paper)
    switch(paper, "fill_in_parts", parts=1000)
    order = send(paper, key, quantity="0.0005").json()
    assert (order["status"], len(order["fills"])) == ("FILLED", 50)


@pytest.mark.parametrize(
    ("share", "status", "executed", "answer"),
    [(1, "FILLED", "0.01000000", -2011), (0.25, "CANCELED", "0.00250000", None)],
)
def test_a_fill_comes_just_before_the_cancel(
    paper: Paper, key: str, share: float, status: str, executed: str, answer: int | None
) -> None:
    stand(paper)
    order_id = send(paper, key, **LIMIT).json()["orderId"]
    switch(paper, "cancel_races_fill", share=share)
    asked = {"symbol": "BTCUSDT", "orderId": order_id}
    assert paper.signed("DELETE", SPOT, key, **asked).json().get("code") == answer
    order = get(paper, key, SPOT, orderId=order_id)
    assert (order["status"], order["executedQty"]) == (status, executed)
    [trade] = get(paper, key, "/api/v3/myTrades", orderId=order_id)
    assert (trade["qty"], trade["price"]) == (executed, "60000.00000000")


def test_the_cancel_of_a_list_races_the_fill_of_its_target(paper: Paper, key: str) -> None:
    stand(paper)
    pair = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.01",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "66000",
        "belowType": "STOP_LOSS",
        "belowStopPrice": "59000",
        "listClientOrderId": "list",
    }
    assert paper.signed("POST", "/api/v3/orderList/oco", key, **pair).status_code == 200
    switch(paper, "cancel_races_fill")
    answer = paper.signed("DELETE", "/api/v3/orderList", key, symbol="BTCUSDT", listClientOrderId="list")
    assert answer.json()["code"] == -2011
    stop, target = paper.books(key)["orders"]
    assert (stop["status"], target["status"]) == ("EXPIRED", "FILLED")
    assert paper.books(key)["balances"]["BTC"] == {"free": "0.99000000", "locked": "0.00000000"}


def test_a_triggered_stop_is_filled_in_part(paper: Paper, key: str) -> None:
    stand(paper)
    stop = {"side": "SELL", "type": "STOP_LOSS", "stopPrice": "61000", "newClientOrderId": "stop"}
    assert send(paper, key, **stop).status_code == 200
    switch(paper, "fill_partly", type="STOP_LOSS", share=0.6)
    stand(paper, "60900")
    order = get(paper, key, SPOT, origClientOrderId="stop")
    assert (order["status"], order["executedQty"]) == ("EXPIRED", "0.00300000")
    assert paper.books(key)["balances"]["BTC"]["locked"] == "0.00000000"


# -- futures


def test_a_futures_market_order_ends_expired_with_a_part(paper: Paper, key: str) -> None:
    switch(paper, "fill_partly", share=0.5, market="futures")
    order = send(paper, key, FUTURES, newOrderRespType="RESULT", quantity="0.004").json()
    assert (order["status"], order["executedQty"]) == ("EXPIRED", "0.002")
    assert paper.books(key)["futures"]["positions"][0]["positionAmt"] == "0.002"


def test_a_futures_cancel_races_a_fill(paper: Paper, key: str) -> None:
    stand(paper)
    order_id = send(paper, key, FUTURES, **LIMIT).json()["orderId"]
    switch(paper, "cancel_races_fill", market="futures")
    asked = {"symbol": "BTCUSDT", "orderId": order_id}
    assert paper.signed("DELETE", FUTURES, key, **asked).json()["code"] == -2011
    assert get(paper, key, FUTURES, orderId=order_id)["status"] == "FILLED"


def test_a_futures_stop_is_filled_in_part_and_its_conditional_order_is_finished(
    paper: Paper, key: str
) -> None:
    stand(paper)
    send(paper, key, FUTURES, quantity="0.004")
    stop = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "algoType": "CONDITIONAL",
        "type": "STOP_MARKET",
        "triggerPrice": "61000",
        "quantity": "0.004",
        "reduceOnly": "true",
        "clientAlgoId": "stop",
    }
    assert paper.signed("POST", "/fapi/v1/algoOrder", key, **stop).status_code == 200
    switch(paper, "fill_partly", share=0.5, market="futures", side="SELL")
    stand(paper, "60900")
    algo = paper.signed("GET", "/fapi/v1/algoOrder", key, clientAlgoId="stop").json()
    assert (algo["algoStatus"], algo["actualQty"]) == ("FINISHED", "0.002")
    order = get(paper, key, FUTURES, orderId=algo["actualOrderId"])
    assert (order["status"], order["executedQty"]) == ("EXPIRED", "0.002")
    assert paper.books(key)["futures"]["positions"][0]["positionAmt"] == "0.002"


def test_a_futures_order_in_many_trades(paper: Paper, key: str) -> None:
    stand(paper)
    switch(paper, "fill_in_parts", parts=20, market="futures")
    order_id = send(paper, key, FUTURES, quantity="0.02").json()["orderId"]
    trades = get(paper, key, "/fapi/v1/userTrades", orderId=order_id)
    assert len(trades) == 20
    assert sum(D(one["qty"]) for one in trades) == D("0.02")


# -- by hand


def test_money_comes_and_goes_by_hand(paper: Paper, key: str) -> None:
    body = {"apiKey": key, "asset": "BTC", "amount": "0.25"}
    assert paper.control("/paper/deposit", body)["free"] == "1.25000000"
    assert paper.control("/paper/withdraw", body)["free"] == "1.00000000"
    for wrong in (
        {"amount": "5"},
        {"amount": "0"},
        {"amount": "NaN"},
        {"asset": "NOPE"},
        {"apiKey": "nobody"},
    ):
        answer = paper.session.post(f"{paper.url}/paper/withdraw", json=body | wrong, timeout=10)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]


def test_orders_are_made_filled_and_cancelled_by_hand(paper: Paper, key: str) -> None:
    stand(paper)
    made = paper.control("/paper/order", {"apiKey": key, **MARKET, "side": "SELL"})
    assert (made["status"], made["clientOrderId"][:4]) == ("FILLED", "web_")
    resting = paper.control("/paper/order", {"apiKey": key, **LIMIT})
    named = {"apiKey": key, "symbol": "BTCUSDT", "orderId": resting["orderId"]}
    part = paper.control("/paper/fill", {**named, "quantity": "0.004"})
    assert (part["status"], part["executedQty"]) == ("PARTIALLY_FILLED", "0.00400000")
    [gone] = paper.control("/paper/cancel", named)["cancelled"]
    assert (gone["status"], gone["executedQty"]) == ("CANCELED", "0.00400000")
    for path, wrong in (("order", {**LIMIT, "price": "0"}), ("cancel", {}), ("fill", {"symbol": "BTCUSDT"})):
        answer = paper.session.post(f"{paper.url}/paper/{path}", json={"apiKey": key, **wrong}, timeout=10)
        assert answer.status_code == 400, answer.text


def test_futures_are_opened_changed_and_cancelled_by_hand(paper: Paper, key: str) -> None:
    stand(paper)
    opened = paper.control("/paper/futures/order", {"apiKey": key, **MARKET})
    assert opened["status"] == "FILLED"
    stop = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "algoType": "CONDITIONAL",
        "type": "STOP_MARKET",
        "triggerPrice": "61000",
        "closePosition": True,
    }
    algo = paper.control("/paper/futures/order", {"apiKey": key, **stop})
    assert algo["algoStatus"] == "NEW"
    named = {"apiKey": key, "symbol": "BTCUSDT"}
    cancelled = paper.control("/paper/futures/cancel", {**named, "algoId": algo["algoId"]})
    assert cancelled["algoStatus"] == "CANCELED"
    resting = paper.control("/paper/futures/order", {"apiKey": key, **LIMIT})
    filled = paper.control(
        "/paper/futures/fill", {**named, "clientOrderId": resting["clientOrderId"], "quantity": "0.005"}
    )
    assert (filled["status"], filled["executedQty"]) == ("PARTIALLY_FILLED", "0.005")
    gone = paper.control("/paper/futures/cancel", {**named, "orderId": resting["orderId"]})
    assert gone["status"] == "CANCELED"
    assert paper.books(key)["futures"]["positions"][0]["positionAmt"] == "0.01"
