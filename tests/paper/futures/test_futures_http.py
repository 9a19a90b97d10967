"""Futures orders over HTTP: shapes and codes, of orders and of conditional orders; one shared process."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.paper.futures.asking import BTC, LIMIT, MARKET, ask, code, shape
from tests.support.paper import Paper

pytestmark = pytest.mark.usefixtures("steady")
STOP = {**BTC, "algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "triggerPrice": "65000"}


def test_the_public_endpoints_answer(paper: Paper) -> None:
    def get(path: str, **params: Any) -> Any:
        answer = paper.public(f"/fapi/{path}", **params)
        assert answer.status_code == 200, answer.text
        assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) > 0
        return answer.json()

    assert get("v1/ping") == {}
    assert set(get("v1/time")) == {"serverTime"}
    assert set(get("v2/ticker/price", **BTC)) == {"symbol", "price", "time"}
    assert get("v1/ticker/price", **BTC)["price"] == "70000.00000000"
    assert get("v1/ticker/bookTicker", **BTC)["bidPrice"] == "69996.50"
    depth = get("v1/depth", **BTC, limit=5)
    assert [len(depth[side]) for side in ("bids", "asks")] == [5, 5]
    assert len(get("v1/klines", **BTC, interval="1h", limit=1500)) == 1500
    index = get("v1/premiumIndex", **BTC)
    assert shape("py_http_futures_market_premium_index.json") == set(index)
    assert (index["markPrice"], index["nextFundingTime"] % (8 * 3_600_000)) == ("70000.00000000", 0)
    rates = get("v1/fundingRate", **BTC, limit=3)
    assert [row["fundingTime"] for row in rates] == [
        index["nextFundingTime"] - hours * 3_600_000 for hours in (24, 16, 8)
    ]
    assert paper.public("/fapi/v1/klines", **BTC, interval="1s").json()["code"] == -1120
    assert paper.public("/fapi/v1/depth", symbol="NOUSDT").json()["code"] == -1121


def test_exchange_info_has_todays_shape(paper: Paper) -> None:
    info = paper.public("/fapi/v1/exchangeInfo").json()
    assert [(row["rateLimitType"], row["limit"]) for row in info["rateLimits"]] == [
        ("REQUEST_WEIGHT", 2400),
        ("ORDERS", 1200),
        ("ORDERS", 300),
    ]
    symbols = {row["symbol"]: row for row in info["symbols"]}
    btc, dated = symbols["BTCUSDT"], symbols["BTCUSDT_301227"]
    assert [row["filterType"] for row in btc["filters"]] == [
        "PRICE_FILTER",
        "LOT_SIZE",
        "MARKET_LOT_SIZE",
        "MAX_NUM_ORDERS",
        "MIN_NOTIONAL",
        "PERCENT_PRICE",
        "POSITION_RISK_CONTROL",
    ]
    assert (btc["contractType"], dated["contractType"]) == ("PERPETUAL", "CURRENT_QUARTER")
    assert (dated["pair"], dated["deliveryDate"] < btc["deliveryDate"]) == ("BTCUSDT", True)
    assert btc["pricePrecision"] != -Decimal(btc["filters"][0]["tickSize"]).as_tuple().exponent
    assert symbols["LUNAUSDT"]["status"] == "SETTLING"
    assert "ETHBTC" not in symbols
    assert "币安人生USDT" in symbols


def test_an_order_is_acknowledged_or_shown(paper: Paper, key: str) -> None:
    ack = ask(paper, key, "POST", "v1/order", **MARKET)
    assert (ack["status"], ack["executedQty"], ack["avgPrice"]) == ("NEW", "0", "0.00")
    result = ask(paper, key, "POST", "v1/order", **MARKET, newOrderRespType="RESULT")
    assert (result["status"], result["executedQty"], result["avgPrice"]) == (
        "FILLED",
        "0.01",
        "70003.50000000",
    )
    assert shape("rs_fut_order_response.json") - set(result) == {"time"}
    assert "fills" not in result
    found = ask(paper, key, "GET", "v1/order", **BTC, orderId=ack["orderId"])
    assert shape("rs_fut_order_response.json") == set(found)
    assert (found["status"], found["clientOrderId"]) == ("FILLED", ack["clientOrderId"])


def test_the_fills_come_from_user_trades(paper: Paper, key: str) -> None:
    orders = [ask(paper, key, "POST", "v1/order", **MARKET) for _ in range(3)]
    trades = ask(paper, key, "GET", "v1/userTrades", **BTC)
    assert shape("py_http_futures_account_trades.json") == set(trades[0])
    assert [trade["orderId"] for trade in trades] == [order["orderId"] for order in orders]
    second = trades[1]
    assert ask(paper, key, "GET", "v1/userTrades", **BTC, orderId=second["orderId"]) == [second]
    assert ask(paper, key, "GET", "v1/userTrades", **BTC, fromId=second["id"]) == trades[1:]
    assert ask(paper, key, "GET", "v1/userTrades", **BTC, limit=1) == trades[-1:]
    start = trades[0]["time"]
    assert ask(paper, key, "GET", "v1/userTrades", **BTC, startTime=start, endTime=start + 60_000) == trades
    assert code(paper, key, "GET", "v1/userTrades", **BTC, startTime=1, endTime=7 * 86_400_000 + 2) == -4165
    assert code(paper, key, "GET", "v1/userTrades", **BTC, startTime=2, endTime=1) == -1023
    assert code(paper, key, "GET", "v1/userTrades", **BTC, startTime=1, fromId=1) == -1128
    assert ask(paper, key, "GET", "v1/userTrades", symbol="ETHUSDT") == []


def test_income_is_the_history_of_the_wallet(paper: Paper, key: str) -> None:
    ask(paper, key, "POST", "v1/order", **MARKET)
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": 71_000})
    ask(paper, key, "POST", "v1/order", **(MARKET | {"side": "SELL"}), reduceOnly="true")
    rows = ask(paper, key, "GET", "v1/income")
    kinds = ["TRANSFER", "COMMISSION", "REALIZED_PNL", "COMMISSION"]
    assert [row["incomeType"] for row in rows] == kinds
    assert len({row["tranId"] for row in rows}) == 4
    assert Decimal(rows[2]["income"]) == Decimal("9.92950000")  # 70,996.45 less 70,003.50 on 0.01
    [balance] = ask(paper, key, "GET", "v3/balance")
    assert Decimal(balance["balance"]) == sum(Decimal(row["income"]) for row in rows)
    only = ask(paper, key, "GET", "v1/income", incomeType="COMMISSION", startTime=1, limit=1)
    assert only == [rows[1]]
    assert ask(paper, key, "GET", "v1/income", incomeType="COMMISSION", startTime=1, limit=1, page=2) == [
        rows[3]
    ]


def test_open_orders_and_cancels(paper: Paper, key: str) -> None:
    first = ask(paper, key, "POST", "v1/order", **LIMIT, newClientOrderId="rest")
    assert code(paper, key, "POST", "v1/order", **LIMIT, newClientOrderId="rest") == -4116
    ask(paper, key, "POST", "v1/order", **LIMIT)
    assert len(ask(paper, key, "GET", "v1/openOrders")) == 2
    gone = ask(paper, key, "DELETE", "v1/order", **BTC, origClientOrderId="rest")
    assert (gone["status"], gone["orderId"], gone["clientOrderId"]) == ("CANCELED", first["orderId"], "rest")
    assert code(paper, key, "DELETE", "v1/order", **BTC, origClientOrderId="rest") == -2011
    assert code(paper, key, "DELETE", "v1/order", **BTC, origClientOrderId="never") == -2011
    assert code(paper, key, "GET", "v1/order", **BTC, origClientOrderId="never") == -2013
    assert code(paper, key, "GET", "v1/openOrder", **BTC, origClientOrderId="rest") == -2013
    assert ask(paper, key, "DELETE", "v1/allOpenOrders", **BTC)["code"] == 200
    assert ask(paper, key, "GET", "v1/openOrders", **BTC) == []
    assert [row["status"] for row in ask(paper, key, "GET", "v1/allOrders", **BTC)] == ["CANCELED"] * 2
    from_second = ask(paper, key, "GET", "v1/allOrders", **BTC, orderId=first["orderId"] + 1)
    assert len(from_second) == 1


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (MARKET | {"type": "STOP_MARKET", "stopPrice": "60000"}, -4120),
        (MARKET | {"type": "TAKE_PROFIT", "stopPrice": "1", "price": "1"}, -4120),
        (MARKET | {"type": "TRAILING_STOP_MARKET", "callbackRate": "1"}, -4120),
        (MARKET | {"type": "LIMIT_MAKER"}, -1116),
        (MARKET | {"positionSide": "LONG"}, -4061),
        (MARKET | {"positionSide": "NEITHER"}, -4060),
        (MARKET | {"closePosition": "true"}, -4136),
        (MARKET | {"reduceOnly": "true"}, -2022),
        (MARKET | {"reduceOnly": "perhaps"}, -1102),
        (MARKET | {"side": "HOLD"}, -1117),
        (MARKET | {"side": None}, -1102),
        (MARKET | {"quantity": None}, -1102),
        (MARKET | {"quantity": "0.0001"}, -1111),
        (MARKET | {"quantity": "0"}, -4003),
        (MARKET | {"quantity": "100000"}, -4005),
        (MARKET | {"quantity": "1e-3"}, -1100),
        (MARKET | {"quantity": "50"}, -2019),
        (MARKET | {"timeInForce": "GTC"}, -1114),
        (MARKET | {"price": "70000"}, -1106),
        (MARKET | {"newOrderRespType": "FULL"}, -1136),
        (MARKET | {"newClientOrderId": "x" * 37}, -4015),
        (MARKET | {"newClientOrderId": "no spaces"}, -1100),
        (MARKET | {"symbol": "NOUSDT"}, -1121),
        (MARKET | {"symbol": "LUNAUSDT"}, -4140),
        (LIMIT | {"price": None}, -1102),
        (LIMIT | {"timeInForce": None}, -1102),
        (LIMIT | {"timeInForce": "EVER"}, -1115),
        (LIMIT | {"quantity": "0.001", "price": "40000"}, -4164),
        (LIMIT | {"price": "80000"}, -4016),
    ],
)
def test_a_wrong_order_changes_nothing(paper: Paper, key: str, order: dict[str, Any], expected: int) -> None:
    assert code(paper, key, "POST", "v1/order", **order) == expected
    assert code(paper, key, "POST", "v1/order/test", **order) == expected
    books = paper.books(key)["futures"]
    assert (books["orders"], books["walletBalance"]) == ([], "10000.00000000")


def test_a_test_order_is_not_placed(paper: Paper, key: str) -> None:
    assert ask(paper, key, "POST", "v1/order/test", **MARKET)["status"] == "NEW"
    assert paper.books(key)["futures"]["orders"] == []


def test_a_batch_answers_each_order_for_itself(paper: Paper, key: str) -> None:
    wanted = [MARKET, MARKET | {"quantity": "0"}, LIMIT]
    answers = ask(paper, key, "POST", "v1/batchOrders", batchOrders=json.dumps(wanted))
    assert [answer.get("code") for answer in answers] == [None, -4003, None]
    assert len(paper.books(key)["futures"]["orders"]) == 2
    assert code(paper, key, "POST", "v1/batchOrders", batchOrders=json.dumps([MARKET] * 6)) == -4082
    assert code(paper, key, "POST", "v1/batchOrders", batchOrders="[1]") == -1130


def test_conditional_orders_have_endpoints_of_their_own(paper: Paper, key: str) -> None:
    made = ask(paper, key, "POST", "v1/algoOrder", **STOP, quantity="0.01", clientAlgoId="guard")
    assert (made["algoStatus"], made["clientAlgoId"], made["orderType"]) == ("NEW", "guard", "STOP_MARKET")
    assert ask(paper, key, "GET", "v1/openOrders") == []
    [listed] = ask(paper, key, "GET", "v1/openAlgoOrders", **BTC)
    assert listed == ask(paper, key, "GET", "v1/algoOrder", algoId=made["algoId"])
    assert listed["actualOrderId"] == ""
    gone = ask(paper, key, "DELETE", "v1/algoOrder", clientAlgoId="guard")
    wanted = {"algoId": made["algoId"], "clientAlgoId": "guard", "code": "200", "msg": "success"}
    assert gone == wanted
    assert code(paper, key, "DELETE", "v1/algoOrder", clientAlgoId="guard") == -2011
    assert code(paper, key, "GET", "v1/algoOrder", clientAlgoId="never") == -2013
    assert code(paper, key, "GET", "v1/algoOrder") == -1102
    [kept] = ask(paper, key, "GET", "v1/allAlgoOrders", **BTC)
    assert kept["algoStatus"] == "CANCELED"
    ask(paper, key, "POST", "v1/algoOrder", **STOP, quantity="0.01")
    assert ask(paper, key, "DELETE", "v1/algoOpenOrders", **BTC)["code"] == 200
    assert ask(paper, key, "GET", "v1/openAlgoOrders") == []


def test_a_triggered_stop_is_found_by_its_actual_order(paper: Paper, key: str) -> None:
    ask(paper, key, "POST", "v1/leverage", **BTC, leverage=5)
    ask(paper, key, "POST", "v1/order", **MARKET)
    ask(paper, key, "POST", "v1/algoOrder", **STOP, closePosition="true", clientAlgoId="guard")
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": 64_900})
    algo = ask(paper, key, "GET", "v1/algoOrder", clientAlgoId="guard")
    assert algo["algoStatus"] == "FINISHED"
    order = ask(paper, key, "GET", "v1/order", **BTC, orderId=algo["actualOrderId"])
    assert (order["status"], order["origType"], order["type"]) == ("FILLED", "STOP_MARKET", "MARKET")
    assert Decimal(algo["actualPrice"]) == Decimal(order["avgPrice"])
    assert ask(paper, key, "GET", "v3/positionRisk") == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"algoType": "TWAP"}, -1130),
        ({"type": "MARKET"}, -1116),
        ({"type": "TRAILING_STOP_MARKET"}, -1116),
        ({"triggerPrice": None}, -1102),
        ({"quantity": None}, -1102),
        ({"closePosition": "true"}, -4137),
        ({"closePosition": "true", "quantity": None, "reduceOnly": "true"}, -1106),
        ({"closePosition": "true", "quantity": None, "type": "STOP", "price": "1"}, -4136),
        ({"type": "STOP"}, -1102),
        ({"price": "64000"}, -1106),
        ({"workingType": "INDEX"}, -4031),
        ({"triggerPrice": "70001"}, -2021),
        ({"positionSide": "SHORT"}, -4061),
    ],
)
def test_a_wrong_conditional_order_changes_nothing(
    paper: Paper, key: str, changes: dict[str, Any], expected: int
) -> None:
    order = STOP | {"quantity": "0.01"} | changes
    assert code(paper, key, "POST", "v1/algoOrder", **order) == expected
    assert paper.books(key)["futures"]["algoOrders"] == []
