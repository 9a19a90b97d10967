"""What is sent and read: payloads byte by byte, orders, fills and balances of both markets."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.core.builders import rules
from tests.support.shared import require_shared
from trading.filters import check_order
from trading.payloads import OrderForm, order_request
from trading.wire import position_of, wire_of

SPOT, FUTURES = wire_of("spot"), wire_of("futures")


def form(market: str, lane: str) -> OrderForm:
    return OrderForm(market, "BTCUSDT", "BUY", "MARKET", Decimal("0.0100"), "tb1-x-1-1", lane)


@pytest.mark.parametrize(
    ("market", "lane", "path", "payload"),
    [
        (
            "spot",
            "exit",
            "/api/v3/order",
            "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01&newClientOrderId=tb1-x-1-1"
            "&newOrderRespType=FULL&recvWindow=5000&timestamp=7",
        ),
        (
            "futures",
            "entry",
            "/fapi/v1/order",
            "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01&newClientOrderId=tb1-x-1-1"
            "&newOrderRespType=RESULT&positionSide=BOTH&recvWindow=5000&timestamp=7",
        ),
        (
            "futures",
            "exit",
            "/fapi/v1/order",
            "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01&newClientOrderId=tb1-x-1-1"
            "&newOrderRespType=RESULT&positionSide=BOTH&reduceOnly=true&recvWindow=5000&timestamp=7",
        ),
    ],
)
def test_the_payload_of_an_order_by_market_and_lane(market, lane, path, payload):
    assert order_request(form(market, lane), ts_ms=7, recv_window_ms=5000) == (path, payload)


def test_a_recorded_futures_trade_list_is_read():
    folder = require_shared("data/payload_shapes")
    rows = json.loads((folder / "py_http_futures_account_trades.json").read_text())
    first, second = (FUTURES.fill(row) for row in rows)
    assert (first.trade_id, first.order_id, first.side) == (82357626, 831238666, "SELL")
    assert (first.quantity, first.price) == (Decimal("0.005"), Decimal("2778.35"))
    assert first.traded_at == datetime(2022, 2, 27, 2, 52, 2, 371000, tzinfo=UTC)
    assert second.exchange_pnl == Decimal("-0.00325000")
    assert second.changes == {"USDT": Decimal("-0.00325000") - Decimal("0.00555800")}


def test_a_fee_in_another_asset_leaves_the_profit_whole():
    row = {
        "id": 1, "orderId": 2, "side": "BUY", "qty": "1", "price": "10", "realizedPnl": "3",
        "marginAsset": "USDT", "commission": "0.01", "commissionAsset": "BNB", "time": 1_775_044_800_000,
    }  # fmt: skip
    assert FUTURES.fill(row).changes == {"USDT": Decimal(3), "BNB": Decimal("-0.01")}


def test_orders_have_other_words_for_what_was_executed():
    spot = {"orderId": 1, "status": "FILLED", "executedQty": "2", "cummulativeQuoteQty": "20.5"}
    futures = {"orderId": 1, "status": "EXPIRED", "executedQty": "2", "cumQuote": "20.5", "avgPrice": "10.25"}
    assert SPOT.order(spot).quote == FUTURES.order(futures).quote == Decimal("20.5")
    assert FUTURES.order(futures).status == "EXPIRED"


def test_an_execution_moves_coins_on_spot_and_nothing_on_futures():
    moved = SPOT.executed(("BTC", "USDT"), "SELL", Decimal(2), Decimal(20))
    assert moved == {"BTC": Decimal(-2), "USDT": Decimal(20)}
    assert FUTURES.executed(("BTC", "USDT"), "SELL", Decimal(2), Decimal(20)) == {}


def test_the_wallet_is_what_a_futures_account_has():
    folder = require_shared("data/payload_shapes")
    account = json.loads((folder / "rs_fut_account_info_v2.json").read_text())
    assert FUTURES.free(account) == FUTURES.total(account) == {"USDT": Decimal("23.72469206")}


def test_a_position_that_is_not_listed_is_flat():
    rows = [{"symbol": "ETHUSDT", "positionAmt": "-1.5"}]
    assert position_of(rows, "ETHUSDT") == Decimal("-1.5")
    assert position_of(rows, "BTCUSDT") == 0


def test_what_reduces_has_no_least_notional():
    small = {"type": "MARKET", "quantity": Decimal("0.001"), "price": Decimal(100)}
    assert check_order(rules(), **small) == ["worth 0.1 USDT is below the smallest allowed, 5"]
    assert check_order(rules(), **small, reduce_only=True) == []
