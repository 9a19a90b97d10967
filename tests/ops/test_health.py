"""/healthz and /readyz, and the checks behind them: what fails is named, what can't be known is not asked."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import redis
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from bots import health_checks
from bots.models import BotConfig, BotRun, ScreenRun
from marketdata import feed, prices, symbols
from tests.support import owners
from tradebot import beats, clock, health
from tradebot.binance.sources import source_for
from tradebot.health import Check, Probe, Unhealthy
from tradebot.redis import redis_client
from trading.models import ExchangeSecret

FUTURE = ("bots", "9999_of_a_newer_version")


def refuse(*arguments, **options):
    raise AssertionError("this was asked")


def test_healthz_asks_neither_database_nor_redis(client, settings, monkeypatch):
    monkeypatch.setattr("bots.ops_views.examine", refuse)
    answer = client.get("/healthz")  # without the db fixture a query would fail
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer["Cache-Control"]


def test_readyz_is_200_when_all_is_well(client, db, living_workers):
    answer = client.get("/readyz")
    well = {"database": True, "redis": True, "schema": True, "workers": True}
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "failing": [], "checks": well})


def test_readyz_names_the_workers_when_a_queue_has_none(client, db, living_workers):
    redis_client().delete(beats.workers_key("exits"))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["failing"]) == (503, ["workers"])


def test_a_worker_that_was_not_heard_of_for_15_seconds_is_gone(client, db, living_workers):
    beats.beat_worker(redis_client(), ["screen"], "host:1", time.time() - beats.WORKER_KEEP_SECONDS - 0.1)
    assert client.get("/readyz").json()["failing"] == ["workers"]
    beats.beat_worker(redis_client(), ["screen"], "host:1", time.time())
    assert client.get("/readyz").status_code == 200


def test_readyz_tells_names_and_no_secret_when_redis_is_away(client, db, monkeypatch):
    away = redis.Redis.from_url("redis://:hunter2@127.0.0.1:1/0")
    monkeypatch.setattr(health, "redis_client", lambda: away)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["failing"]) == (503, ["redis", "workers"])
    assert b"hunter2" not in answer.content


def test_readyz_is_503_while_the_database_is_away(client, living_workers, monkeypatch):
    def away(*arguments, **options):
        raise OperationalError('connection to server at "10.0.0.7", user "tradebot", password hunter2 failed')

    monkeypatch.setattr(health.connection, "cursor", away)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["failing"]) == (503, ["database", "schema"])
    assert b"hunter2" not in answer.content
    assert b"10.0.0.7" not in answer.content


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_these_addresses_are_read_only(client, path):
    assert client.post(path).status_code == 405
    assert client.delete(path).status_code == 405


def test_a_lacking_migration_and_a_newer_one_are_told_apart(db):
    recorder = MigrationRecorder(connection)
    newest = max(name for app, name in recorder.applied_migrations() if app == "bots")
    assert health.schema_differences() == ([], [])
    recorder.record_unapplied("bots", newest)
    assert health.schema_differences() == ([f"bots.{newest}"], [])
    with pytest.raises(Unhealthy, match=f"older than this code: it lacks bots.{newest}"):
        health.schema()
    recorder.record_applied("bots", newest)
    recorder.record_applied(*FUTURE)
    with pytest.raises(Unhealthy, match=r"newer than this code: it has bots\.9999_of_a_newer_version"):
        health.schema()


def test_migrations_of_an_app_that_is_not_ours_do_not_count(db):
    MigrationRecorder(connection).record_applied("another_app", "0001_initial")
    assert health.schema_differences() == ([], [])


def test_what_needs_something_that_is_down_is_not_asked():
    def fails() -> str:
        raise Unhealthy("It is down.")

    probes = [
        Probe("a", fails, "Start it."),
        Probe("b", refuse, "Never.", ("a",)),
        Probe("c", lambda: "Fine.", ""),
    ]
    assert health.examine(probes) == [
        Check("a", False, "It is down.", "Start it."),
        Check("b", False, "Not known, because of a.", "See to a first."),
        Check("c", True, "Fine.", ""),
    ]


def test_the_scheduler_must_have_sent_something_and_in_time():
    with pytest.raises(Unhealthy, match="sent nothing within 150 s"):
        health.scheduler()
    beats.beat_scheduler(redis_client(), beats.SchedulerBeat(time.time(), 25.0))
    with pytest.raises(Unhealthy, match="25 s late"):
        health.scheduler()
    beats.beat_scheduler(redis_client(), beats.SchedulerBeat(time.time(), 0.2))
    assert health.scheduler() == "The last tick was sent 0 s ago, 0.2 s late."
    assert 0 < redis_client().ttl(beats.SCHEDULER_KEY) <= beats.SCHEDULER_KEEP_SECONDS


@pytest.mark.parametrize("value", ["", "{", "[]", '{"sent_at": null}'])
def test_a_broken_beat_of_the_scheduler_counts_as_none(value):
    redis_client().set(beats.SCHEDULER_KEY, value)
    assert beats.read_scheduler(redis_client()) is None


def test_a_full_disk_is_told(monkeypatch):
    class Usage:
        free = 999_999_999

    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(Unhealthy, match=r"Only 1\.0 GB are free"):
        health.disk()


def test_the_last_screen_may_be_150_seconds_old(bot):
    with pytest.raises(Unhealthy, match="never looked at"):
        health_checks.last_screen()
    slot = clock.now() - timedelta(seconds=149)
    screen = ScreenRun.objects.create(slot=slot, trigger=BotRun.Trigger.MINUTE, chunk=0)
    assert health_checks.last_screen().startswith("The bots were looked at for the minute of ")
    screen.slot = slot - timedelta(seconds=2)
    screen.save()
    with pytest.raises(Unhealthy, match="last looked at for the minute of"):
        health_checks.last_screen()


def test_without_bots_no_screen_is_missed(db):
    assert health_checks.last_screen() == "No bot is to be looked at."


def test_the_feed_must_live_and_its_prices_be_fresh(bot):
    with pytest.raises(Unhealthy, match="no sign of life within 60 s"):
        health_checks.feed()
    redis_client().set(feed.BEAT_KEY, clock.to_ms(clock.now()), ex=60)
    with pytest.raises(Unhealthy, match="prices of paper spot are missing or too old"):
        health_checks.feed()
    source = source_for("paper", "spot")
    prices.store(source, {"BTCUSDT": 60_000.0}, clock.now() - timedelta(seconds=91))
    with pytest.raises(Unhealthy, match="too old"):
        health_checks.feed()
    prices.store(source, {"BTCUSDT": 60_000.0}, clock.now())
    assert health_checks.feed() == "The feed runs."


def test_old_symbols_are_told(bot, settings):
    assert health_checks.symbol_caches() == "The symbols of paper spot are fresh."
    key = f"{symbols.key_of(source_for('paper', 'spot'))}:refreshed_at"
    redis_client().set(key, clock.to_ms(clock.now() - timedelta(seconds=settings.SYMBOLS_TTL + 60)))
    with pytest.raises(Unhealthy, match="The symbols of paper spot are 61 minutes old"):
        health_checks.symbol_caches()
    redis_client().delete(key)
    with pytest.raises(Unhealthy, match="never fetched"):
        health_checks.symbol_caches()


def test_keys_that_cannot_be_decrypted_are_counted_and_never_shown(bot):
    assert health_checks.keys() == "1 API keys can be decrypted."
    with connection.cursor() as cursor:
        cursor.execute("UPDATE trading_exchangesecret SET api_key = 'canary-of-a-ciphertext'::bytea")
    with pytest.raises(Unhealthy) as error:
        health_checks.keys()
    assert str(error.value) == f"1 of 1 API keys can't be decrypted: {bot.account.name}."
    assert ExchangeSecret.objects.count() == 1


def test_an_exchange_that_is_away_is_told_and_the_clock_not_asked(bot):
    found = {check.name: check for check in health.examine(health_checks.ALL)}
    assert found["exchange"].message.startswith("paper spot does not answer: ")
    assert found["clock"].message == "Not known, because of exchange."


@pytest.mark.parametrize(
    ("offset_ms", "is_well"), [(1000, True), (-1000, True), (1002, False), (-6000, False)]
)
def test_a_clock_that_is_off_by_more_than_a_second_is_told(bot, monkeypatch, offset_ms, is_well):
    monkeypatch.setattr(health_checks, "_offset_ms", lambda source: offset_ms)
    if is_well:
        assert health_checks.clock_offset() == "paper spot: has this machine's time."
    else:
        with pytest.raises(Unhealthy, match=f"differs from paper spot by {offset_ms} ms"):
            health_checks.clock_offset()


def test_a_paused_bot_in_position_keeps_its_source_in_use(bot):
    BotConfig.objects.filter(pk=bot.pk).update(is_active=False)
    assert health_checks.sources_in_use() == {}
    owners.put_in_position(bot)
    assert health_checks.sources_in_use() == {source_for("paper", "spot"): "BTCUSDT"}
