"""Seeded trials: whatever breaks, every decision has one order on the exchange, and the books agree."""

from __future__ import annotations

import os
import time

import pytest

from tests.faults.figures import Figures
from tests.faults.scenario import choose
from tests.faults.trial import Trial, TrialFailed

TRIALS = int(os.environ.get("FAULT_TRIALS") or 100)
FIRST_SEED = int(os.environ.get("FAULT_SEED") or 0) or 1


@pytest.mark.slow
def test_seeded_trials(yard, market, servers, owner, capsys):
    figures, failed = Figures(), []
    began = time.monotonic()
    for seed in range(FIRST_SEED, FIRST_SEED + TRIALS):
        scenario = choose(seed)
        started = time.monotonic()
        try:
            Trial(yard, market, servers, owner, scenario, figures).run()
        except TrialFailed as failure:
            failed.append(f"{failure}\nRepeat it: make faults TRIALS=1 SEED={seed}")
        if os.environ.get("FAULT_VERBOSE"):
            with capsys.disabled():
                print(f"{time.monotonic() - started:5.1f} s  {scenario}{' FAILED' if failed else ''}")
    figures.seconds = time.monotonic() - began
    with capsys.disabled():
        print(f"\n{figures.table()}")
    assert not failed, "\n\n".join(failed[:3])
    assert (figures.trials, figures.duplicates, figures.lost_fills, figures.differences) == (TRIALS, 0, 0, 0)
