"""Orders on handmade candles: fills, money, stops and pairs to the last digit."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.paper.rig import Rig, make_rig
from trading.paper.errors import ApiError

FLAT = (100.0, 100.0, 100.0, 100.0)
FALL = (100.0, 100.0, 90.0, 95.0)  # down candle: first the high, then 90 at 40 s, then 95
RISE = (100.0, 110.0, 100.0, 105.0)
Candles = Callable[..., Path]
D = Decimal


@pytest.fixture
def rig(candles: Candles) -> Rig:
    return make_rig(candles(FLAT, FALL, FLAT, RISE, FLAT, None, None, (90.0, 90.0, 90.0, 90.0)))


def test_a_market_buy_pays_the_ask_and_a_fee_in_what_it_got(rig: Rig) -> None:
    order, fills = rig.place("BUY", "MARKET", "2")
    assert order.status == "FILLED"
    assert [(fill.price, fill.quantity) for fill in fills] == [(D("100.01"), D("2"))]
    assert (fills[0].commission, fills[0].commission_asset) == (D("0.002"), "XYZ")
    assert rig.free("USDT") == D("10000") - D("200.02")
    assert rig.free("XYZ") == D("11.998")
    assert not fills[0].is_maker


def test_a_market_sell_gets_the_bid_less_a_fee_in_quote(rig: Rig) -> None:
    _, fills = rig.place("SELL", "MARKET", "2")
    assert fills[0].price == D("99.99")
    assert (fills[0].commission, fills[0].commission_asset) == (D("0.19998"), "USDT")
    assert rig.free("USDT") == D("10000") + D("199.98") - D("0.19998")
    assert rig.free("XYZ") == D("8")


def test_a_large_market_order_has_several_fills_at_worse_prices(rig: Rig) -> None:
    order, fills = rig.place("BUY", "MARKET", "80")
    assert len(fills) > 1
    assert [fill.price for fill in fills] == sorted(fill.price for fill in fills)
    assert sum(fill.quantity for fill in fills) == order.executed == D("80")
    assert order.quote_executed == sum(fill.price * fill.quantity for fill in fills)
    trade_ids = [fill.trade_id for fill in fills]
    assert trade_ids == list(range(trade_ids[0], trade_ids[0] + len(fills)))


def test_a_market_order_beyond_the_book_expires_with_what_it_got(rig: Rig) -> None:
    rig.exchange.engine.book.by_symbol["XYZUSDT"] = D("1")
    order, fills = rig.place("BUY", "MARKET", "50")
    assert order.status == "EXPIRED"
    assert D(0) < order.executed < D("50")
    assert sum(fill.quantity for fill in fills) == order.executed


def test_quote_order_quantity_spends_no_more_than_that(rig: Rig) -> None:
    order, _ = rig.place("BUY", "MARKET", "0", quote_quantity="500")
    assert order.status == "FILLED"
    assert order.executed == order.quantity == D("4.99")
    assert D("499") < order.quote_executed <= D("500")


def test_fees_in_bnb_are_a_quarter_lower_and_leave_the_coins_whole(candles: Candles) -> None:
    folder = candles(FLAT, FLAT)
    candles((500.0, 500.0, 500.0, 500.0), FLAT, symbol="BNBUSDT")
    rig = make_rig(folder)
    rig.account.fees_in_bnb = True
    rig.account.balance("BNB").free = D("1")
    _, fills = rig.place("BUY", "MARKET", "2")
    assert (fills[0].commission, fills[0].commission_asset) == (D("0.00030003"), "BNB")
    assert rig.free("XYZ") == D("12")
    assert rig.free("BNB") == D("1") - D("0.00030003")


def test_without_enough_bnb_the_fee_is_in_what_was_received(candles: Candles) -> None:
    folder = candles(FLAT, FLAT)
    candles((500.0, 500.0, 500.0, 500.0), FLAT, symbol="BNBUSDT")
    rig = make_rig(folder)
    rig.account.fees_in_bnb = True
    _, fills = rig.place("BUY", "MARKET", "2")
    assert fills[0].commission_asset == "XYZ"


def test_a_resting_limit_buy_locks_money_and_fills_at_its_own_price(rig: Rig) -> None:
    order, fills = rig.place("BUY", "LIMIT", "3", price="95")
    assert (order.status, fills) == ("NEW", [])
    assert (rig.free("USDT"), rig.locked("USDT")) == (D("9715"), D("285"))
    rig.step(60)
    assert order.status == "NEW"
    rig.step(120)
    assert order.status == "FILLED"
    [fill] = rig.fills()
    assert (fill.price, fill.quantity, fill.is_maker) == (D("95"), D("3"), True)
    assert fill.time_ms == rig.start_ms + 60_000 + 30_000  # half way down from 100 to 90
    assert (rig.free("USDT"), rig.locked("USDT")) == (D("9715"), D("0"))
    assert rig.free("XYZ") == D("12.997")


def test_looking_at_each_second_books_the_same_as_looking_once(candles: Candles) -> None:
    folder = candles(FLAT, FALL, FLAT, RISE, FLAT)
    books = []
    for seconds in ([300.0], [float(second) for second in range(1, 301)]):
        rig = make_rig(folder)
        rig.place("BUY", "LIMIT", "3", price="95")
        rig.place("SELL", "LIMIT", "2", price="108")
        rig.place("SELL", "STOP_LOSS_LIMIT", "1", price="91", stop_price="92")
        for second in seconds:
            rig.step(second)
        books.append([(fill.time_ms, fill.price, fill.quantity) for fill in rig.fills()])
    assert books[0] == books[1]
    assert len(books[0]) == 3


def test_a_marketable_limit_takes_up_to_its_price_and_rests_with_the_remainder(rig: Rig) -> None:
    rig.exchange.engine.book.by_symbol["XYZUSDT"] = D("100")
    order, fills = rig.place("BUY", "LIMIT", "20", price="100.01")
    assert order.status == "PARTIALLY_FILLED"
    assert [fill.price for fill in fills] == [D("100.01")]
    assert rig.locked("USDT") == order.remaining * D("100.01")


def test_ioc_keeps_what_it_got_and_expires(rig: Rig) -> None:
    rig.exchange.engine.book.by_symbol["XYZUSDT"] = D("100")
    order, fills = rig.place("BUY", "LIMIT", "20", price="100.01", tif="IOC")
    assert order.status == "EXPIRED"
    assert order.executed == fills[0].quantity > 0
    assert rig.locked("USDT") == 0
    assert rig.free("USDT") == D("10000") - order.quote_executed


def test_fok_takes_all_or_nothing(rig: Rig) -> None:
    rig.exchange.engine.book.by_symbol["XYZUSDT"] = D("100")
    order, fills = rig.place("BUY", "LIMIT", "20", price="100.01", tif="FOK")
    assert (order.status, order.executed, fills) == ("EXPIRED", D(0), [])
    assert rig.free("USDT") == D("10000")
    order, fills = rig.place("BUY", "LIMIT", "0.1", price="100.01", tif="FOK")
    assert order.status == "FILLED"


def test_limit_maker_never_takes(rig: Rig) -> None:
    with pytest.raises(ApiError, match="immediately match and take") as caught:
        rig.place("BUY", "LIMIT_MAKER", "1", price="100.01")
    assert caught.value.code == -2010
    order, _ = rig.place("BUY", "LIMIT_MAKER", "1", price="99")
    assert order.status == "NEW"


def test_a_stop_limit_sleeps_until_touched_and_then_sells(rig: Rig) -> None:
    order, _ = rig.place("SELL", "STOP_LOSS_LIMIT", "2", price="94", stop_price="95")
    assert (order.working_ms, rig.locked("XYZ")) == (-1, D("2"))
    rig.step(85)
    assert order.status == "NEW"
    rig.step(120)
    assert order.status == "FILLED"
    assert order.working_ms == rig.start_ms + 90_000
    assert [fill.price for fill in rig.fills()] == [D("95")]
    assert rig.locked("XYZ") == 0


def test_a_stop_limit_behind_a_gap_rests_at_its_limit(rig: Rig) -> None:
    rig.step(299)
    order, _ = rig.place("SELL", "STOP_LOSS_LIMIT", "2", price="94", stop_price="95")
    rig.step(430)  # the hole is over, the price opened at 90
    assert (order.status, order.working_ms) == ("NEW", rig.start_ms + 420_000)
    assert rig.locked("XYZ") == D("2")
    assert rig.fills() == []


def test_a_market_stop_sells_at_whatever_the_gap_left(rig: Rig) -> None:
    rig.step(299)
    order, _ = rig.place("SELL", "STOP_LOSS", "2", stop_price="95")
    rig.step(430)
    assert order.status == "FILLED"
    assert [fill.price for fill in rig.fills()] == [D("90")]


def test_a_take_profit_sells_when_the_price_has_risen(rig: Rig) -> None:
    order, _ = rig.place("SELL", "TAKE_PROFIT_LIMIT", "1", price="107", stop_price="108")
    rig.step(239)
    assert order.status == "FILLED"
    assert [fill.price for fill in rig.fills()] == [D("107.99")]


@pytest.mark.parametrize(
    ("side", "type_", "stop"),
    [
        ("SELL", "STOP_LOSS_LIMIT", "100"),
        ("BUY", "STOP_LOSS_LIMIT", "100"),
        ("SELL", "TAKE_PROFIT_LIMIT", "99"),
        ("BUY", "TAKE_PROFIT_LIMIT", "101"),
    ],
)
def test_a_stop_that_would_trigger_at_once_is_refused(rig: Rig, side: str, type_: str, stop: str) -> None:
    with pytest.raises(ApiError, match="Order would trigger immediately") as caught:
        rig.place(side, type_, "1", price="100", stop_price=stop)
    assert caught.value.code == -2010
    assert rig.exchange.books.orders("account_id = ?", (rig.account.id,)) == []


def place_pair(rig: Rig, **ids: str):
    above = rig.new("SELL", "LIMIT_MAKER", "2", price="108", client_id=ids.get("above", "target"))
    below = rig.new(
        "SELL", "STOP_LOSS_LIMIT", "2", price="94", stop_price="95", client_id=ids.get("below", "stop")
    )
    return rig.exchange.engine.lists.place_oco(rig.account, above, below, ids.get("list", "pair"), rig.now_ms)


def test_an_oco_locks_its_quantity_once(rig: Rig) -> None:
    one, legs = place_pair(rig)
    assert [leg.status for leg in legs] == ["NEW", "NEW"]
    assert (rig.free("XYZ"), rig.locked("XYZ")) == (D("8"), D("2"))
    assert one.status == "EXECUTING"


def test_the_stop_of_an_oco_ends_the_target(rig: Rig) -> None:
    one, [stop, target] = place_pair(rig)
    rig.step(300)
    assert (stop.status, target.status, one.status) == ("FILLED", "EXPIRED", "ALL_DONE")
    assert [fill.order_id for fill in rig.fills()] == [stop.order_id]
    assert (rig.free("XYZ"), rig.locked("XYZ")) == (D("8"), D("0"))


def test_the_target_of_an_oco_ends_the_stop(rig: Rig) -> None:
    rig.step(130)
    one, [stop, target] = place_pair(rig)
    rig.step(300)
    assert (stop.status, target.status, one.status) == ("EXPIRED", "FILLED", "ALL_DONE")
    assert [(fill.price, fill.is_maker) for fill in rig.fills()] == [(D("108"), True)]
    assert rig.locked("XYZ") == 0


def test_cancelling_one_leg_cancels_both_and_frees_the_coins(rig: Rig) -> None:
    one, [stop, target] = place_pair(rig)
    rig.exchange.engine.cancel(rig.account, target, rig.now_ms)
    assert (stop.status, target.status, one.status) == ("CANCELED", "CANCELED", "ALL_DONE")
    assert (rig.free("XYZ"), rig.locked("XYZ")) == (D("10"), D("0"))
    with pytest.raises(ApiError, match="Unknown order sent") as caught:
        rig.exchange.engine.cancel(rig.account, stop, rig.now_ms)
    assert caught.value.code == -2011


def test_an_oco_with_prices_the_wrong_way_round_is_refused(rig: Rig) -> None:
    above = rig.new("SELL", "LIMIT_MAKER", "2", price="99", client_id="a")
    below = rig.new("SELL", "STOP_LOSS_LIMIT", "2", price="94", stop_price="95", client_id="b")
    with pytest.raises(ApiError, match="relationship of the prices"):
        rig.exchange.engine.lists.place_oco(rig.account, above, below, "pair", rig.now_ms)
    assert rig.locked("XYZ") == 0


def test_a_buying_oco_keeps_back_what_the_dearer_leg_needs(rig: Rig) -> None:
    above = rig.new("BUY", "STOP_LOSS_LIMIT", "2", price="106", stop_price="105", client_id="a")
    below = rig.new("BUY", "LIMIT_MAKER", "2", price="95", client_id="b")
    rig.exchange.engine.lists.place_oco(rig.account, above, below, "pair", rig.now_ms)
    assert rig.locked("USDT") == D("212")
    rig.step(120)
    assert rig.locked("USDT") == 0
    assert rig.free("USDT") == D("10000") - D("190")


def test_an_id_is_unique_among_open_orders_only(rig: Rig) -> None:
    rig.place("BUY", "MARKET", "1", client_id="same")
    rig.place("BUY", "MARKET", "1", client_id="same")
    first, _ = rig.place("BUY", "LIMIT", "1", price="95", client_id="same")
    with pytest.raises(ApiError, match=r"Duplicate order sent\.") as caught:
        rig.place("BUY", "MARKET", "1", client_id="same")
    assert caught.value.code == -2010
    rig.exchange.engine.cancel(rig.account, first, rig.now_ms)
    rig.place("BUY", "MARKET", "1", client_id="same")
    assert len(rig.fills()) == 3


@pytest.mark.parametrize(
    ("side", "type_", "quantity", "values"),
    [
        ("BUY", "MARKET", "200", {}),
        ("SELL", "MARKET", "11", {}),
        ("BUY", "LIMIT", "200", {"price": "95"}),
        ("SELL", "LIMIT", "10.01", {"price": "105"}),
    ],
)
def test_nobody_spends_what_he_does_not_have(
    rig: Rig, side: str, type_: str, quantity: str, values: dict[str, str]
) -> None:
    with pytest.raises(ApiError, match="insufficient balance") as caught:
        rig.place(side, type_, quantity, **values)
    assert caught.value.code == -2010
    assert (rig.free("USDT"), rig.free("XYZ")) == (D("10000"), D("10"))


def test_a_halted_symbol_takes_no_orders_and_matches_none(rig: Rig) -> None:
    order, _ = rig.place("BUY", "LIMIT", "3", price="95")
    rig.exchange.engine.set_status("XYZUSDT", "BREAK", rig.now_ms)
    with pytest.raises(ApiError, match=r"Market is closed\."):
        rig.place("BUY", "MARKET", "1")
    rig.step(120)
    assert order.status == "NEW"
    rig.exchange.engine.set_status("XYZUSDT", "TRADING", rig.now_ms)
    rig.step(180)
    assert order.status == "NEW"  # what was touched in the break was not traded


def test_money_is_neither_made_nor_lost(rig: Rig) -> None:
    rig.place("BUY", "MARKET", "7.12")
    rig.place("SELL", "LIMIT", "5.5", price="104.37")
    rig.place("BUY", "LIMIT", "1.23", price="93.21")
    place_pair(rig)
    rig.step(290)
    fills = rig.fills()
    bought = sum((f.quantity for f in fills if f.is_buyer), D(0))
    sold = sum((f.quantity for f in fills if not f.is_buyer), D(0))
    paid = sum((f.quote_quantity if f.is_buyer else -f.quote_quantity for f in fills), D(0))
    fees = {a: sum((f.commission for f in fills if f.commission_asset == a), D(0)) for a in ("XYZ", "USDT")}
    assert rig.free("XYZ") + rig.locked("XYZ") == D(10) + bought - sold - fees["XYZ"]
    assert rig.free("USDT") + rig.locked("USDT") == D(10_000) - paid - fees["USDT"]
    assert sold > 0


def test_a_triggered_leg_that_rests_keeps_the_coins_of_the_pair(rig: Rig) -> None:
    rig.step(130)
    above = rig.new("SELL", "TAKE_PROFIT_LIMIT", "2", price="112", stop_price="108", client_id="target")
    below = rig.new("SELL", "STOP_LOSS", "2", stop_price="90", client_id="stop")
    one, [stop, target] = rig.exchange.engine.lists.place_oco(rig.account, above, below, "pair", rig.now_ms)
    rig.step(300)
    assert (stop.status, target.status, one.status) == ("EXPIRED", "NEW", "EXECUTING")
    assert target.working_ms > rig.start_ms + 180_000
    assert (target.locked, rig.locked("XYZ"), rig.free("XYZ")) == (D("2"), D("2"), D("8"))
    rig.exchange.engine.cancel(rig.account, target, rig.now_ms)
    assert (one.status, rig.locked("XYZ"), rig.free("XYZ")) == ("ALL_DONE", D("0"), D("10"))


def test_a_rising_candle_goes_to_its_low_first(candles: Candles) -> None:
    rig = make_rig(candles(FLAT, (100.0, 110.0, 96.0, 105.0)))
    rig.place("BUY", "LIMIT", "1", price="98")
    rig.place("SELL", "LIMIT", "1", price="103")
    rig.step(120)
    assert [(fill.time_ms - rig.start_ms, fill.price) for fill in rig.fills()] == [
        (70_000, D("98")),  # half of the first third: 100 to 96
        (90_000, D("103")),  # half of the second third: 96 to 110
    ]
