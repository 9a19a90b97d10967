"""A worker that dies over a background message: another one finishes it within 90 s."""

from __future__ import annotations

import os
import signal
import time

import pytest

from marketdata import symbols
from marketdata.actors import warm_up_spot_symbols
from tests.support.cluster import tail, worker_spec
from tests.support.environment import child_environment
from tests.support.paper import start_paper
from tests.support.waiting import wait_until
from tradebot.binance.sources import source_for

PROMISED_SECONDS = 90


@pytest.mark.slow
def test_a_dead_workers_message_is_finished_by_another_within_90_seconds(
    tmp_path, settings, transactional_db, start_workers
):
    with start_paper(tmp_path) as paper:
        settings.PAPER_SPOT_URL = paper.url
        source = source_for("paper", "spot")
        paper.fault("delay", method="GET", path="/api/v3/exchangeInfo", seconds=20)
        env = child_environment(PAPER_SPOT_URL=paper.url, SYMBOL_SOURCES="paper")
        first = start_workers(worker_spec("first", env, "background"))
        warm_up_spot_symbols.send()
        wait_until(lambda: paper.control("/paper/faults")["faults"][0]["struck"])
        os.killpg(first.pids["first"], signal.SIGKILL)  # and nobody polls: it is not started again
        died = time.monotonic()
        start_workers(worker_spec("second", env, "background"))
        while symbols.counters(source).ok == 0:
            assert time.monotonic() - died < PROMISED_SECONDS, tail(tmp_path / "logs")
            time.sleep(0.1)
        assert symbols.counters(source).errors == 0
        assert symbols.cached(source).trading
