"""Filters: every violation named with its numbers; lots and quantities; plain decimals."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import rules
from trading.filters import (
    below_minimum,
    check_order,
    format_decimal,
    lots_to_quantity,
    quantity_to_lots,
)

STEPS = st.sampled_from([Decimal(text) for text in ("0.00000001", "0.001", "1", "10", "0.25", "1E+2")])


def check(kind: str = "LIMIT", quantity: str = "1", price: str = "100", **changes: object) -> list[str]:
    return check_order(rules(**changes), type=kind, quantity=Decimal(quantity), price=Decimal(price))


def test_an_order_within_all_filters_has_no_violation() -> None:
    assert check() == []
    assert check("MARKET", quantity="0.05", price="100") == []


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        ({"quantity": "0.0005"}, "quantity 0.0005 BTC is below the smallest allowed, 0.001"),
        ({"quantity": "1000.001"}, "quantity 1000.001 BTC is above the largest allowed, 1000"),
        ({"quantity": "1.0005"}, "quantity 1.0005 BTC is not a multiple of the step 0.001"),
        ({"price": "0.001"}, "price 0.001 is below the lowest allowed, 0.01"),
        ({"price": "1000000.01"}, "price 1000000.01 is above the highest allowed, 1000000"),
        ({"price": "100.005"}, "price 100.005 is not a multiple of the tick 0.01"),
        ({"price": "0"}, "price 0 is not positive"),
        ({"quantity": "0.049"}, "worth 4.9 USDT is below the smallest allowed, 5"),
        (
            {"quantity": "900", "price": "10000.01"},
            "worth 9000009 USDT is above the largest allowed, 9000000",
        ),
    ],
)
def test_each_filter_has_its_sentence(order: dict[str, str], sentence: str) -> None:
    assert sentence in check(**order)


@pytest.mark.parametrize(
    "order",
    [
        {"quantity": "0.001", "price": "10000"},
        {"quantity": "1000"},
        {"quantity": "1000", "price": "0.01"},
        {"quantity": "1", "price": "1000000"},
        {"quantity": "0.05"},
        {"quantity": "900", "price": "10000"},
    ],
)
def test_a_bound_itself_is_allowed(order: dict[str, str]) -> None:
    assert check(**order) == []


def test_zero_is_never_a_quantity_even_where_the_filter_is_off() -> None:
    assert "quantity 0 BTC is below the smallest allowed, 0" in check(
        quantity="0", min_quantity=Decimal(0), min_notional=None
    )


def test_rules_that_are_off_forbid_nothing() -> None:
    off = {
        "max_quantity": None,
        "tick": None,
        "min_price": None,
        "max_price": None,
        "min_notional": None,
        "max_notional": None,
    }
    assert check(quantity="123456789.001", price="0.0000001", **off) == []


def test_a_market_order_is_not_held_to_the_price_filter() -> None:
    assert check("MARKET", price="100.005") == []


@pytest.mark.parametrize(("applies", "count"), [(True, 1), (False, 0)])
def test_notional_bounds_hold_market_orders_only_where_they_apply(applies: bool, count: int) -> None:
    low = check("MARKET", quantity="0.049", min_notional_applies_to_market=applies)
    high = check("MARKET", quantity="900", price="10001", max_notional_applies_to_market=applies)
    assert (len(low), len(high)) == (count, count)
    assert len(check("LIMIT", quantity="0.049", min_notional_applies_to_market=applies)) == 1


def test_below_minimum_looks_at_quantity_and_at_notional_where_it_counts() -> None:
    assert below_minimum(rules(), Decimal("0.0009"), Decimal(10000)) == (
        "quantity 0.0009 BTC is below the smallest allowed, 0.001"
    )
    assert below_minimum(rules(), Decimal("0.001"), Decimal(10000)) is None
    assert below_minimum(rules(min_quantity=Decimal(0)), Decimal(0), None) is not None
    assert below_minimum(rules(), Decimal("0.049"), Decimal(100)) == (
        "worth 4.9 USDT is below the smallest allowed, 5"
    )
    assert below_minimum(rules(), Decimal("0.049"), None) is None
    assert below_minimum(rules(), Decimal("0.049"), Decimal(100), notional_counts=False) is None
    assert below_minimum(rules(min_notional=None), Decimal("0.049"), Decimal(100)) is None
    assert below_minimum(rules(), Decimal("0.05"), Decimal(100)) is None


@given(st.integers(0, 10**15), STEPS)
def test_lots_survive_the_way_to_a_quantity_and_back(lots: int, step: Decimal) -> None:
    symbol_rules = rules(lot_step=step)
    assert quantity_to_lots(symbol_rules, lots_to_quantity(symbol_rules, lots)) == lots


@given(st.decimals(0, 10**9, places=8), STEPS)
def test_quantity_to_lots_is_the_largest_whole_number_that_fits(quantity: Decimal, step: Decimal) -> None:
    lots = quantity_to_lots(rules(lot_step=step), quantity)
    assert lots * step <= quantity < (lots + 1) * step


def test_a_negative_quantity_has_no_lots() -> None:
    with pytest.raises(ValueError, match="can't be negative"):
        quantity_to_lots(rules(), Decimal("-0.001"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E-5", "0.00001"),
        ("1E+2", "100"),
        ("100", "100"),
        ("0.10000000", "0.1"),
        ("0E-8", "0"),
        ("-0.0", "0"),
        ("-1.50", "-1.5"),
        ("123456789012345678901234567890.12", "123456789012345678901234567890.12"),
    ],
)
def test_decimals_are_written_plainly(value: str, text: str) -> None:
    assert format_decimal(Decimal(value)) == text


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_a_decimal_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="can't be sent"):
        format_decimal(Decimal(value))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20))
def test_a_written_decimal_reads_back_as_itself(value: Decimal) -> None:
    text = format_decimal(value)
    assert Decimal(text) == value
    assert "e" not in text.lower()
