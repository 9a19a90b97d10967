"""A seeded scheduler: steps, crashes, lost sessions and time in any order, then calm, then the books."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from random import Random

from tests.simulation.exchange import Answer, Exchange, Violation
from tests.simulation.worker import Database, Protocol, Row, Worker
from trading import protocol

CHAOS_STEPS = 60
CALM_ROUNDS = 400
BATCH = 500
CLOCK_ERRORS_MS = (0, 0, 0, 0, -300, 400, 2000, -6000)
JUMPS_MS = (5, 200, 900, 2600, 6100, 12_000, 35_000, 70_000, 620_000)


@dataclass(slots=True)
class Outcome:
    """What one interleaving came to."""

    seed: int
    orders: int = 0
    states: Counter[str] = field(default_factory=Counter)
    late: int = 0
    quarantined: int = 0

    def add(self, other: Outcome) -> None:
        """Count another's in."""
        self.orders += other.orders
        self.states += other.states
        self.late += other.late
        self.quarantined += other.quarantined


def simulate(seed: int, rules: Protocol = Protocol()) -> Outcome:  # noqa: B008 -- frozen
    """One interleaving. Raises Violation with the seed."""
    rng = Random(seed)
    exchange = Exchange(rng.choice(("spot", "futures")), rng, coins=rng.choice((0, 0, 3, 10, 40)))
    if exchange.market == "futures":
        exchange.coins = 0
    database = Database()
    workers = [
        Worker(database, exchange, rules, offset_ms=rng.choice(CLOCK_ERRORS_MS)),
        Worker(database, exchange, rules, offset_ms=rng.choice(CLOCK_ERRORS_MS)),
    ]
    outcome = Outcome(seed)
    try:
        _chaos(rng, exchange, workers)
        _calm(exchange, database, workers, outcome)
        _check(exchange, database)
    except Violation as violation:
        raise Violation(f"seed {seed}: {violation}") from violation
    outcome.orders = len(exchange.placed)
    outcome.states = Counter(row.request.state for row in database.rows.values())
    outcome.late = sum(row.request.late for row in database.rows.values())
    return outcome


def _chaos(rng: Random, exchange: Exchange, workers: list[Worker]) -> None:
    for _ in range(CHAOS_STEPS):
        worker = rng.choice(workers)
        chance = rng.random()
        if chance < 0.03:
            worker.stop()  # kill -9
        elif chance < 0.05:
            worker.lose_session()
        elif chance < 0.17:
            exchange.pass_time(rng.choice(JUMPS_MS))
        elif worker.steps is None:
            worker.start()
        else:
            for _ in range(rng.randrange(1, 6)):
                worker.advance()


def _calm(exchange: Exchange, database: Database, workers: list[Worker], outcome: Outcome) -> None:
    """Every question is answered, nothing dies, clocks are right: all doubts must end."""
    exchange.calm = True
    for worker in workers:
        worker.offset_ms = 0
    for _ in range(CALM_ROUNDS):
        for worker in workers:
            if worker.steps is None:
                worker.start()
            while worker.steps is not None:
                worker.advance()
        outcome.quarantined += _resolve(exchange, database, workers[0])
        is_done = not database.state.position and not exchange.next_arrival_ms()
        if is_done and all(row.request.state not in protocol.DOUBT for row in database.rows.values()):
            return
        exchange.pass_time(_until_due(exchange, database))
    states = [(row.id, row.side, row.request.state) for row in database.rows.values()][:12]
    raise Violation(f"stuck: position {database.state.position}, {states}")


def _until_due(exchange: Exchange, database: Database) -> int:
    """How long nothing is due: no question, no arrival, nothing that a person could see."""
    due = [
        row.request.next_ask_ms or row.request.window_end_ms + 2001
        for row in database.rows.values()
        if row.request.state in protocol.ASKED
    ]
    arrival = exchange.next_arrival_ms()
    due += [arrival] if arrival is not None else []
    if any(row.request.state == "QUARANTINED" for row in database.rows.values()):
        due += [one.shown_ms for one in exchange.placed.values() if one.shown_ms > exchange.now_ms]
    return max(min(due, default=0) - exchange.now_ms, 1000)


def _resolve(exchange: Exchange, database: Database, worker: Worker) -> int:
    """A person looks at what is quarantined, once everything can be seen, and says what is true."""
    stuck = [row for row in database.rows.values() if row.request.state == "QUARANTINED"]
    if any(placed.shown_ms > exchange.now_ms for placed in exchange.placed.values()):
        return 0
    for row in stuck:
        placed = exchange.placed.get(row.id)
        event = protocol.Resolved("ACCEPTED" if placed else "NOT_PLACED", "seen")
        with worker.locked() as transaction:
            worker._apply(row, event, Answer("ACCEPTED", placed.executed if placed else 0))
            transaction.state = replace(transaction.state, held="")
    return len(stuck)


def _check(exchange: Exchange, database: Database) -> None:
    for row in database.rows.values():
        _check_row(row, exchange)
    if database.state.position != exchange.holds:
        raise Violation(f"position {database.state.position}, the exchange has {exchange.holds}")


def _check_row(row: Row, exchange: Exchange) -> None:
    placed = exchange.placed.get(row.id)
    executed = placed.executed if placed else 0
    if row.executed != executed:
        raise Violation(
            f"request {row.id} is {row.request.state} with {row.executed} booked, {executed} were executed"
        )
    if (row.request.state == "ACCEPTED") != (placed is not None):
        raise Violation(f"request {row.id} is {row.request.state}, the exchange has {placed}")
    if not row.request.reason:
        raise Violation(f"request {row.id} ended without a reason")


def batch(first: int, count: int) -> Outcome | str:
    """So many interleavings from the seed on, added up; or what broke, with the seed."""
    total = Outcome(first)
    for seed in range(first, first + count):
        try:
            one = simulate(seed)
        except Violation as violation:
            return f"{violation}\nAgain: make simulation RUNS=1 SEED={seed}\n"
        total.add(one)
    return total


def main(arguments: list[str]) -> int:
    """Run many interleavings; gives 1, with the seed on stderr, when one of them broke a rule."""
    parser = argparse.ArgumentParser(prog="simulation", description="Interleavings of the order protocol.")
    parser.add_argument("--runs", type=int, default=100_000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first one's seed (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )
    wanted = parser.parse_args(arguments)
    started = time.monotonic()
    total = Outcome(wanted.seed)
    firsts = range(wanted.seed, wanted.seed + wanted.runs, BATCH)
    counts = [min(BATCH, wanted.seed + wanted.runs - first) for first in firsts]
    with ProcessPoolExecutor(wanted.jobs) as pool:
        for done in pool.map(batch, firsts, counts):
            if isinstance(done, str):
                sys.stderr.write(done)
                pool.shutdown(cancel_futures=True)
                return 1
            total.add(done)
    seconds = time.monotonic() - started
    states = ", ".join(f"{count} {state}" for state, count in sorted(total.states.items()))
    print(f"{wanted.runs} interleavings in {seconds:.0f} s ({wanted.runs / seconds:.0f}/s)")
    print(f"{total.orders} orders executed; requests: {states}")
    print(f"{total.late} went LATE, {total.quarantined} were quarantined; no rule was broken")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
