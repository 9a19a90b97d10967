"""One fault at each named step of placing an order: SIGKILL, a frozen worker, a lost session, a time limit.

`try_out` runs a bot to entry and exit and compares its orders, fills and balances with the exchange's.
"""

from __future__ import annotations

import pytest

from tests.faults.scenario import RECOVERY_STEPS, STEPS, WITHDRAWAL_STEPS
from trading.models import OrderRequest

# What is left of an entry when its worker died at the step, before the next one: C1 to C10.
LEFT = {
    "prepare.begin": [],
    "prepare.inserted": [],
    "prepare.committed": ["NOT_PLACED"],
    "send.begin": ["NOT_PLACED"],
    "send.sent": ["ACCEPTED"],
    "send.answered": ["ACCEPTED"],
    "send.booked": ["ACCEPTED"],
    "send.committed": ["ACCEPTED"],
}


def states(trial, purpose: str) -> list[str]:
    """How the requests for this purpose ended, in order; those that were late to be sent left out."""
    rows = OrderRequest.objects.filter(account=trial.account, orders__purpose=purpose).order_by("id")
    return [row.state for row in rows if row.state not in ("NOT_SENT", "REJECTED")]


def by_the_table(step: str) -> list[str]:
    """The states of an order's requests: what the dead worker left, and the one that was placed."""
    left = LEFT[step]
    return left if left == ["ACCEPTED"] else [*left, "ACCEPTED"]


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_a_step_of_an_entry_leaves_one_order(try_out, step):
    trial = try_out(phase="entry", action="kill", step=step)
    assert trial.figures.struck == 1
    assert states(trial, "ENTRY") == by_the_table(step)


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_a_step_of_an_exit_leaves_one_order(try_out, step):
    trial = try_out(phase="exit", action="kill", step=step, market="futures", side="short")
    assert trial.figures.struck == 1
    assert states(trial, "EXIT") == by_the_table(step)


@pytest.mark.parametrize("step", ["send.begin", "send.sent", "send.answered"])
def test_a_worker_frozen_without_its_session_sends_nothing_twice_when_it_wakes(try_out, step):
    trial = try_out(phase="entry", action="freeze and cut", step=step, seconds=4.0)
    assert trial.figures.struck == 1
    assert states(trial, "ENTRY").count("ACCEPTED") == 1


@pytest.mark.parametrize("step", STEPS)
def test_a_time_limit_at_a_step_leaves_the_worker_well_and_one_order(try_out, step):
    trial = try_out(phase="entry", action="interrupt", step=step)
    assert (trial.figures.struck, trial.figures.restarts) == (1, 0)
    assert states(trial, "ENTRY") == by_the_table(step)


@pytest.mark.parametrize("step", STEPS)
def test_a_session_terminated_at_a_step_leaves_the_worker_well_and_one_order(try_out, step):
    trial = try_out(phase="entry", action="cut", step=step)
    assert (trial.figures.struck, trial.figures.restarts) == (1, 0)
    assert states(trial, "ENTRY").count("ACCEPTED") == 1


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_postgres_restarted_at_a_step_leaves_the_workers_well_and_one_order(try_out, step):
    trial = try_out(phase="exit", action="postgres", step=step)
    assert (trial.figures.struck, trial.figures.restarts) == (1, 0)
    assert states(trial, "EXIT").count("ACCEPTED") == 1


@pytest.mark.parametrize("step", RECOVERY_STEPS)
def test_a_worker_killed_at_a_step_of_recovery_leaves_the_doubt_to_the_next(try_out, step):
    lost = {"kind": "drop_response" if step in ("recover.query", "recover.book") else "drop_request"}
    for _ in range(3):  # another look may end the doubt by another way, so that nobody comes to this step
        trial = try_out(network=(lost,), kill_again=step)
        if trial.figures.restarts:
            break
    assert trial.figures.restarts >= 1  # the harness may see one dead worker twice
    found = lost["kind"] == "drop_response"
    assert states(trial, "ENTRY") == ["ACCEPTED"] if found else ["NOT_PLACED", "ACCEPTED"]


def test_a_crash_in_one_thread_costs_the_others_a_tick_and_no_order(try_out):
    trial = try_out(action="crash", step="send.sent", bots=3, skip=1)
    assert (trial.figures.struck, trial.figures.restarts) == (1, 1)
    assert states(trial, "ENTRY").count("ACCEPTED") == 3


@pytest.mark.parametrize("step", WITHDRAWAL_STEPS)
@pytest.mark.parametrize("action", ["kill", "freeze and cut", "cut"])
def test_a_worker_killed_between_a_stop_and_what_follows_it_goes_on_at_the_next_look(try_out, step, action):
    """Leaving by hand on spot: the list with stop and target is withdrawn, then the coins are sold."""
    trial = try_out(phase="exit", action=action, step=step)
    assert trial.figures.struck == 1
    assert trial.figures.naked < 90


@pytest.mark.parametrize("traded_on", ["spot", "futures"])
def test_a_cancel_that_races_a_fill_sells_nothing_twice(try_out, traded_on):
    """The price jumps to the target at the moment in which the owner stops the bot."""
    trial = try_out(exit_by="both", market=traded_on, bots=3)
    assert trial.figures.duplicates == 0
