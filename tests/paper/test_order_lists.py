"""Order lists: what waits for a working order, what both legs keep back, and how a pair ends."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.paper.rig import SYMBOL, Rig, make_rig
from tests.support.paper import Paper
from trading.paper.errors import ApiError
from trading.paper.orders import Order, OrderList

D = Decimal
FLAT = (100.0, 100.0, 100.0, 100.0)
DIP = (100.0, 100.0, 97.0, 100.0)
DIP_AND_RISE = (100.0, 109.0, 97.0, 109.0)
CRASH = (100.0, 100.0, 80.0, 80.0)
MORE = (100.0, 112.0, 88.0, 100.0)


def place(
    rig: Rig, kind: str = "OPOCO", working: dict[str, Any] | None = None, **ids: str
) -> tuple[OrderList, list[Order]]:
    """Buy 2 at 98, then a target at 108 and a stop at 90."""
    first = {"side": "BUY", "type_": "LIMIT", "quantity": "2", "price": "98", "client_id": "in"}
    above = rig.new("SELL", "LIMIT_MAKER", "0", price="108", client_id="target")
    below = rig.new("SELL", "STOP_LOSS", "0", stop_price="90", client_id="stop")
    if kind == "OTOCO":
        above = rig.new("SELL", "LIMIT_MAKER", "2", price="108", client_id="target")
        below = rig.new("SELL", "STOP_LOSS", "2", stop_price="90", client_id="stop")
    new = rig.new(**(first | (working or {})))
    one, orders, _ = rig.exchange.engine.lists.place_contingent(
        rig.account, kind, new, (above, below), "list", rig.now_ms
    )
    return one, orders


def held(rig: Rig, asset: str) -> tuple[Decimal, Decimal]:
    return rig.free(asset), rig.locked(asset)


@pytest.fixture
def dipping(candles: Callable[..., Path]) -> Rig:
    """100, then down to 97 in the second minute, up to 109 in the third."""
    return make_rig(candles(FLAT, DIP, (100.0, 109.0, 100.0, 109.0), FLAT))


def test_only_the_money_of_the_working_order_is_kept_back(dipping: Rig) -> None:
    one, orders = place(dipping)
    assert [order.status for order in orders] == ["NEW", "PENDING_NEW", "PENDING_NEW"]
    assert [order.client_id for order in orders] == ["in", "stop", "target"]
    assert one.contingency == "OTO"
    assert held(dipping, "USDT") == (D("9804"), D("196"))
    assert held(dipping, "XYZ") == (D("10"), D("0"))
    dipping.step(50)
    assert [order.status for order in orders] == ["NEW", "PENDING_NEW", "PENDING_NEW"]


def test_the_pair_gets_what_was_received_when_the_commission_cannot_be_paid_otherwise(dipping: Rig) -> None:
    dipping.exchange.set_balances(dipping.account, {"XYZ": D(0)})
    _, orders = place(dipping)
    dipping.step(119)
    working, stop, target = orders
    assert (working.status, stop.status, target.status) == ("FILLED", "NEW", "NEW")
    lot = dipping.exchange.market.specs[SYMBOL].lot
    received = D(2) - D("0.002")  # 0.1 % in the base asset
    assert stop.quantity == target.quantity == received // lot * lot
    assert held(dipping, "XYZ")[1] == stop.quantity
    assert sum(held(dipping, "XYZ")) == received


def test_the_commission_comes_out_of_what_is_free_when_there_is_enough(dipping: Rig) -> None:
    _, orders = place(dipping)
    dipping.step(119)
    assert [order.quantity for order in orders] == [D(2), D(2), D(2)]
    assert held(dipping, "XYZ") == (D("9.998"), D(2))


def test_the_target_fills_and_the_stop_expires(dipping: Rig) -> None:
    one, (_, stop, target) = place(dipping)
    dipping.step(179)
    assert (stop.status, stop.expiry_reason) == ("EXPIRED", "OCO_TRIGGER")
    assert (target.status, target.executed) == ("FILLED", D(2))
    assert one.status == "ALL_DONE"
    assert held(dipping, "XYZ") == (D("9.998"), D(0))
    assert dipping.exchange.books.open[SYMBOL] == {}


def test_a_pair_whose_stop_was_passed_expires_and_frees_what_was_received(
    candles: Callable[..., Path],
) -> None:
    rig = make_rig(candles(FLAT, FLAT, FLAT))
    one, (working, stop, target) = place(rig)
    rig.step(30)
    for market in rig.exchange.overlays:  # a gap through entry and stop
        market.set_price(SYMBOL, 85.0, rig.now_ms)
    rig.step(31)
    assert working.status == "FILLED"
    assert [(leg.status, leg.expiry_reason) for leg in (stop, target)] == [("EXPIRED", "REJECTED")] * 2
    assert one.status == "ALL_DONE"
    assert held(rig, "XYZ") == (D("11.998"), D(0))


def test_cancelling_the_working_order_cancels_all_and_unlocks(dipping: Rig) -> None:
    one, orders = place(dipping)
    dipping.exchange.engine.cancel(dipping.account, orders[0], dipping.now_ms)
    assert [order.status for order in orders] == ["CANCELED"] * 3
    assert one.status == "ALL_DONE"
    assert held(dipping, "USDT") == (D(10_000), D(0))


def test_cancelling_a_pending_leg_cancels_a_partly_filled_entry_too(dipping: Rig) -> None:
    _, orders = place(dipping)
    dipping.exchange.faults.add({"kind": "fill_partly", "share": 0.5})
    dipping.step(119)
    assert (orders[0].status, orders[0].executed) == ("PARTIALLY_FILLED", D(1))
    assert held(dipping, "XYZ") == (D("9.999"), D(1))  # kept back for the pair, which is not live yet
    assert orders[1].status == "PENDING_NEW"
    dipping.exchange.engine.cancel(dipping.account, orders[2], dipping.now_ms)
    assert [order.status for order in orders] == ["CANCELED"] * 3
    assert held(dipping, "XYZ") == (D("10.999"), D(0))
    assert dipping.locked("USDT") == 0


def test_a_working_order_that_expires_takes_its_pair_with_it(dipping: Rig) -> None:
    one, orders = place(dipping, working={"tif": "IOC"})
    assert [order.status for order in orders] == ["EXPIRED"] * 3
    assert orders[1].expiry_reason == "OTO_PHASE_ONE_EXPIRED"
    assert one.status == "ALL_DONE"


def test_an_entry_that_fills_at_once_is_born_protected(dipping: Rig) -> None:
    _, orders = place(dipping, working={"price": "101"})
    assert [order.status for order in orders] == ["FILLED", "NEW", "NEW"]
    assert dipping.locked("XYZ") == D(2)


def test_an_otoco_needs_its_coins_only_when_the_pair_goes_live(dipping: Rig) -> None:
    dipping.exchange.set_balances(dipping.account, {"XYZ": D(0)})
    _, orders = place(dipping, "OTOCO")
    dipping.step(119)
    assert orders[0].status == "FILLED"
    # 2 were bought and 0.002 of them were the fee: there are not 2 to sell
    assert [(leg.status, leg.expiry_reason) for leg in orders[1:]] == [("EXPIRED", "REJECTED")] * 2
    assert held(dipping, "XYZ") == (D("1.998"), D(0))


def test_an_otoco_with_coins_goes_live(dipping: Rig) -> None:
    _, orders = place(dipping, "OTOCO")
    dipping.step(119)
    assert [order.status for order in orders] == ["FILLED", "NEW", "NEW"]
    assert held(dipping, "XYZ") == (D("9.998"), D(2))


def test_lists_survive_a_restart(candles: Callable[..., Path], tmp_path: Path) -> None:
    folder = candles(FLAT, DIP, MORE, FLAT)
    first = make_rig(folder, data=tmp_path / "books")
    place(first)
    first.exchange.close()
    again = make_rig_again(folder, tmp_path / "books")
    again.step(119)
    orders = again.exchange.books.orders("account_id = ? ORDER BY order_id", (again.account.id,))
    assert [order.status for order in orders] == ["FILLED", "NEW", "NEW"]
    [one] = again.exchange.books.lists.values()
    assert (one.kind, one.order_ids) == ("OPOCO", [order.order_id for order in orders])


def make_rig_again(folder: Path, data: Path) -> Rig:
    from trading.paper.exchange import Options, build

    exchange = build(Options(candles=folder, clock="stepped", shift_days=0, data=data))
    return Rig(exchange, exchange.books.accounts["rig"], exchange.clock.now_ms())


def test_every_id_of_a_list_is_unique(dipping: Rig) -> None:
    place(dipping)
    for ids in ("in", "stop", "target"):
        with pytest.raises(ApiError, match="Duplicate order sent"):
            dipping.place("BUY", "LIMIT", "1", price="98", client_id=ids)


def test_a_stop_below_its_lot_is_adjusted_and_the_rest_is_free(candles: Callable[..., Path]) -> None:
    rig = make_rig(candles(FLAT, DIP, FLAT), fee=Decimal("0.0123"))
    rig.exchange.set_balances(rig.account, {"XYZ": D(0)})
    _, (_, stop, _) = place(rig)
    rig.step(119)
    lot = rig.exchange.market.specs[SYMBOL].lot
    received = D(2) - D("0.0246")
    assert stop.quantity == received // lot * lot
    assert rig.free("XYZ") == received - stop.quantity


# -- over HTTP

OPOCO = {
    "symbol": "BTCUSDT",
    "workingType": "LIMIT",
    "workingSide": "BUY",
    "workingTimeInForce": "GTC",
    "workingPrice": "60000",
    "workingQuantity": "0.01",
    "workingClientOrderId": "in",
    "pendingSide": "SELL",
    "pendingAboveType": "LIMIT_MAKER",
    "pendingAbovePrice": "66000",
    "pendingAboveClientOrderId": "target",
    "pendingBelowType": "STOP_LOSS",
    "pendingBelowStopPrice": "55000",
    "pendingBelowClientOrderId": "stop",
    "listClientOrderId": "list",
}


def post(paper: Paper, key: str, path: str = "opoco", **changes: Any) -> Any:
    return paper.signed("POST", f"/api/v3/orderList/{path}", key, **(OPOCO | changes))


def test_the_answer_is_a_list_with_its_orders(paper: Paper, key: str) -> None:
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "62000"})
    body = post(paper, key).json()
    assert (body["contingencyType"], body["listOrderStatus"], body["listClientOrderId"]) == (
        "OTO",
        "EXECUTING",
        "list",
    )
    working, stop, target = body["orderReports"]
    assert (working["status"], stop["status"], target["status"]) == ("NEW", "PENDING_NEW", "PENDING_NEW")
    assert working["origQty"] == "0.01000000"
    assert "origQty" not in stop  # it is not known yet
    assert "origQty" not in target
    assert (stop["workingTime"], stop["stopPrice"]) == (-1, "55000.00000000")
    assert [one["clientOrderId"] for one in body["orders"]] == ["in", "stop", "target"]
    opened = paper.signed("GET", "/api/v3/openOrders", key, symbol="BTCUSDT").json()
    assert [one["status"] for one in opened] == ["NEW", "PENDING_NEW", "PENDING_NEW"]


def test_a_list_is_asked_for_filled_and_cancelled_by_its_client_id(paper: Paper, key: str) -> None:
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "62000"})
    post(paper, key)
    paper.control("/paper/fill", {"apiKey": key, "symbol": "BTCUSDT", "clientOrderId": "in"})
    wanted = {"symbol": "BTCUSDT", "origClientOrderId": "stop"}
    stop = paper.signed("GET", "/api/v3/order", key, **wanted).json()
    assert (stop["status"], stop["origQty"]) == ("NEW", "0.01000000")
    assert len(paper.signed("GET", "/api/v3/openOrderList", key).json()) == 1
    found = paper.signed("GET", "/api/v3/orderList", key, origClientOrderId="list").json()
    assert (found["contingencyType"], found["listOrderStatus"]) == ("OTO", "EXECUTING")
    gone = paper.signed("DELETE", "/api/v3/orderList", key, symbol="BTCUSDT", listClientOrderId="list").json()
    assert gone["listOrderStatus"] == "ALL_DONE"
    assert [one["status"] for one in gone["orderReports"]] == ["FILLED", "CANCELED", "CANCELED"]
    assert paper.signed("GET", "/api/v3/openOrderList", key).json() == []
    assert len(paper.signed("GET", "/api/v3/allOrderList", key).json()) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"workingType": "MARKET"}, -1116),
        ({"workingTimeInForce": None}, -1102),
        (
            {"pendingAboveType": "STOP_LOSS", "pendingAbovePrice": None, "pendingAboveStopPrice": "66000"},
            -1158,
        ),
        ({"pendingBelowType": None, "pendingBelowStopPrice": None}, -1102),
        ({"pendingAboveQuantity": "1"}, -1104),
        ({"pendingQuantity": "0.01"}, -1104),
        ({"workingSide": "SELL", "pendingSide": "BUY"}, -1013),
        ({"pendingBelowStopPrice": "67000"}, -2010),
        ({"pendingAbovePrice": "66000.001"}, -1013),
        ({"workingQuantity": "10"}, -2010),
        ({"workingQuantity": "0.000001"}, -1013),
        ({"pendingAboveClientOrderId": "stop"}, -2010),
    ],
)
def test_wrong_lists_are_refused_and_nothing_is_placed(
    paper: Paper, key: str, changes: dict[str, Any], code: int
) -> None:
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "62000"})
    answer = post(paper, key, **changes)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text
    assert paper.books(key)["orders"] == []


def test_a_symbol_says_whether_it_takes_them(paper: Paper, key: str) -> None:
    rows = {one["symbol"]: one for one in paper.public("/api/v3/exchangeInfo").json()["symbols"]}
    assert rows["BTCUSDT"]["opoAllowed"] is True
    refusing = next(name for name, one in rows.items() if one["otoAllowed"] and not one["opoAllowed"])
    answer = post(paper, key, symbol=refusing)
    assert answer.json() == {"code": -2010, "msg": "OPO orders are not supported for this symbol."}


def test_python_binance_places_one(paper: Paper, key: str) -> None:
    from binance.client import Client

    from tests.support.paper import secret_of

    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "62000"})
    client = Client(key, secret_of(key), ping=False)
    client.API_URL = f"{paper.url}/api"
    body = client._post("orderList/opoco", True, data=dict(OPOCO))
    assert body["orderReports"][0]["status"] == "NEW"


def test_books_of_an_older_version_get_their_new_columns(
    candles: Callable[..., Path], tmp_path: Path
) -> None:
    import sqlite3

    folder, data = candles(FLAT, DIP), tmp_path / "books"
    first = make_rig(folder, data=data)
    first.place("BUY", "LIMIT", "1", price="98")
    first.exchange.close()
    with sqlite3.connect(data) as old:
        old.execute("ALTER TABLE orders DROP COLUMN expiry_reason")
        old.execute("ALTER TABLE order_lists DROP COLUMN kind")
    old.close()
    again = make_rig_again(folder, data)
    [order] = again.exchange.books.open_orders(again.account)
    assert (order.status, order.expiry_reason) == ("NEW", "")
