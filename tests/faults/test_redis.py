"""Redis away, emptied, full, read-only or slow in the middle of an order: nothing is lost or doubled."""

from __future__ import annotations

import pytest

from trading.models import Order


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["entry", "exit"])
@pytest.mark.parametrize("trouble", ["flush", "redis down", "redis read-only", "redis full", "redis slow"])
def test_an_order_is_placed_once_and_ticks_go_on(try_out, trouble, phase):
    trial = try_out(phase=phase, action=trouble, step="send.begin", bots=2, seconds=1.0)
    assert trial.figures.struck == 1
    filled = Order.objects.filter(account=trial.account, status="FILLED")
    assert sorted(filled.values_list("purpose", flat=True)) == ["ENTRY"] * 2 + ["EXIT"] * 2
