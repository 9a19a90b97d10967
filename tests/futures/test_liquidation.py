"""The estimated liquidation price, and the exit at it."""

from __future__ import annotations

import pytest

from tests.core.builders import NOW, at_price, bot, position
from trading.decide import decide
from trading.liquidation import liquidation_distance_perc, liquidation_price

LONG = bot(market="futures", leverage=10)
SHORT = bot(market="futures", leverage=10, position_type="short")


@pytest.mark.parametrize(
    ("leverage", "is_long", "rate", "price"),
    [
        (10, True, 0.004, 90 / 0.996),
        (10, False, 0.004, 110 / 1.004),
        (125, True, 0.004, 99.2 / 0.996),
        (2, False, 0.01, 150 / 1.01),
        (1, False, 0.005, 200 / 1.005),
    ],
)
def test_it_is_where_the_margin_is_down_to_the_maintenance_margin(leverage, is_long, rate, price):
    found = liquidation_price(100, leverage, is_long=is_long, maintenance_rate=rate)
    assert found == pytest.approx(price, rel=1e-12)
    margin, sign = 100 / leverage, 1 if is_long else -1
    assert margin + sign * (found - 100) == pytest.approx(rate * found, rel=1e-9)


def test_a_long_position_without_leverage_is_never_liquidated():
    assert liquidation_price(100, 1, is_long=True) is None
    assert liquidation_distance_perc(1, is_long=True) is None


def test_where_the_margin_is_below_maintenance_no_distance_is_left():
    assert liquidation_distance_perc(100, is_long=True, maintenance_rate=0.02) == 0


@pytest.mark.parametrize(("config", "price", "side"), [(LONG, 90.4, "SELL"), (SHORT, 109.6, "BUY")])
def test_a_position_beyond_its_liquidation_price_is_left(config, price, side):
    decision = decide(config, position(), at_price(price), NOW)
    assert decision.wishes[0].side == side
    assert decision.reasons[0].startswith("liquidation price ")
    assert "reached" in decision.reasons[0]


@pytest.mark.parametrize(("config", "price"), [(LONG, 90.6), (SHORT, 109.3)])
def test_before_it_the_position_is_held(config, price):
    assert decide(config, position(), at_price(price), NOW).wishes == ()


def test_the_symbols_own_maintenance_rate_counts():
    near = at_price(90.6, maintenance_rate=0.01)
    assert decide(LONG, position(), near, NOW).reasons[0].startswith("liquidation price 90.909091 reached")


def test_spot_knows_no_liquidation():
    assert decide(bot(leverage=1), position(), at_price(1), NOW).wishes == ()
