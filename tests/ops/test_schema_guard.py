"""A worker does not start on a schema that it does not know; a tick of the scheduler is its beat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dramatiq
import pytest
import redis
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from tests.support.cluster import running_workers, tail, worker_spec
from tests.support.environment import child_environment
from tests.support.waiting import wait_until
from tradebot import beats, middleware
from tradebot.redis import redis_client

FUTURE = ("bots", "9999_of_a_newer_version")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_worker_waits_until_the_database_is_one_that_it_knows(tmp_path):
    recorder = MigrationRecorder(connection)
    recorder.record_applied(*FUTURE)
    spec = worker_spec("screen", child_environment(), "screen")
    try:
        with running_workers(tmp_path / "logs", [spec]) as workers:
            wait_until(lambda: workers.poll() or workers.restarts["screen"] >= 1, seconds=40)
            assert "This worker does not start: The database is newer than this code" in tail(
                tmp_path / "logs"
            )
            assert "9999_of_a_newer_version" in tail(tmp_path / "logs")
            assert not redis_client().exists(beats.workers_key("screen"))
            recorder.record_unapplied(*FUTURE)
            wait_until(
                lambda: workers.poll() or redis_client().zcard(beats.workers_key("screen")), seconds=40
            )
    finally:
        recorder.record_unapplied(*FUTURE)
    assert redis_client().zcard(beats.workers_key("screen")) == 0  # it took leave


def test_a_lacking_migration_ends_the_boot_with_code_3(db, monkeypatch):
    monkeypatch.setattr(middleware.connections, "close_all", lambda: None)
    newest = max(name for app, name in MigrationRecorder(connection).applied_migrations() if app == "trading")
    MigrationRecorder(connection).record_unapplied("trading", newest)
    with pytest.raises(SystemExit) as ended:
        middleware.SchemaGuard().before_worker_boot(dramatiq.get_broker(), None)
    assert ended.value.code == 3


def scheduled(late_seconds: float) -> dramatiq.Message:
    at = datetime.now(UTC) - timedelta(seconds=late_seconds)
    return dramatiq.Message("screen", "tick", (), {}, {"scheduled_at": at.isoformat()})


def test_a_scheduled_message_is_the_schedulers_beat():
    heartbeat, broker = middleware.Heartbeat(), dramatiq.get_broker()
    heartbeat.after_enqueue(broker, dramatiq.Message("screen", "other", (), {}, {}), 0)
    assert beats.read_scheduler(redis_client()) is None
    heartbeat.after_enqueue(broker, scheduled(4), 0)
    beat = beats.read_scheduler(redis_client())
    assert beat is not None
    assert beat.late_seconds == pytest.approx(4, abs=1)


def test_the_scheduler_goes_on_without_redis(monkeypatch):
    away = redis.Redis.from_url("redis://127.0.0.1:1/0")
    monkeypatch.setattr(middleware, "redis_client", lambda: away)
    middleware.Heartbeat().after_enqueue(dramatiq.get_broker(), scheduled(4), 0)
