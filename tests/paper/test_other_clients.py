"""python-binance and ccxt trade on the paper exchange, spot and futures, with nothing changed but the URL."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import binance.client
import ccxt
import pytest

from tests.support.paper import Paper, secret_of

SYMBOL, UNIFIED = "BTCUSDT", {"binance": "BTC/USDT", "binanceusdm": "BTC/USDT:USDT"}


@pytest.fixture(autouse=True)
def steady_price(paper: Paper) -> None:
    paper.control("/paper/price", {"symbol": SYMBOL, "price": 70_000})


@pytest.fixture
def python_binance(paper: Paper, key: str) -> binance.client.Client:
    client = binance.client.Client(key, secret_of(key), ping=False)
    client.session.trust_env = False
    client.API_URL = paper.url + "/api"
    client.FUTURES_URL = paper.url + "/fapi"
    return client


@pytest.fixture
def ccxt_for(paper: Paper, key: str) -> Callable[[str], Any]:
    def make(kind: str) -> Any:
        exchange = getattr(ccxt, kind)({"apiKey": key, "secret": secret_of(key)})
        exchange.session.trust_env = False
        for name, url in exchange.urls["api"].items():
            exchange.urls["api"][name] = re.sub(r"^https://[a-z]+\.binance\.com", paper.url, url)
        return exchange

    return make


def test_python_binance_on_spot(python_binance: binance.client.Client) -> None:
    client = python_binance
    assert SYMBOL in {row["symbol"] for row in client.get_exchange_info()["symbols"]}
    assert Decimal(client.get_asset_balance("USDT")["free"]) == 10_000
    assert len(client.get_klines(symbol=SYMBOL, interval="1h", limit=10)) == 10
    market = client.order_market_buy(symbol=SYMBOL, quantity="0.001")
    assert (market["status"], market["executedQty"]) == ("FILLED", "0.00100000")
    limit = client.order_limit_buy(symbol=SYMBOL, quantity="0.001", price="60000")
    assert client.get_order(symbol=SYMBOL, orderId=limit["orderId"])["status"] == "NEW"
    assert client.cancel_order(symbol=SYMBOL, orderId=limit["orderId"])["status"] == "CANCELED"
    assert [row["orderId"] for row in client.get_my_trades(symbol=SYMBOL)] == [market["orderId"]]


def test_python_binance_on_futures(python_binance: binance.client.Client) -> None:
    client = python_binance
    assert SYMBOL in {row["symbol"] for row in client.futures_exchange_info()["symbols"]}
    assert client.futures_account_balance()[0]["balance"] == "10000.00000000"
    assert len(client.futures_klines(symbol=SYMBOL, interval="1h", limit=10)) == 10
    assert client.futures_change_leverage(symbol=SYMBOL, leverage=10)["leverage"] == 10
    with pytest.raises(binance.exceptions.BinanceAPIException) as caught:
        client.futures_change_margin_type(symbol=SYMBOL, marginType="ISOLATED")
    assert caught.value.code == -4046
    order = {"symbol": SYMBOL, "quantity": "0.01", "newOrderRespType": "RESULT"}
    market = client.futures_create_order(side="SELL", type="MARKET", **order)
    assert (market["status"], market["executedQty"]) == ("FILLED", "0.01")
    [position] = client.futures_position_information()
    assert (position["positionAmt"], position["entryPrice"]) == ("-0.01", "69996.50000000")
    stop = client.futures_create_order(
        symbol=SYMBOL, side="BUY", type="STOP_MARKET", stopPrice="72000", closePosition="true"
    )
    assert stop["algoStatus"] == "NEW"
    limit = client.futures_create_order(side="BUY", type="LIMIT", timeInForce="GTC", price="68000", **order)
    assert client.futures_get_order(symbol=SYMBOL, orderId=limit["orderId"])["status"] == "NEW"
    assert client.futures_cancel_order(symbol=SYMBOL, orderId=limit["orderId"])["status"] == "CANCELED"
    [trade] = client.futures_account_trades(symbol=SYMBOL)
    assert (trade["orderId"], trade["side"]) == (market["orderId"], "SELL")
    assert [row["incomeType"] for row in client.futures_income_history()] == ["TRANSFER", "COMMISSION"]
    assert client.futures_account()["totalWalletBalance"] == client.futures_account_balance()[0]["balance"]
    assert client.futures_mark_price(symbol=SYMBOL)["markPrice"] == "70000.00000000"
    assert client.futures_leverage_bracket(symbol=SYMBOL)[0]["brackets"][0]["initialLeverage"] == 125


@pytest.mark.parametrize("kind", ["binance", "binanceusdm"])
def test_ccxt(ccxt_for: Callable[[str], Any], kind: str) -> None:
    exchange, symbol = ccxt_for(kind), UNIFIED[kind]
    markets = exchange.load_markets()
    assert markets[symbol]["id"] == SYMBOL
    assert markets[symbol]["swap"] == (kind == "binanceusdm")
    assert exchange.fetch_balance()["USDT"]["free"] == 10_000
    assert len(exchange.fetch_ohlcv(symbol, "1h", limit=10)) == 10
    market = exchange.create_order(symbol, "market", "buy", 0.01)
    found = exchange.fetch_order(market["id"], symbol)
    assert (found["status"], found["filled"]) == ("closed", 0.01)
    limit = exchange.create_order(symbol, "limit", "buy", 0.01, 68_000)
    assert [row["id"] for row in exchange.fetch_open_orders(symbol)] == [limit["id"]]
    assert exchange.cancel_order(limit["id"], symbol)["status"] == "canceled"
    assert exchange.fetch_order(limit["id"], symbol)["status"] == "canceled"
    trades = exchange.fetch_my_trades(symbol)
    assert {row["order"] for row in trades} == {market["id"]}
    assert sum(row["amount"] for row in trades) == pytest.approx(0.01)


def test_ccxt_with_leverage_and_a_stop(ccxt_for: Callable[[str], Any]) -> None:
    exchange, symbol = ccxt_for("binanceusdm"), UNIFIED["binanceusdm"]
    exchange.load_markets()
    assert exchange.set_leverage(5, symbol)["leverage"] == 5
    exchange.create_order(symbol, "market", "sell", 0.02)
    stop = exchange.create_order(
        symbol, "market", "buy", 0.02, None, {"stopLossPrice": 75_000, "reduceOnly": True}
    )
    assert stop["status"] in ("open", None)
    [position] = exchange.fetch_positions([symbol])
    assert (position["side"], position["contracts"]) == ("short", 0.02)
    assert exchange.fetch_leverage(symbol)["shortLeverage"] == 5
    assert exchange.fetch_funding_rate(symbol)["markPrice"] == 70_000
