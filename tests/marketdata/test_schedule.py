"""The schedules of the symbol refreshes, and their actors."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pendulum
import pytest
from django.urls import reverse
from periodiq import CronSpec

from marketdata import actors, symbols
from marketdata.models import CandleHole
from marketdata.schedule import is_refresh_due, refresh_cron
from tests.marketdata.stub import NOON
from tradebot.errors import Transient


@pytest.mark.parametrize(
    ("minutes", "cron"),
    [
        (1, "* * * * *"),
        (5, "*/5 * * * *"),
        (15, "*/15 * * * *"),
        (30, "*/30 * * * *"),
        (60, "0 * * * *"),
        (120, "0 */2 * * *"),
        (720, "0 */12 * * *"),
        (1440, "0 0 * * *"),
        (7, "* * * * *"),
        (45, "* * * * *"),
        (90, "* * * * *"),
        (300, "* * * * *"),
        (10_000, "* * * * *"),
    ],
)
def test_the_cron_line_of_a_number_of_minutes(minutes, cron):
    assert refresh_cron(minutes) == cron


@pytest.mark.parametrize("minutes", [1, 7, 15, 45, 60, 90, 240, 1440, 2000])
def test_refreshes_are_so_many_minutes_apart_at_any_time_of_the_day(minutes):
    spec = CronSpec.parse(refresh_cron(minutes))
    tick = pendulum.datetime(2026, 3, 28, 22, 50)
    refreshed: list[datetime] = []
    while len(refreshed) < (12 if minutes < 1000 else 3):
        tick = spec.next_valid_date(tick)
        if is_refresh_due(tick, refreshed[-1] if refreshed else None, minutes):
            refreshed.append(tick)
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(refreshed)]
    assert set(gaps) == {minutes * 60}


def test_a_tick_that_comes_a_little_early_counts():
    last = datetime(2026, 1, 1, 12, 0, 20, tzinfo=UTC)
    assert is_refresh_due(last + timedelta(minutes=44, seconds=45), last, 45)
    assert not is_refresh_due(last + timedelta(minutes=44, seconds=15), last, 45)


@pytest.mark.parametrize("actor", [actors.warm_up_spot_symbols, actors.warm_up_futures_symbols])
def test_the_actors_are_scheduled_in_the_background_without_retries(actor):
    assert actor.queue_name == "background"
    assert actor.options["max_retries"] == 0
    assert str(actor.options["periodic"]) == "*/15 * * * *"
    assert {"time_limit", "max_age"} <= set(actor.options)


def test_a_source_that_is_down_is_counted_and_the_others_go_on(monkeypatch):
    asked = []

    class DownClient:
        def __init__(self, source, lane):
            asked.append((source.environment, source.market, lane))

        def exchange_info(self):
            raise Transient("down")

    monkeypatch.setattr("tradebot.binance.client.ExchangeClient", DownClient)
    actors.warm_up_futures_symbols()
    assert asked == [("live", "futures", "background"), ("paper", "futures", "background")]
    for environment in ("live", "paper"):
        assert symbols.counters(actors.source_for(environment, "futures")).errors == 1


@pytest.mark.django_db
def test_holes_are_shown_in_the_admin_and_nobody_can_write_them(admin_client):
    hole = CandleHole.objects.create(
        source="live",
        market="spot",
        symbol="BTCUSDT",
        interval="1m",
        start=NOON,
        end=NOON + timedelta(minutes=3),
    )
    page = admin_client.get(reverse("admin:marketdata_candlehole_changelist"))
    assert "BTCUSDT" in page.content.decode()
    assert admin_client.get(reverse("admin:marketdata_candlehole_add")).status_code == 403
    change = reverse("admin:marketdata_candlehole_change", args=[hole.pk])
    assert admin_client.get(change).status_code == 200
    assert admin_client.post(change, {"symbol": "X"}).status_code == 403
    assert admin_client.post(reverse("admin:marketdata_candlehole_delete", args=[hole.pk])).status_code == 403
    assert CandleHole.objects.get() == hole
