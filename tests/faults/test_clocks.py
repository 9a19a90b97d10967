"""Workers whose clocks are off: refused, measured anew, and at most one slot lost for each worker."""

from __future__ import annotations

import pytest

from trading.models import OrderRequest


@pytest.mark.parametrize("shift", [2.0, -6.0])
@pytest.mark.parametrize("phase", ["entry", "exit"])
def test_clocks_that_are_off_cost_a_slot_at_most_and_no_order(try_out, phase, shift):
    """The workers start with another clock while the shared measurement of the old one is in Redis."""
    trial = try_out(phase=phase, shift=shift, bots=2)
    rows = OrderRequest.objects.filter(account=trial.account)
    assert rows.filter(state="ACCEPTED").count() == 4
    refused = rows.filter(state="REJECTED")
    assert {row.code for row in refused} <= {-1021}
    assert refused.count() <= 4  # each bot of each worker, once
