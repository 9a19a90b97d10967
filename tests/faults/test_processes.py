"""Whole processes that end: SIGTERM in the middle of an order, a power cut. Real `rundramatiq`s."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from bots.actors import run_all_active_bots_every_minute
from bots.models import ScreenRun
from tests.faults.servers import committed_to_disk, embedded_servers
from tests.support.cluster import running_workers, tail, two_workers
from tests.support.desk import SIGNAL, Desk
from tests.support.waiting import wait_until
from tradebot import clock
from trading.models import OrderRequest

AT_SIGNAL = SIGNAL + timedelta(seconds=2)
FIRST_TICK_SECONDS = 90.0


def tick() -> None:
    """The scheduler's actor for the present minute."""
    run_all_active_bots_every_minute.send(clock.slot_of(clock.now()).isoformat())


@contextmanager
def worker_in_its_post(desk: Desk, folder: Path, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """A worker whose order waits at the exchange for so many seconds, by then done."""
    screen, trading = two_workers(desk.paper.url, CLOCK="stepped")
    with running_workers(folder / "logs", [screen]), (folder / "trading.log").open("wb") as log:
        env = {**os.environ, **trading.env}
        process = subprocess.Popen(trading.argv, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            desk.paper.fault("delay", seconds=seconds, when="after")
            tick()
            wait_until(lambda: desk.paper.control("/paper/faults")["faults"][0]["struck"], seconds=30)
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_sigterm_in_the_middle_of_an_order_lets_it_be_booked(desk, tmp_path):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    with worker_in_its_post(desk, tmp_path, seconds=2.0) as process:
        assert OrderRequest.objects.get().state == "PREPARED"
        process.terminate()
        assert process.wait(30) == 0
    assert OrderRequest.objects.get().state == "ACCEPTED"
    assert desk.state(bot).in_position
    assert desk.differences() == []


def test_sigkill_after_sigterm_leaves_a_request_that_is_found(desk, tmp_path):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    with worker_in_its_post(desk, tmp_path, seconds=30.0) as process:
        process.terminate()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert OrderRequest.objects.get().state == "PREPARED"
    desk.paper.control("/paper/faults", method="DELETE")
    desk.wait(10)
    desk.run(bot, key="again")
    assert OrderRequest.objects.get().state == "ACCEPTED"
    assert len(desk.exchange_orders()) == 1
    assert desk.differences() == []


@pytest.mark.slow
def test_after_a_power_cut_the_first_correct_tick_comes_within_90_seconds(
    desk, tmp_path, pytestconfig, django_db_blocker, capsys
):
    """PostgreSQL, Redis and all workers at once, in the middle of an order."""
    servers = embedded_servers(pytestconfig)
    bots = [desk.add_bot()]
    desk.go_to(AT_SIGNAL)
    with committed_to_disk(django_db_blocker):
        specs = two_workers(desk.paper.url, CLOCK="stepped")
        with running_workers(tmp_path / "logs", specs) as workers:
            desk.paper.fault("delay", seconds=30, when="after")
            tick()
            wait_until(lambda: desk.paper.control("/paper/faults")["faults"][0]["struck"], seconds=30)
            for pid in workers.pids.values():
                os.killpg(pid, signal.SIGKILL)
            servers.power_cut()
        desk.paper.control("/paper/faults", method="DELETE")
        began = time.monotonic()
        servers.power_back()
        with running_workers(tmp_path / "logs", specs):
            desk.go_to(AT_SIGNAL + timedelta(minutes=1))
            tick()
            wait_until(lambda: ScreenRun.objects.filter(slot__gt=SIGNAL).exists(), seconds=90)
            wait_until(lambda: OrderRequest.objects.get().state == "ACCEPTED", seconds=90)
            took = time.monotonic() - began
    with capsys.disabled():
        print(f"\nfirst correct tick after a power cut: {took:.1f} s, bound {FIRST_TICK_SECONDS:.0f} s")
    assert took < FIRST_TICK_SECONDS, tail(tmp_path / "logs")
    assert desk.state(bots[0]).in_position
    assert len(desk.exchange_orders()) == 1
    assert desk.differences() == []
