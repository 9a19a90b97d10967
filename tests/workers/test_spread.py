"""Work spreads over the processes and threads of the workers, with the settings of the demo."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

from bots import demo
from bots.actors import run_bot
from tests.support.cluster import tail
from tests.support.desk import SIGNAL
from tests.support.environment import child_environment
from tests.support.waiting import wait_until
from tests.workers.support import booted, done, witnessed_worker
from tradebot import clock

NAMES = [f"COIN{number:02}USDT" for number in range(20)]
MESSAGES = 200
PROCESSES, THREADS = 2, 4


@contextmanager
def both_asleep() -> Iterator[None]:
    """The worker processes stand still until the block ends."""
    for pid in booted():
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in booted():
        os.kill(pid, signal.SIGCONT)


def test_two_hundred_runs_are_shared_by_both_processes_and_all_threads(make_desk, start_workers, tmp_path):
    desk = make_desk(NAMES)
    for name in NAMES:
        desk.add_bot(name, initial_capital="100")
    desk.go_to(SIGNAL - timedelta(seconds=20))  # nobody trades
    specs = demo.trading_processes(SimpleNamespace(web_port=0))
    env = child_environment(PAPER_SPOT_URL=desk.paper.url, PAPER_FUTURES_URL=desk.paper.url, CLOCK="stepped")
    env |= next(spec.env for spec in specs if spec.name == "worker-trading")
    start_workers(witnessed_worker("trading", env, "exits", "entries", processes=PROCESSES, threads=THREADS))
    wait_until(lambda: len(booted()) == PROCESSES, seconds=30)
    slot = clock.slot_of(clock.now()).isoformat()
    with both_asleep():  # and so both find all of them at once
        for number in range(MESSAGES):
            run_bot.send(desk.bots[number % len(NAMES)].pk, slot, "minute", f"message {number}")
    wait_until(lambda: len(done()) == MESSAGES, seconds=60)
    assert {one.outcome for one in done()} == {"good"}, tail(tmp_path / "logs")
    by_process = Counter(one.pid for one in done())
    assert set(by_process) == booted()
    assert max(by_process.values()) <= 0.8 * MESSAGES, by_process
    by_thread = Counter((one.pid, one.thread) for one in done())
    assert len(by_thread) == PROCESSES * THREADS, by_thread
