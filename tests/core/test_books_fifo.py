"""FIFO books: exact PnL for plain trades, and no cent lost or made whatever the fills are."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shared import require_shared
from trading.books_fifo import FillView, OpenLot, cash_flow, fifo

D = Decimal


def fill(
    side: str, quantity: str, price: str, fee: str = "0", asset: str = "USDT", **changes: object
) -> FillView:
    values = {"base": "BTC", "quote": "USDT"} | changes
    return FillView(side, D(quantity), D(price), D(fee), asset, **values)


def test_no_fills_are_flat_books() -> None:
    books = fifo([])
    assert (books.position, books.average_entry_price, books.lots, books.realized) == (D(0), None, (), ())
    assert (books.realized_total, books.open_cash) == (D(0), D(0))


def test_an_entry_realises_nothing_and_its_fee_is_part_of_its_cost() -> None:
    books = fifo([fill("BUY", "2", "100", "0.2")])
    assert (books.position, books.average_entry_price, books.realized) == (D(2), D(100), (D(0),))
    assert books.lots == (OpenLot(D(2), D(100), D("-200.2")),)


def test_a_round_trip_is_net_of_both_fees() -> None:
    books = fifo([fill("BUY", "2", "100", "0.2"), fill("SELL", "2", "110", "0.22")])
    assert books.realized == (D(0), D("19.58"))
    assert (books.position, books.average_entry_price, books.lots) == (D(0), None, ())


def test_first_in_is_first_out() -> None:
    books = fifo([fill("BUY", "1", "100"), fill("BUY", "1", "200"), fill("SELL", "1.5", "300")])
    assert books.realized == (D(0), D(0), D(250))
    assert books.lots == (OpenLot(D("0.5"), D(200), D(-100)),)
    assert books.average_entry_price == D(200)


def test_the_average_entry_price_is_weighted_and_without_fees() -> None:
    books = fifo([fill("BUY", "1", "100", "5"), fill("BUY", "3", "200", "5")])
    assert books.average_entry_price == D(175)


def test_a_commission_in_base_is_not_received() -> None:
    books = fifo([fill("BUY", "2", "100", "0.002", "BTC"), fill("SELL", "1.998", "110", "0.21978")])
    assert books.position == D(0)
    assert books.realized == (D(0), D("219.78") - D("0.21978") - D(200))


def test_a_commission_in_bnb_counts_at_its_price() -> None:
    books = fifo(
        [
            fill("BUY", "1", "100", "0.0002", "BNB", bnb_price=D(600)),
            fill("SELL", "1", "110", "0.0002", "BNB", bnb_price=D(500)),
        ]
    )
    assert books.realized == (D(0), D("10") - D("0.12") - D("0.10"))


def test_a_commission_in_bnb_without_its_price_is_refused() -> None:
    with pytest.raises(ValueError, match="a commission in BNB needs its price in USDT"):
        fifo([fill("BUY", "1", "100", "0.0002", "BNB")])
    assert fifo([fill("BUY", "1", "100", "0", "BNB")]).position == D(1)


def test_bnb_as_base_pays_in_base() -> None:
    bought = fill("BUY", "10", "600", "0.01", "BNB", base="BNB")
    assert fifo([bought]).position == D("9.99")
    # the sell's fee leaves the position too, as far as that lasts; the rest is an expense at the price
    partly = fifo([bought, fill("SELL", "9", "600", "0.009", "BNB", base="BNB")])
    assert partly.position == D("0.981")
    assert partly.realized_total + partly.open_cash == D(5400) - D(6000)
    whole = fifo([bought, fill("SELL", "9.99", "600", "0.00999", "BNB", base="BNB")])
    assert whole.position == D(0)
    assert whole.realized_total == D("5994") - D("5.994") - D(6000)


def test_a_partial_exit_gets_its_share_and_the_last_piece_the_rest() -> None:
    books = fifo([fill("BUY", "3", "1", "0.0001"), *[fill("SELL", "1", "1")] * 3])
    third = D("1.000033333333333333")
    assert books.realized == (D(0), 1 - third, 1 - third - D("1e-18"), 1 - third)
    assert books.realized_total == D("-0.0001")


def test_spot_cannot_sell_what_it_does_not_hold() -> None:
    with pytest.raises(ValueError, match="more than is held"):
        fifo([fill("SELL", "1", "100")])
    with pytest.raises(ValueError, match="more than is held"):
        fifo([fill("BUY", "1", "100"), fill("SELL", "1.1", "100")])


def test_a_futures_short_gains_when_the_price_falls() -> None:
    books = fifo(
        [
            fill("SELL", "1", "100", "0.04", market="futures"),
            fill("BUY", "1", "90", "0.036", market="futures"),
        ]
    )
    assert books.realized == (D(0), D("10") - D("0.076"))


def test_a_futures_fill_beyond_flat_opens_the_other_way() -> None:
    books = fifo(
        [fill("BUY", "1", "100", market="futures"), fill("SELL", "3", "110", "0.3", market="futures")]
    )
    assert books.realized == (D(0), D("9.9"))
    assert books.lots == (OpenLot(D(-2), D(110), D("219.8")),)
    assert (books.position, books.average_entry_price) == (D(-2), D(110))


def test_dust_is_written_off_as_a_fill_at_its_value() -> None:
    bought = [fill("BUY", "1", "100"), fill("SELL", "0.99", "100")]
    lost = fifo([*bought, fill("SELL", "0.01", "0")])
    assert (lost.position, lost.realized[-1]) == (D(0), D(-1))


@pytest.mark.parametrize(
    "bad",
    [
        ("BUY", "0", "100"),
        ("BUY", "-1", "100"),
        ("SELL", "0", "100"),
        ("BUY", "1", "-1"),
        ("BUY", "NaN", "100"),
        ("BUY", "1", "Infinity"),
        ("BUY", "1", "100", "NaN"),
        ("BUY", "1", "100", "1", "BTC"),
        ("BUY", "1", "100", "2", "BTC"),
    ],
)
def test_a_fill_that_cannot_be_is_refused(bad: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        fifo([fill("BUY", "5", "100"), fill(*bad)])


def test_the_recorded_market_buy_leaves_what_can_be_sold() -> None:
    path = require_shared("data/orders/spot_market_buy_full_ADABTC_74650132.json")
    order = json.loads(path.read_text())
    fills = [
        fill("BUY", f["qty"], f["price"], f["commission"], f["commissionAsset"], base="ADA", quote="BTC")
        for f in order["fills"]
    ]
    books = fifo(fills)
    assert books.position == D("376.623")
    assert books.open_cash == -D(order["cummulativeQuoteQty"])


AMOUNTS = st.decimals("0.00000001", 10**6, places=8)
FEES = st.decimals(0, 100, places=8)
ASSETS = st.sampled_from(["USDT", "BNB"])


@st.composite
def fills_of(draw: st.DrawFn, market: str) -> list[FillView]:
    fills: list[FillView] = []
    for _ in range(draw(st.integers(0, 12))):
        held = fifo(fills).position
        quantity, price, fee, asset = draw(AMOUNTS), draw(AMOUNTS), draw(FEES), draw(ASSETS)
        side = draw(st.sampled_from(["BUY", "SELL"]))
        if market == "spot" and side == "SELL":
            if held <= 0:
                continue
            quantity = min(quantity, held)
        elif market == "spot" and draw(st.booleans()):
            asset, fee = "BTC", (quantity / 1000).quantize(D("1e-8"))
        fills.append(FillView(side, quantity, price, fee, asset, "BTC", "USDT", draw(AMOUNTS), market))
    return fills


@pytest.mark.parametrize("market", ["spot", "futures"])
@given(data=st.data())
def test_realised_and_open_cash_are_exactly_what_moved(market: str, data: st.DataObject) -> None:
    fills = data.draw(fills_of(market))
    books = fifo(fills)
    with localcontext(prec=200):
        moved = sum((cash_flow(item) for item in fills), D(0))
        assert books.realized_total + books.open_cash == moved
        position = sum((item.quantity if item.side == "BUY" else -item.quantity for item in fills), D(0))
        in_base = sum((item.commission for item in fills if item.commission_asset == "BTC"), D(0))
        assert books.position == position - in_base
        assert books.position == sum((lot.quantity for lot in books.lots), D(0))
    assert len(books.realized) == len(fills)
    assert len({lot.quantity > 0 for lot in books.lots}) <= 1
    assert all(lot.quantity for lot in books.lots)
    assert (books.average_entry_price is None) == (books.position == 0)


@given(fills_of("spot"), st.integers(0, 12))
def test_later_fills_do_not_change_what_was_realised_before(fills: list[FillView], cut: int) -> None:
    assert fifo(fills[:cut]).realized == fifo(fills).realized[:cut]
