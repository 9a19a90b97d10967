"""/metrics: who may read it, what it says, what it costs."""

from __future__ import annotations

import time
from datetime import timedelta

import dramatiq
import pytest
import redis
from django.apps import apps as django_apps
from django.db import OperationalError, connection
from prometheus_client.parser import text_string_to_metric_families

import bots.metrics
from bots.actors import run_bot
from bots.health_checks import pauses
from bots.models import BotConfig, BotRun, ScreenRun
from marketdata import feed, prices
from tests.support import owners
from tradebot import beats, clock
from tradebot.binance import budget
from tradebot.binance.sources import source_for
from tradebot.health import Unhealthy
from tradebot.redis import redis_client
from trading.models import Order, OrderRequest

TOKEN = "a-token-of-the-tests"
QUERIES = 15


def scrape(client, **options) -> dict[str, float]:
    """Every sample by its name with its labels, as Prometheus reads it."""
    answer = client.get("/metrics", **options)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


ELSEWHERE = {"REMOTE_ADDR": "10.0.0.7"}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_read_metrics(client, db, address):
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:10.0.0.7", "8.8.8.8", "", "0.0.0.0", "nonsense"])
def test_nobody_else_may_without_a_token(client, address):
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == 404
    assert (
        client.get("/metrics", REMOTE_ADDR=address, headers={"Authorization": "Bearer "}).status_code == 404
    )


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Proto"])
def test_a_visitor_through_a_proxy_on_this_machine_is_not_this_machine(client, header):
    assert client.get("/metrics", REMOTE_ADDR="127.0.0.1", headers={header: "8.8.8.8"}).status_code == 404


def test_whoever_shows_the_token_may(client, db, settings):
    settings.METRICS_TOKEN = TOKEN
    shown = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/metrics", **ELSEWHERE, headers=shown).status_code == 200


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer tökén"]
)
def test_a_wrong_token_is_refused(client, settings, shown):
    settings.METRICS_TOKEN = TOKEN
    answer = client.get("/metrics", **ELSEWHERE, HTTP_AUTHORIZATION=shown)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
    assert b"tradebot_" not in answer.content


def test_bots_runs_requests_and_doubts_are_counted(client, bot):
    now = clock.now()
    for outcome, ago in [("traded", 10), ("traded", 20), ("failed", 30), ("failed", 3700)]:
        started = now - timedelta(seconds=ago)
        BotRun.objects.create(
            bot=bot, trigger="minute", key=str(ago), slot=started, started_at=started, outcome=outcome
        )
    owners.make_request(bot, state="ACCEPTED")
    owners.make_order(owners.make_request(bot, state="ACCEPTED"))
    OrderRequest.objects.update(created_at=now)
    Order.objects.update(created_at=now)
    doubt = owners.make_request(bot, state="UNKNOWN")
    OrderRequest.objects.filter(pk=doubt.pk).update(created_at=now - timedelta(hours=2))
    found = scrape(client)
    assert found['tradebot_runs_last_hour{outcome="traded"}'] == 2
    assert found['tradebot_runs_last_hour{outcome="failed"}'] == 1
    assert found['tradebot_requests_last_hour{state="ACCEPTED"}'] == 2
    assert 'tradebot_requests_last_hour{state="UNKNOWN"}' not in found
    assert found['tradebot_orders_last_hour{purpose="EXIT",status="FILLED"}'] == 1
    assert found['tradebot_doubts{state="UNKNOWN"}'] == 1
    assert found['tradebot_doubts{state="QUARANTINED"}'] == 0
    assert found["tradebot_oldest_doubt_age_seconds"] == pytest.approx(7200, abs=30)
    assert found['tradebot_bots{status="paused"}'] == 1
    assert (found["tradebot_bots_active"], found["tradebot_bots_in_position"]) == (1, 0)


def test_screens_are_told_by_trigger_with_their_lateness(client, db):
    slot = clock.slot_of(clock.now())
    for trigger, minutes, late in [
        ("minute", 0, 3),
        ("minute", 1, 50),
        ("candle", 2, 1),
        ("recovery", 90, 1),
    ]:
        at = slot - timedelta(minutes=minutes)
        ScreenRun.objects.create(slot=at, trigger=trigger, chunk=0, finished_at=at + timedelta(seconds=late))
    found = scrape(client)
    assert found['tradebot_screen_lateness_seconds{trigger="minute"}'] == 3
    assert found['tradebot_screen_lateness_seconds{trigger="candle"}'] == 1
    assert found['tradebot_screen_slot_age_seconds{trigger="candle"}'] == pytest.approx(150, abs=61)
    assert 'tradebot_screen_slot_age_seconds{trigger="recovery"}' not in found


def test_queues_are_told_with_delayed_and_dead_messages(client, db, living_workers):
    run_bot.send(1, "2026-04-01T12:00:00+00:00", "minute", "a")
    run_bot.send_with_options(args=(1, "2026-04-01T12:00:00+00:00", "minute", "b"), delay=60_000)
    broker = dramatiq.get_broker()
    run_bot.send(1, "2026-04-01T12:00:00+00:00", "minute", "c")
    taken = next(iter(broker.consume("entries", prefetch=1)))
    assert scrape(client)['tradebot_queue_messages{queue="entries",state="in_work"}'] == 1
    broker.do_nack("entries", taken.options["redis_message_id"])
    found = scrape(client)
    depths = {
        state: found[f'tradebot_queue_messages{{queue="entries",state="{state}"}}']
        for state in ("waiting", "in_work", "delayed", "dead")
    }
    assert depths == {"waiting": 1, "in_work": 0, "delayed": 1, "dead": 1}
    assert found['tradebot_workers{queue="entries"}'] == 1


def test_ages_and_weight_are_told_by_source(client, bot):
    source = source_for("paper", "spot")
    now = clock.now()
    prices.store(source, {"BTCUSDT": 1.0}, now - timedelta(seconds=40))
    redis_client().set(feed.BEAT_KEY, clock.to_ms(now - timedelta(seconds=5)))
    beats.beat_scheduler(redis_client(), beats.SchedulerBeat(time.time() - 30, 0.25))
    budget.reserve(source, 40, "background")
    found = scrape(client)
    labels = '{market="spot",source="paper"}'
    assert found[f"tradebot_price_age_seconds{labels}"] == pytest.approx(40, abs=5)
    assert found[f"tradebot_symbols_age_seconds{labels}"] == pytest.approx(0, abs=5)
    assert found[f"tradebot_request_weight_limit{labels}"] == 6000
    assert found[f"tradebot_request_weight_used{labels}"] in (0, 40)  # a new minute may have begun
    assert found["tradebot_feed_age_seconds"] == pytest.approx(5, abs=5)
    assert found["tradebot_scheduler_age_seconds"] == pytest.approx(30, abs=5)
    assert found["tradebot_scheduler_lateness_seconds"] == 0.25
    assert found['tradebot_symbol_refreshes{market="spot",result="ok",source="paper"}'] == 1


def test_a_database_that_takes_no_writes_is_told_and_its_connections(client, db):
    found = scrape(client)
    assert found["tradebot_database_writable"] == 1
    assert 1 <= found["tradebot_database_connections"] < found["tradebot_database_connections_limit"]
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    assert scrape(client)["tradebot_database_writable"] == 0


def test_a_pause_of_the_exchange_is_told(client, bot):
    name = 'tradebot_exchange_pause_seconds{market="spot",source="paper"}'
    assert scrape(client)[name] == 0
    budget.close_gate(source_for("paper", "spot"), 7200)
    assert scrape(client)[name] == pytest.approx(7200, abs=10)
    with pytest.raises(Unhealthy, match=r"paper spot asked for a pause until .* nothing is sent to it"):
        pauses()
    budget.forget_process_state()


def test_what_was_never_seen_is_absent_and_not_zero(client, db):
    found = scrape(client)
    assert not [name for name in found if "_age_" in name and "oldest" not in name]


def test_a_scrape_costs_few_queries_however_many_bots_there_are(client, bot, django_assert_num_queries):
    with django_assert_num_queries(QUERIES):
        scrape(client)
    for number in range(20):
        owners.make_bot(bot.account, name=f"one more {number}")
    BotConfig.objects.update(is_active=True)
    with django_assert_num_queries(QUERIES):
        scrape(client)


def test_without_redis_the_rest_is_told(client, bot, monkeypatch):
    away = redis.Redis.from_url("redis://127.0.0.1:1/0")
    monkeypatch.setattr(bots.metrics, "redis_client", lambda: away)
    found = scrape(client)
    assert (found['tradebot_up{part="database"}'], found['tradebot_up{part="redis"}']) == (1, 0)
    assert found["tradebot_bots_active"] == 1
    assert not [name for name in found if "queue" in name]


def test_without_the_database_the_rest_is_told(client, db, living_workers, monkeypatch):
    def away():
        raise OperationalError("no")

    monkeypatch.setattr(bots.metrics, "sources_in_use", away)
    found = scrape(client)
    assert (found['tradebot_up{part="database"}'], found['tradebot_up{part="redis"}']) == (0, 1)
    assert found['tradebot_workers{queue="screen"}'] == 1
    assert "tradebot_bots_active" not in found


def test_nothing_in_the_metrics_names_an_owner_an_account_or_a_key(client, bot):
    text = client.get("/metrics").content.decode()
    for word in (bot.name, bot.account.name, bot.user.username, "paper-"):
        assert word not in text


def test_notifications_that_wait_are_told(client, bot):
    outbox = django_apps.get_model("trading.OutboxMessage")
    written = clock.now() - timedelta(minutes=5)
    outbox.objects.create(user=bot.user, event="trade", created_at=written)
    outbox.objects.create(user=bot.user, event="trade", created_at=written, routed_at=written)
    found = scrape(client)
    assert found["tradebot_outbox_messages_waiting"] == 1
    assert found["tradebot_outbox_messages_oldest_age_seconds"] == pytest.approx(300, abs=20)
    assert found["tradebot_outbox_deliveries_waiting"] == 0
