"""What a seed stands for: market, step, fault and network fault of a trial. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

SCALE = 1 / 600  # of all waits of the protocol
# The named steps of placement, C1 to C10 of docs/faults.md, in their order.
STEPS = (
    "prepare.begin",
    "prepare.inserted",
    "prepare.committed",
    "send.begin",
    "send.sent",
    "send.answered",
    "send.booked",
    "send.committed",
)
# Between the cancel of a stop and what replaces it: K12. Reached when a bot leaves by hand.
WITHDRAWAL_STEPS = ("withdraw.after_cancel", "withdraw.before_place")
RECOVERY_STEPS = ("recover.query", "recover.cancel", "recover.gather", "recover.book", "recover.release")
# What happens to the worker that reaches the step, and how often it is chosen.
ACTIONS = {
    "kill": 24,  # SIGKILL of the process
    "kill all": 8,  # SIGKILL of every worker, Redis emptied
    "freeze": 8,  # SIGSTOP, SIGCONT later
    "freeze and cut": 10,  # SIGSTOP, its database session terminated, SIGCONT after others went on
    "interrupt": 8,  # TimeLimitExceeded
    "cut": 8,  # every database session terminated
    "terminate": 6,  # SIGTERM
    "flush": 5,  # Redis emptied
    "redis down": 3,
    "postgres": 3,  # restarted
    "none": 17,
}
LOST = ({"kind": "drop_response"}, {"kind": "timeout"}, {"kind": "unavailable"}, {"kind": "bad_gateway"})
NETWORK: tuple[dict[str, Any], ...] = (
    *LOST,
    {"kind": "truncated"},
    {"kind": "empty"},
    {"kind": "redirect"},
    {"kind": "drop_request"},
    {"kind": "timeout", "when": "before"},
    {"kind": "delay", "seconds": 0.15, "when": "before"},
    {"kind": "delay", "seconds": 0.4, "when": "engine"},
    {"kind": "delay", "seconds": 0.4, "when": "after"},
    {"kind": "rate_limited", "retry_after": 1},
)
SHIFTS = (0.0,) * 8 + (2.0, -6.0)  # seconds by which the traders' clock is off


@dataclass(frozen=True)
class Scenario:
    """One trial. `phase` is when the fault strikes; `kill_again` a step of recovery at which one dies too."""

    seed: int
    market: str
    bots: int
    phase: str  # entry: until the position is protected; exit
    action: str
    step: str
    skip: int
    seconds: float
    network: tuple[dict[str, Any], ...] = ()
    any_post: bool = False  # the network fault is for any POST or DELETE, not for plain orders only
    stale_seconds: float = 0.0
    kill_again: str = ""
    shift: float = 0.0
    copies: int = 1
    schedulers: int = 1
    exit_by: str = "target"
    side: str = "long"

    def __str__(self) -> str:
        parts = [f"seed {self.seed}: {self.bots} {self.market} {self.side}, {self.phase}, {self.action}"]
        parts += [f"at {self.step}"] if self.action != "none" else []
        parts += [one["kind"] for one in self.network]
        parts += [f"killed at {self.kill_again}"] if self.kill_again else []
        parts += [f"clock {self.shift:+.0f} s"] if self.shift else []
        parts += [f"{self.copies} copies, {self.schedulers} schedulers"] if self.copies > 1 else []
        return ", ".join(parts)


def choose(seed: int) -> Scenario:
    """The scenario of a seed, the same on every machine."""
    dice = random.Random(seed)
    action = dice.choices(list(ACTIONS), list(ACTIONS.values()))[0]
    network: tuple[dict[str, Any], ...] = ()
    if action == "none" or dice.random() < 0.3:
        network = tuple(dice.choice(NETWORK) for _ in range(dice.choice((1, 1, 2))))
    kill_again = dice.choice(RECOVERY_STEPS) if network and dice.random() < 0.4 else ""
    market = dice.choice(("spot", "spot", "futures"))
    bots = dice.choice((1, 2, 3))
    phase = dice.choice(("entry", "exit"))
    exit_by = dice.choice(("target", "stop", "hand", "hand"))
    steps = STEPS + (WITHDRAWAL_STEPS * 2 if (phase, exit_by) == ("exit", "hand") else ())
    return Scenario(
        seed=seed,
        market=market,
        bots=bots,
        phase=phase,
        action=action,
        step=dice.choice(steps),
        skip=dice.randrange(bots),
        seconds=dice.choice((0.05, 0.3, 1.0, 3.0)),
        network=network,
        any_post=dice.random() < 0.4,
        stale_seconds=dice.choice((0.0, 0.0, 1.0)) if network else 0.0,
        kill_again=kill_again,
        shift=dice.choice(SHIFTS),
        copies=dice.choice((1, 1, 10)),
        schedulers=dice.choice((1, 1, 3)),
        exit_by=exit_by,
        side=dice.choice(("long", "short")) if market == "futures" else "long",
    )
