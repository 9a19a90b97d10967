"""Size: exact lots for plain numbers, and never more money than the bot has for an entry."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import bot, rules
from trading.sizing import entry_lots, largest_lots, whole_lots
from trading.types import Protection

RISKY = {"risk_per_trade_perc": 1.0, "protection": Protection(stop_loss_perc=20.0)}


@pytest.mark.parametrize(
    ("changes", "realized", "lots"),
    [
        ({}, 0.0, 1000),  # 10 % of 1000 is 100, at 100 one coin
        ({}, 500.0, 1000),  # not compounded
        ({"compound": True}, 500.0, 1500),
        ({"compound": True}, -500.0, 500),
        ({"leverage": 5, "market": "futures"}, 0.0, 5000),
        ({"leverage": 5}, 0.0, 1000),  # leverage means nothing on spot
        ({"position_size_perc": 100.0}, 0.0, 10000),
        (RISKY, 0.0, 500),  # 1 % of 1000 is 10, the stop is 20 away: half a coin
        (RISKY | {"risk_per_trade_perc": 50.0}, 0.0, 1000),  # the smaller counts
        (RISKY | {"compound": True}, 1000.0, 1000),
    ],
)
def test_lots_of_an_entry(changes: dict[str, object], realized: float, lots: int) -> None:
    assert entry_lots(bot(**changes), realized, 100.0, rules()) == (lots, None)


def test_lots_are_rounded_down() -> None:
    assert entry_lots(bot(), 0.0, 100.1, rules()) == (999, None)


def test_the_largest_quantity_caps() -> None:
    assert entry_lots(bot(), 0.0, 100.0, rules(max_quantity=Decimal("0.2505"))) == (250, None)


def test_the_largest_notional_caps_only_where_it_applies() -> None:
    capped = rules(max_notional=Decimal(50), max_notional_applies_to_market=True)
    assert entry_lots(bot(), 0.0, 100.0, capped) == (500, None)
    assert entry_lots(bot(), 0.0, 100.0, rules(max_notional=Decimal(50))) == (1000, None)
    assert largest_lots(capped, None) == 1000000


@pytest.mark.parametrize(
    ("changes", "symbol", "reason"),
    [
        ({"initial_capital": 49.9}, {}, "worth 4.9 USDT is below the smallest allowed, 5"),
        ({}, {"min_quantity": Decimal(2)}, "quantity 1 BTC is below the smallest allowed, 2"),
        ({"initial_capital": 0.0}, {}, "no capital left: 0"),
        ({"initial_capital": float("nan")}, {}, "no capital left: nan"),
        ({"compound": True}, {}, "no capital left: -200"),
        ({"risk_per_trade_perc": 1.0}, {}, "risk per trade needs a stop-loss"),
    ],
)
def test_a_size_that_cannot_be_has_a_reason(
    changes: dict[str, object], symbol: dict[str, object], reason: str
) -> None:
    lots, sentence = entry_lots(bot(**changes), -1200.0, 100.0, rules(**symbol))
    assert lots == 0
    assert sentence is not None
    assert reason in sentence


def test_nothing_is_rounded_up_to_reach_a_minimum() -> None:
    lots, sentence = entry_lots(bot(initial_capital=50.0), 0.0, 100.1, rules())
    assert (lots, sentence) == (0, "worth 4.9049 USDT is below the smallest allowed, 5")


@pytest.mark.parametrize(
    ("money", "per_lot", "lots"),
    [(0.3, 0.1, 3), (0.6, 0.2, 3), (1.0, 3.0, 0), (2.9999, 1.0, 2), (0.0, 1.0, 0), (1.0, 0.0, 0)],
)
def test_whole_lots_forgives_float_noise_and_nothing_else(money: float, per_lot: float, lots: int) -> None:
    assert whole_lots(money, per_lot) == lots


@pytest.mark.parametrize(
    ("money", "per_lot"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan"))]
)
def test_whole_lots_of_no_number_is_zero(money: float, per_lot: float) -> None:
    assert whole_lots(money, per_lot) == 0


@given(st.integers(1, 10**7), st.integers(1, 10**6), st.integers(0, 8))
def test_an_exact_multiple_is_never_lost_to_rounding(lots: int, ticks: int, places: int) -> None:
    per_lot = ticks / 10**places
    assert whole_lots(per_lot * lots, per_lot) == lots


@given(
    capital=st.floats(1, 1e9),
    size=st.floats(0.01, 100),
    price=st.floats(0.1, 1e6),
    step=st.sampled_from([Decimal(text) for text in ("0.00000001", "0.00001", "0.001", "1", "100")]),
)
def test_an_entry_never_costs_more_than_its_share_of_the_capital_but_for_float_noise(
    capital: float, size: float, price: float, step: Decimal
) -> None:
    free = rules(lot_step=step, min_quantity=step, max_quantity=None, min_notional=None)
    lots, _ = entry_lots(bot(initial_capital=capital, position_size_perc=size), 0.0, price, free)
    with localcontext(prec=60):
        cost = lots * step * Decimal(price)
        budget = Decimal(capital) * Decimal(size) / 100
        assert cost <= budget * (1 + Decimal("3e-12"))
        assert (lots + 1) * step * Decimal(price) > budget * (1 - Decimal("3e-12"))


@given(risk=st.floats(0.01, 10), stop=st.floats(0.1, 50), price=st.floats(0.001, 1e5))
def test_a_stopped_out_entry_loses_no_more_than_its_risk(risk: float, stop: float, price: float) -> None:
    risky = bot(
        risk_per_trade_perc=risk, protection=Protection(stop_loss_perc=stop), position_size_perc=100.0
    )
    fine = Decimal("0.00000001")
    free = rules(lot_step=fine, min_quantity=fine, max_quantity=None, min_notional=None)
    lots, _ = entry_lots(risky, 0.0, price, free)
    assert lots * 1e-8 * price * stop / 100 <= 1000.0 * risk / 100 * (1 + 1e-11)
