"""The order protocol under a seeded scheduler, and broken on purpose: the simulation finds each break."""

from __future__ import annotations

import re

import pytest

from tests.simulation.exchange import Violation
from tests.simulation.simulation import main, simulate
from tests.simulation.worker import Protocol
from tradebot.timings import Timings

RUNS = 3000
FINDS_WITHIN = 3000
DUPLICATE = r"two orders for signal|was executed twice|more was sold"
BREAKS = {
    "no finality: the first 'does not exist' counts": (
        Protocol(Timings(hold_seconds=0, hold_long_seconds=0, not_found_gap_seconds=0)),
        DUPLICATE,
    ),
    "no evidence either": (
        Protocol(Timings(hold_seconds=0, hold_long_seconds=0, not_found_gap_seconds=0), weighs=False),
        DUPLICATE,
    ),
    "a minute is enough for every doubt": (Protocol(Timings(hold_long_seconds=60)), DUPLICATE),
    "an unknown outcome is sent again": (Protocol(retries=True), "was executed twice"),
    "no fence: neither epoch nor state": (Protocol(fenced=False), "no way from"),
    "the time stamp is made when sending": (Protocol(committed_time=False), DUPLICATE),
    "no fence, and the time stamp is made when sending": (
        Protocol(fenced=False, committed_time=False),
        DUPLICATE,
    ),
    "an exit is followed whatever the account has": (Protocol(counts_coins=False), "more was sold"),
}


def found_by(rules: Protocol, pattern: str) -> int | None:
    """The first seed at which the simulation says so."""
    for seed in range(FINDS_WITHIN):
        try:
            simulate(seed, rules)
        except Violation as violation:
            if re.search(pattern, str(violation)):
                return seed
    return None


@pytest.mark.slow
def test_no_interleaving_breaks_a_rule():
    late = sum(simulate(seed).late for seed in range(RUNS))
    assert late > RUNS / 10


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_protocol_is_found(name):
    rules, pattern = BREAKS[name]
    seed = found_by(rules, pattern)
    assert seed is not None, name
    with pytest.raises(Violation, match=f"seed {seed}: "):
        simulate(seed, rules)  # the seed alone brings it back


def test_the_same_seed_is_the_same_interleaving():
    assert simulate(42) == simulate(42)
    assert simulate(42) != simulate(43)


def test_the_command_counts_and_prints_the_seed_that_failed(capsys, monkeypatch):
    assert main(["--runs", "60", "--jobs", "1"]) == 0
    assert "60 interleavings" in capsys.readouterr().out
    monkeypatch.setattr("tests.simulation.simulation.simulate", _fail)
    assert main(["--runs", "60", "--seed", "7", "--jobs", "1"]) == 1
    assert "make simulation RUNS=1 SEED=7" in capsys.readouterr().err


def _fail(seed: int) -> None:
    raise Violation(f"seed {seed}: said so")
