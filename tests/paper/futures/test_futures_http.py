"""Futures endpoints over HTTP: shapes, codes, limits, control; one shared process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.paper.conftest import paper as spot_paper
from tests.support.paper import Paper
from tests.support.shared import SHARED

BTC = {"symbol": "BTCUSDT"}
MARKET = {**BTC, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
LIMIT = {**BTC, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "68000"}
STOP = {**BTC, "algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "triggerPrice": "65000"}
SHAPES = SHARED / "data" / "payload_shapes"
paper = spot_paper


@pytest.fixture(autouse=True)
def steady_price(shared_paper: Paper) -> Iterator[None]:
    """At 70,000 with a deep book; what tests have set by hand is gone afterwards."""
    shared_paper.control("/paper/price", {"symbol": "BTCUSDT", "price": 70_000})
    shared_paper.control("/paper/symbols/BTCUSDT", {"levelQuote": 1_000_000})
    yield
    shared_paper.control("/paper/futures/mark", {"symbol": "BTCUSDT", "price": None})
    shared_paper.control("/paper/futures/funding", {"symbol": "BTCUSDT", "rate": None})
    shared_paper.control("/paper/futures/trigger", {"delay_ms": 0})


def ask(paper: Paper, key: str, method: str, path: str, **params: Any) -> Any:
    answer = paper.signed(method, f"/fapi/{path}", key, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def code(paper: Paper, key: str, method: str, path: str, **params: Any) -> int:
    answer = paper.signed(method, f"/fapi/{path}", key, **params)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"code", "msg"}
    return int(answer.json()["code"])


def shape(name: str) -> Any:
    """A recorded payload's keys; the test is skipped where there are none."""
    path = SHAPES / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    found = json.loads(path.read_text())
    return set(found[0] if isinstance(found, list) else found)


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


def test_settings_of_a_contract(paper: Paper, key: str) -> None:
    assert ask(paper, key, "POST", "v1/leverage", **BTC, leverage=100) == {
        "symbol": "BTCUSDT",
        "leverage": 100,
        "maxNotionalValue": "500000",
    }
    for leverage in (0, 126):
        assert code(paper, key, "POST", "v1/leverage", **BTC, leverage=leverage) == -4028
    assert code(paper, key, "POST", "v1/leverage", **BTC, leverage="2.5") == -1100
    assert code(paper, key, "POST", "v1/marginType", **BTC, marginType="ISOLATED") == -4046
    assert ask(paper, key, "POST", "v1/marginType", **BTC, marginType="CROSSED")["code"] == 200
    [config] = ask(paper, key, "GET", "v1/symbolConfig", **BTC)
    assert shape("py_http_futures_account_symbol_config.json") == set(config)
    assert (config["marginType"], config["leverage"]) == ("CROSSED", 100)
    assert len(ask(paper, key, "GET", "v1/symbolConfig")) > 10
    bracket = ask(paper, key, "GET", "v1/leverageBracket", **BTC)[0]["brackets"][1]
    assert bracket == {
        "bracket": 2,
        "initialLeverage": 100,
        "notionalCap": 500000,
        "notionalFloor": 50000,
        "maintMarginRatio": 0.005,
        "cum": 50.0,
    }
    rates = ask(paper, key, "GET", "v1/commissionRate", **BTC)
    assert rates == {"symbol": "BTCUSDT", "makerCommissionRate": "0.0002", "takerCommissionRate": "0.0005"}


def test_hedge_mode_can_be_set_and_then_takes_no_order(paper: Paper, key: str) -> None:
    assert ask(paper, key, "GET", "v1/positionSide/dual") == {"dualSidePosition": False}
    assert code(paper, key, "POST", "v1/positionSide/dual", dualSidePosition="false") == -4059
    ask(paper, key, "POST", "v1/positionSide/dual", dualSidePosition="true")
    assert ask(paper, key, "GET", "v1/accountConfig")["dualSidePosition"] is True
    assert code(paper, key, "POST", "v1/order", **MARKET) == -4061
    assert code(paper, key, "POST", "v1/order", **MARKET, positionSide="LONG") == -4084


def test_positions_and_balances_agree(paper: Paper, key: str) -> None:
    assert ask(paper, key, "GET", "v3/positionRisk") == []
    ask(paper, key, "POST", "v1/order", **MARKET)
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": 71_000})
    [three] = ask(paper, key, "GET", "v3/positionRisk", **BTC)
    [two] = ask(paper, key, "GET", "v2/positionRisk", **BTC)
    assert shape("rs_fut_position_risk.json") == set(two)
    assert "leverage" not in three
    assert (two["positionAmt"], two["entryPrice"], two["marginType"]) == (
        "0.01",
        "70003.50000000",
        "isolated",
    )
    for name in ("positionAmt", "entryPrice", "markPrice", "unRealizedProfit", "liquidationPrice"):
        assert three[name] == two[name]
    assert two["unRealizedProfit"] == "9.96500000"
    assert three["isolatedWallet"] == "35.00175000"
    account, old = ask(paper, key, "GET", "v3/account"), ask(paper, key, "GET", "v2/account")
    [balance] = ask(paper, key, "GET", "v3/balance")
    assert shape("rs_fut_balance.json") == set(balance)
    assert account["totalWalletBalance"] == old["totalWalletBalance"] == balance["balance"]
    assert Decimal(account["availableBalance"]) == Decimal(balance["balance"]) - Decimal("35.00175")
    assert account["totalUnrealizedProfit"] == "9.96500000"
    assert [row["symbol"] for row in account["positions"]] == ["BTCUSDT"]
    assert len(old["positions"]) > 10
    assert shape("rs_fut_account_info_v2.json") <= set(old)


def test_orders_cost_no_weight_but_are_counted(paper: Paper, key: str) -> None:
    before = int(paper.public("/fapi/v1/ping").headers["X-MBX-USED-WEIGHT-1M"])
    made = paper.signed("POST", "/fapi/v1/order", key, **LIMIT)
    assert int(made.headers["X-MBX-USED-WEIGHT-1M"]) in (before, 0)  # 0 if a minute has just begun
    assert made.headers["X-MBX-ORDER-COUNT-1M"] == "1"
    again = paper.signed("POST", "/fapi/v1/order", key, **MARKET)  # filled orders count here
    assert again.headers["X-MBX-ORDER-COUNT-1M"] == "2"
    assert "X-MBX-ORDER-COUNT-1D" not in again.headers
    limits = ask(paper, key, "GET", "v1/rateLimit/order")
    assert [(row["interval"], row["limit"]) for row in limits] == [("SECOND", 300), ("MINUTE", 1200)]


def test_spot_and_futures_money_are_apart(paper: Paper, key: str) -> None:
    ask(paper, key, "POST", "v1/order", **MARKET)
    books = paper.books(key)
    assert books["balances"]["USDT"]["free"] == "10000.00000000"
    assert (books["orders"], len(books["futures"]["orders"])) == ([], 1)


def test_a_listen_key_lives_until_it_is_deleted(paper: Paper, key: str) -> None:
    def send(method: str) -> Any:
        return paper.session.request(
            method, paper.url + "/fapi/v1/listenKey", headers={"X-MBX-APIKEY": key}, timeout=20
        )

    assert send("PUT").json()["code"] == -1125
    made = send("POST").json()["listenKey"]
    assert send("POST").json()["listenKey"] == made
    assert send("PUT").json() == {"listenKey": made}
    assert send("DELETE").json() == {}
    assert send("PUT").json()["code"] == -1125


def test_steering_by_hand(paper: Paper, key: str) -> None:
    where = {"apiKey": key, "symbol": "BTCUSDT"}
    ask(paper, key, "POST", "v1/order", **(MARKET | {"quantity": "0.03"}))
    closed = paper.control("/paper/futures/close", {**where, "quantity": 0.01})
    assert (closed["clientOrderId"][:4], closed["executedQty"]) == ("web_", "0.01")
    adl = paper.control("/paper/futures/liquidate", {**where, "adl": True})
    assert (adl["clientOrderId"], adl["avgPrice"]) == ("adl_autoclose", "70000.00000000")
    ask(paper, key, "POST", "v1/order", **MARKET)
    forced = paper.control("/paper/futures/liquidate", where)
    assert forced["clientOrderId"] == f"autoclose-{forced['orderId']}"
    assert (
        paper.control("/paper/futures/balance", {"apiKey": key, "balance": 500})["balance"] == "500.00000000"
    )
    books = paper.books(key)["futures"]
    assert [row["positionAmt"] for row in books["positions"]] == ["0"]
    assert sum(Decimal(row["income"]) for row in books["income"]) == 500
    paper.control("/paper/futures/mark", {"symbol": "BTCUSDT", "price": 71_000})
    paper.control("/paper/futures/funding", {"symbol": "BTCUSDT", "rate": 0.003})
    index = paper.public("/fapi/v1/premiumIndex", **BTC).json()
    assert (index["markPrice"], index["indexPrice"], index["lastFundingRate"]) == (
        "71000.00000000",
        "70000.00000000",
        "0.00300000",
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("close", {}),
        ("close", {"symbol": "BTCUSDT"}),
        ("liquidate", {"symbol": "NO"}),
        ("mark", {"symbol": "BTCUSDT", "price": "x"}),
        ("mark", {"symbol": "BTCUSDT", "price": 0}),
        ("funding", {"symbol": "BTCUSDT", "rate": "Infinity"}),
        ("balance", {"balance": 1}),
        ("trigger", {"delay_ms": -1}),
        ("trigger", {"delay_ms": True}),
    ],
)
def test_wrong_steering_is_refused(paper: Paper, path: str, body: dict[str, Any]) -> None:
    answer = paper.session.post(f"{paper.url}/paper/futures/{path}", json=body, timeout=20)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def test_faults_strike_futures_too(paper: Paper, key: str) -> None:
    paper.fault("timeout", path="/fapi/v1/order")
    answer = paper.signed("POST", "/fapi/v1/order", key, **MARKET, newClientOrderId="lost")
    assert (answer.status_code, answer.json()["code"]) == (504, -1007)
    assert ask(paper, key, "GET", "v1/order", **BTC, origClientOrderId="lost")["status"] == "FILLED"
    paper.fault("stale_order", method="GET", path="/fapi/v1/order", seconds=60)
    assert code(paper, key, "GET", "v1/order", **BTC, origClientOrderId="lost") == -2013
