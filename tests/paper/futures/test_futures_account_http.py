"""The futures account over HTTP: settings, positions, limits, control; one shared process."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.paper.futures.asking import BTC, LIMIT, MARKET, ask, code, shape
from tests.support.paper import Paper

pytestmark = pytest.mark.usefixtures("steady")


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
