"""Answers of the order, account and trade endpoints: shapes, lookups, paging."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.support.paper import Paper

LIMIT = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "60000"}
ACK = {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
RESULT = ACK | {
    "price",
    "origQty",
    "executedQty",
    "origQuoteOrderQty",
    "cummulativeQuoteQty",
    "status",
    "timeInForce",
    "type",
    "side",
    "workingTime",
    "selfTradePreventionMode",
}


@pytest.fixture(autouse=True)
def steady_price(paper: Paper) -> None:
    """At 70,000, with 750 to 5,250 USDT on the best level: 0.01 BTC is one fill, 0.1 BTC several."""
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": 70_000})
    paper.control("/paper/symbols/BTCUSDT", {"levelQuote": 3000})


def place(paper: Paper, key: str, **order: Any) -> dict[str, Any]:
    answer = paper.order(api_key=key, **{"symbol": "BTCUSDT", **order})
    assert answer.status_code == 200, answer.text
    return answer.json()


def market(paper: Paper, key: str, **order: Any) -> dict[str, Any]:
    return place(paper, key, **{"side": "BUY", "type": "MARKET", "quantity": "0.01", **order})


def stop(paper: Paper, key: str, **order: Any) -> dict[str, Any]:
    wanted = {"side": "SELL", "type": "STOP_LOSS_LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    return place(paper, key, **wanted, price="59000", stopPrice="60000", **order)


def get(paper: Paper, key: str, path: str, **params: Any) -> Any:
    return paper.signed("GET", f"/api/v3/{path}", key, **params).json()


def test_each_type_has_its_default_response(paper: Paper, key: str) -> None:
    assert set(market(paper, key)) == RESULT | {"fills"}
    assert set(place(paper, key, **LIMIT)) == RESULT | {"fills"}
    assert set(stop(paper, key)) == ACK
    assert set(market(paper, key, newOrderRespType="RESULT")) == RESULT
    assert set(market(paper, key, newOrderRespType="ACK")) == ACK
    assert set(stop(paper, key, newOrderRespType="FULL")) == RESULT | {"fills", "stopPrice"}


def test_the_fills_of_the_answer_are_those_of_my_trades(paper: Paper, key: str) -> None:
    order = market(paper, key, quantity="0.1", newClientOrderId="tb1-abc123-1-1")
    trades = get(paper, key, "myTrades", symbol="BTCUSDT", orderId=order["orderId"])
    assert len(trades) == len(order["fills"]) > 1
    for fill, trade in zip(order["fills"], trades, strict=True):
        assert fill["tradeId"] == trade["id"]
        assert {name: fill[name] for name in ("price", "qty", "commission", "commissionAsset")} == {
            name: trade[name] for name in ("price", "qty", "commission", "commissionAsset")
        }
        assert Decimal(trade["quoteQty"]) == Decimal(trade["price"]) * Decimal(trade["qty"])
        assert (trade["isBuyer"], trade["isMaker"]) == (True, False)
    assert sum(Decimal(t["quoteQty"]) for t in trades) == Decimal(order["cummulativeQuoteQty"])
    account = get(paper, key, "account", omitZeroBalances="true")
    free = {row["asset"]: Decimal(row["free"]) for row in account["balances"]}
    assert free["USDT"] == 10_000 - Decimal(order["cummulativeQuoteQty"])
    assert free["BTC"] == 1 + sum(Decimal(t["qty"]) - Decimal(t["commission"]) for t in trades)


def test_an_order_is_found_by_either_id_and_both_must_agree(paper: Paper, key: str) -> None:
    order = market(paper, key, newClientOrderId="mine")
    by_client = get(paper, key, "order", symbol="BTCUSDT", origClientOrderId="mine")
    assert by_client == get(paper, key, "order", symbol="BTCUSDT", orderId=order["orderId"])
    assert by_client["status"] == "FILLED"
    assert by_client["price"] == "0.00000000"
    both = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    assert get(paper, key, "order", **both, origClientOrderId="mine") == by_client
    assert get(paper, key, "order", **both, origClientOrderId="other")["code"] == -2039
    assert get(paper, key, "order", symbol="BTCUSDT", origClientOrderId="other")["code"] == -2013
    assert get(paper, key, "order", symbol="ETHUSDT", origClientOrderId="mine")["code"] == -2013
    assert get(paper, key, "order", symbol="BTCUSDT")["code"] == -1102
    assert get(paper, "paper-stranger", "order", **both)["code"] == -2013


def test_a_cancel_has_an_id_of_its_own_and_works_once(paper: Paper, key: str) -> None:
    place(paper, key, **LIMIT, newClientOrderId="rest")
    assert [order["clientOrderId"] for order in get(paper, key, "openOrders")] == ["rest"]
    wanted = {"symbol": "BTCUSDT", "origClientOrderId": "rest"}
    partly = paper.signed(
        "DELETE", "/api/v3/order", key, **wanted, cancelRestrictions="ONLY_PARTIALLY_FILLED"
    )
    assert partly.json()["code"] == -2011
    report = paper.signed("DELETE", "/api/v3/order", key, **wanted, newClientOrderId="away").json()
    assert (report["status"], report["origClientOrderId"], report["clientOrderId"]) == (
        "CANCELED",
        "rest",
        "away",
    )
    again = paper.signed("DELETE", "/api/v3/order", key, **wanted)
    assert (again.status_code, again.json()) == (400, {"code": -2011, "msg": "Unknown order sent."})
    assert get(paper, key, "openOrders", symbol="BTCUSDT") == []
    assert get(paper, key, "order", **wanted)["status"] == "CANCELED"


def test_cancelling_everything_of_a_symbol(paper: Paper, key: str) -> None:
    for _ in range(3):
        place(paper, key, **LIMIT)
    reports = paper.signed("DELETE", "/api/v3/openOrders", key, symbol="BTCUSDT").json()
    assert [report["status"] for report in reports] == ["CANCELED"] * 3
    again = paper.signed("DELETE", "/api/v3/openOrders", key, symbol="BTCUSDT").json()
    assert again["code"] == -2011


def test_an_oco_by_above_and_below(paper: Paper, key: str) -> None:
    pair = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.5",
        "listClientOrderId": "pair",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "75000",
        "aboveClientOrderId": "pair-t",
        "belowType": "STOP_LOSS_LIMIT",
        "belowStopPrice": "65000",
        "belowPrice": "64000",
        "belowTimeInForce": "GTC",
        "belowClientOrderId": "pair-s",
    }
    made = paper.signed("POST", "/api/v3/orderList/oco", key, **pair).json()
    assert (made["contingencyType"], made["listOrderStatus"]) == ("OCO", "EXECUTING")
    reports = {report["clientOrderId"]: report for report in made["orderReports"]}
    assert reports["pair-t"]["type"] == "LIMIT_MAKER"
    assert reports["pair-s"]["stopPrice"] == "65000.00000000"
    assert reports["pair-s"]["workingTime"] == -1
    account = get(paper, key, "account", omitZeroBalances="true")
    assert {"asset": "BTC", "free": "0.50000000", "locked": "0.50000000"} in account["balances"]
    duplicate = paper.signed("POST", "/api/v3/orderList/oco", key, **pair).json()
    assert duplicate == {"code": -2010, "msg": "Duplicate order sent."}
    asked = get(paper, key, "orderList", origClientOrderId="pair")
    assert asked["orderListId"] == made["orderListId"]

    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": 64_500})
    orders = {order["clientOrderId"]: order for order in get(paper, key, "allOrders", symbol="BTCUSDT")}
    assert (orders["pair-s"]["status"], orders["pair-t"]["status"]) == ("FILLED", "EXPIRED")
    assert get(paper, key, "orderList", origClientOrderId="pair")["listOrderStatus"] == "ALL_DONE"
    gone = paper.signed("DELETE", "/api/v3/orderList", key, symbol="BTCUSDT", listClientOrderId="pair").json()
    assert gone["code"] == -2011


def test_cancelling_an_order_list(paper: Paper, key: str) -> None:
    pair = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.5",
        "listClientOrderId": "pair",
        "aboveType": "TAKE_PROFIT",
        "aboveStopPrice": "75000",
        "belowType": "STOP_LOSS",
        "belowStopPrice": "65000",
    }
    assert paper.signed("POST", "/api/v3/orderList/oco", key, **pair).status_code == 200
    report = paper.signed(
        "DELETE", "/api/v3/orderList", key, symbol="BTCUSDT", listClientOrderId="pair"
    ).json()
    assert report["listOrderStatus"] == "ALL_DONE"
    assert [leg["status"] for leg in report["orderReports"]] == ["CANCELED", "CANCELED"]
    assert paper.books(key)["balances"]["BTC"] == {"free": "1.00000000", "locked": "0.00000000"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"abovePrice": "69000"}, -2010),
        ({"belowStopPrice": "71000"}, -2010),
        ({"aboveType": "LIMIT"}, -1158),
        ({"aboveType": "STOP_LOSS", "abovePrice": None, "aboveStopPrice": "75000"}, -1158),
        ({"belowTimeInForce": None}, -1102),
        ({"quantity": "2"}, -2010),
        ({"quantity": "0.00001"}, -1013),
        ({"stopLimitPrice": "1"}, -1104),
    ],
)
def test_a_wrong_oco_changes_nothing(paper: Paper, key: str, changes: dict[str, Any], code: int) -> None:
    pair = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.5",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "75000",
        "belowType": "STOP_LOSS_LIMIT",
        "belowStopPrice": "65000",
        "belowPrice": "64000",
        "belowTimeInForce": "GTC",
    }
    answer = paper.signed("POST", "/api/v3/orderList/oco", key, **(pair | changes))
    assert answer.json()["code"] == code
    books = paper.books(key)
    assert (books["orders"], books["orderLists"]) == ([], [])
    assert books["balances"]["BTC"]["locked"] == "0.00000000"


def test_trades_are_paged_by_id_and_windowed_by_time(paper: Paper, key: str) -> None:
    for _ in range(4):
        market(paper, key)
    trades = get(paper, key, "myTrades", symbol="BTCUSDT")
    assert len(trades) == 4
    ids = [trade["id"] for trade in trades]
    assert ids == sorted(ids)
    assert get(paper, key, "myTrades", symbol="BTCUSDT", fromId=ids[1], limit=2) == trades[1:3]
    assert get(paper, key, "myTrades", symbol="BTCUSDT", limit=1) == trades[-1:]
    start = trades[0]["time"]
    window = {"symbol": "BTCUSDT", "startTime": start, "endTime": start + 86_400_000}
    assert get(paper, key, "myTrades", **window) == trades
    assert get(paper, key, "myTrades", **(window | {"endTime": start + 86_400_001}))["code"] == -1127
    assert get(paper, key, "myTrades", **window, orderId=1)["code"] == -1128
    assert get(paper, key, "myTrades", symbol="ETHUSDT") == []


def test_all_orders_from_an_id_or_a_time(paper: Paper, key: str) -> None:
    ids = [market(paper, key)["orderId"] for _ in range(3)]
    listed = get(paper, key, "allOrders", symbol="BTCUSDT")
    assert [order["orderId"] for order in listed] == ids
    from_second = get(paper, key, "allOrders", symbol="BTCUSDT", orderId=ids[1])
    assert [order["orderId"] for order in from_second] == ids[1:]
    assert get(paper, key, "allOrders", symbol="BTCUSDT", limit=1) == listed[-1:]
    assert get(paper, key, "allOrders", symbol="BTCUSDT", endTime=1) == []


def test_a_jump_triggers_a_resting_stop(paper: Paper, key: str) -> None:
    order = stop(paper, key, newClientOrderId="guard")
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": 59_500})
    found = get(paper, key, "order", symbol="BTCUSDT", orderId=order["orderId"])
    assert found["status"] == "FILLED"
    assert Decimal(found["cummulativeQuoteQty"]) < Decimal(595)


def test_a_halted_symbol_is_closed_and_opens_again(paper: Paper, key: str) -> None:
    paper.control("/paper/symbols/BTCUSDT", {"status": "BREAK"})
    answer = paper.order(api_key=key, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    assert answer.json() == {"code": -2010, "msg": "Market is closed."}
    info = paper.public("/api/v3/exchangeInfo", symbol="BTCUSDT").json()
    assert info["symbols"][0]["status"] == "BREAK"
    paper.control("/paper/symbols/BTCUSDT", {"status": "TRADING"})
    market(paper, key)


def test_the_books_show_orders_fills_and_money(paper: Paper, key: str) -> None:
    market(paper, key)
    place(paper, key, **LIMIT)
    books = paper.books(key)
    assert [order["status"] for order in books["orders"]] == ["FILLED", "NEW"]
    assert len(books["fills"]) == 1
    assert books["balances"]["USDT"]["locked"] == "600.00000000"
    assert key in [one["apiKey"] for one in paper.control("/paper/books")["accounts"]]
    assert "secret" not in str(books).lower()


def test_a_part_fill_can_be_cancelled_with_what_it_got(paper: Paper, key: str) -> None:
    paper.control("/paper/symbols/BTCUSDT", {"levelQuote": 100, "matchResting": False})
    price = paper.public("/api/v3/ticker/bookTicker", symbol="BTCUSDT").json()["askPrice"]
    order = place(paper, key, **(LIMIT | {"price": price, "quantity": "0.05"}))
    assert order["status"] == "PARTIALLY_FILLED"
    report = paper.signed("DELETE", "/api/v3/order", key, symbol="BTCUSDT", orderId=order["orderId"]).json()
    assert (report["status"], report["executedQty"]) == ("CANCELED", order["executedQty"])
    balances = paper.books(key)["balances"]
    assert balances["USDT"]["locked"] == "0.00000000"
    assert Decimal(balances["USDT"]["free"]) == 10_000 - Decimal(order["cummulativeQuoteQty"])
