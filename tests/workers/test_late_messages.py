"""Messages that come too late are dropped: the next minute decides anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dramatiq
import pytest
from django.db import connections
from dramatiq.common import current_millis

from bots.actors import recover_bot, run_all_active_bots_every_minute, run_bot
from bots.models import ScreenRun
from tests.support.desk import SIGNAL
from tradebot import clock
from tradebot.middleware import CleanConnections
from trading.models import Trade

AT_SIGNAL = SIGNAL + timedelta(seconds=2)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[dramatiq.Worker]:
    """A worker of the real broker in threads of this process; they leave no connection behind."""
    close = "before_worker_thread_shutdown"
    monkeypatch.setattr(CleanConnections, close, lambda *_: connections.close_all(), raising=False)
    one = dramatiq.Worker(dramatiq.get_broker(), queues={"screen", "exits", "entries"}, worker_threads=1)
    one.start()
    yield one
    one.stop()


def send_late(message: Any, seconds: float, **options: Any) -> None:
    """Send a message as if it had been sent `seconds` ago."""
    stamp = current_millis() - round(seconds * 1000)
    late = message.copy(message_timestamp=stamp, options={**message.options, **options})
    dramatiq.get_broker().enqueue(late)


def finish(worker: dramatiq.Worker) -> None:
    """Wait until every message is worked on, with what it sends."""
    broker = dramatiq.get_broker()
    for _ in range(2):
        for queue in ("screen", "exits", "entries"):
            broker.join(queue, timeout=20_000)
            worker.join()


def test_a_tick_older_than_its_age_limit_is_dropped_and_a_younger_one_is_not(make_desk, worker):
    desk = make_desk(["BTCUSDT"])
    desk.add_bot()
    slot = clock.slot_of(SIGNAL).isoformat()
    send_late(run_all_active_bots_every_minute.message(slot), seconds=56)
    finish(worker)
    assert ScreenRun.objects.count() == 0
    send_late(run_all_active_bots_every_minute.message(slot), seconds=40)
    finish(worker)
    assert ScreenRun.objects.count() == 1


def test_a_tick_that_the_scheduler_made_more_than_30_seconds_ago_is_skipped(make_desk, worker):
    desk = make_desk(["BTCUSDT"])
    desk.add_bot()
    for seconds, screens in ((32, 0), (5, 1)):
        made = datetime.now(UTC) - timedelta(seconds=seconds)
        send_late(run_all_active_bots_every_minute.message(), seconds, scheduled_at=made.isoformat())
        finish(worker)
        assert ScreenRun.objects.count() == screens


def test_a_late_run_is_dropped_but_a_late_look_at_a_doubt_is_made(make_desk, worker):
    desk = make_desk(["BTCUSDT"])
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    send_late(run_bot.message(bot.pk, SIGNAL.isoformat(), "minute", "late"), seconds=56)
    finish(worker)
    assert Trade.objects.count() == 0
    send_late(recover_bot.message(bot.pk, SIGNAL.isoformat()), seconds=3600)
    finish(worker)
    assert Trade.objects.count() == 1
