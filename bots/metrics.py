"""What /metrics tells: read from the database and Redis at each scrape, so all web processes say the same."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import dramatiq
import redis
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db.models import Count, Max, Min, Q
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as BaseCollector

from bots import user_streams
from bots.health_checks import price_ages, queues, sources_in_use
from bots.models import BotConfig, BotRun, BotState, ScreenRun
from bots.notifications.models import Delivery
from marketdata import feed, symbols
from tradebot import beats, clock
from tradebot.binance import budget
from tradebot.binance.sources import Source, source_for
from tradebot.errors import TradebotError
from tradebot.redis import redis_client
from trading import books_check
from trading.invariants import INVARIANTS
from trading.models import AccountSweep, KillSwitch, Order, OrderRequest, Orphan, OutboxMessage
from trading.models.journal import DOUBT_STATES

PREFIX = "tradebot_"
HOUR = timedelta(hours=1)
Rows = Iterable[tuple[Sequence[str], float]]


def gauge(name: str, text: str, rows: Rows, labels: Sequence[str] = ()) -> GaugeMetricFamily:
    """A gauge with a value for each row of label values."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in rows:
        family.add_metric(list(values), value)
    return family


class Collector(BaseCollector):
    """All metrics. A part that is down is left out, and tradebot_up says so."""

    def collect(self) -> Iterator[Metric]:
        """Ask database and Redis, each on its own."""
        now = clock.now()
        up: list[tuple[Sequence[str], float]] = []
        sources: dict[Source, str] = {}

        def database_part() -> Iterator[Metric]:
            sources.update(sources_in_use())
            for read in (screens, runs, orders, doubts, books, sweeps, bots, outbox, kill_switches):
                yield from read(now)

        def redis_part() -> Iterator[Metric]:
            yield from queue_depths()
            yield from signs_of_life(now)
            yield from market_data(now, sources)
            yield from request_weight(sources)
            yield from streams(now)

        parts: tuple[tuple[str, Callable[[], Iterator[Metric]]], ...] = (
            ("database", database_part),
            ("redis", redis_part),
        )
        for name, part in parts:
            try:
                found = list(part())
            except (DatabaseFailure, redis.RedisError, TradebotError):
                up.append(([name], 0))
            else:
                up.append(([name], 1))
                yield from found
        yield gauge("up", "Whether this part answered the scrape.", up, ["part"])


def screens(now: datetime) -> Iterator[Metric]:
    """The last slot of each trigger within an hour, and how late its screens ended."""
    rows = list(
        ScreenRun.objects.filter(slot__gt=now - HOUR)
        .order_by()
        .values_list("trigger")
        .annotate(slot=Max("slot"), finished=Max("finished_at"))
    )
    yield gauge(
        "screen_slot_age_seconds",
        "Age of the last slot that was screened; absent when there was none within an hour.",
        [([trigger], (now - slot).total_seconds()) for trigger, slot, _ in rows],
        ["trigger"],
    )
    yield gauge(
        "screen_lateness_seconds",
        "From the last slot to its last screen.",
        [([trigger], (done - slot).total_seconds()) for trigger, slot, done in rows if done],
        ["trigger"],
    )


def runs(now: datetime) -> Iterator[Metric]:
    """Runs of the last hour by how they ended; a run that held left no row."""
    rows = (
        BotRun.objects.filter(started_at__gt=now - HOUR)
        .order_by()
        .values_list("outcome")
        .annotate(count=Count("pk"))
    )
    yield gauge(
        "runs_last_hour",
        "Runs that wanted something, by outcome.",
        [([outcome], count) for outcome, count in rows],
        ["outcome"],
    )


def orders(now: datetime) -> Iterator[Metric]:
    """Requests and orders of the last hour by state."""
    requests = (
        OrderRequest.objects.filter(created_at__gt=now - HOUR)
        .order_by()
        .values_list("state")
        .annotate(count=Count("pk"))
    )
    legs = (
        Order.objects.filter(created_at__gt=now - HOUR)
        .order_by()
        .values_list("status", "purpose")
        .annotate(count=Count("pk"))
    )
    yield gauge(
        "requests_last_hour",
        "Order requests by state.",
        [([state], count) for state, count in requests],
        ["state"],
    )
    yield gauge(
        "orders_last_hour",
        "Orders by status and purpose.",
        [([status, purpose], count) for status, purpose, count in legs],
        ["status", "purpose"],
    )


def doubts(now: datetime) -> Iterator[Metric]:
    """Requests whose outcome is not known."""
    rows = list(
        OrderRequest.objects.filter(state__in=DOUBT_STATES)
        .order_by()
        .values_list("state")
        .annotate(count=Count("pk"), oldest=Min("created_at"))
    )
    counts = dict.fromkeys(DOUBT_STATES, 0) | {state: count for state, count, _ in rows}
    ages = [(now - oldest).total_seconds() for _, _, oldest in rows]
    yield gauge(
        "doubts",
        "Order requests whose outcome is not known.",
        [([state], count) for state, count in counts.items()],
        ["state"],
    )
    yield gauge(
        "oldest_doubt_age_seconds",
        "Age of the oldest of them; 0 when there is none.",
        [((), max(ages, default=0.0))],
    )


def books(now: datetime) -> Iterator[Metric]:
    """What the last check of each scope found, and how old the oldest of them is."""
    checks = list(books_check.newest())
    counts = Counter(row["invariant"] for check in checks for row in check.findings)
    database = [check for check in checks if check.scope == books_check.DATABASE]
    yield gauge(
        "books_findings",
        "What the last checks of the books found, by invariant; 0 in all when they are in order.",
        [([name], counts[name]) for name in INVARIANTS],
        ["invariant"],
    )
    yield gauge(
        "books_check_age_seconds",
        "Since the database was last checked; absent when it never was.",
        [((), (now - check.at).total_seconds()) for check in database],
    )
    yield gauge(
        "books_not_compared",
        "Accounts whose exchange could not be asked at their last check.",
        [((), sum(bool(check.error) for check in checks))],
    )


def sweeps(now: datetime) -> Iterator[Metric]:
    """How accounts agree with the exchange."""
    rows = AccountSweep.objects.aggregate(
        accounts=Count("pk"),
        doubtful=Count("pk", filter=Q(doubtful=True)),
        differing=Count("pk", filter=~Q(findings=[])),
        oldest=Min("swept_at"),
    )
    for name in ("accounts", "doubtful", "differing"):
        text = "Accounts that are compared with the exchange: all, to be compared soon, with findings."
        yield gauge(f"sweep_{name}", text, [((), rows[name])])
    age = (now - rows["oldest"]).total_seconds() if rows["oldest"] else 0.0
    yield gauge("sweep_oldest_age_seconds", "Since the longest uncompared account was compared.", [((), age)])
    found = Orphan.objects.filter(resolved_at__isnull=True).order_by().values_list("kind")
    counts = dict.fromkeys(Orphan.Kind.values, 0) | dict(found.annotate(count=Count("pk")))
    text = "Orders on the exchange that the journal lacks."
    yield gauge("orphans", text, [([kind], count) for kind, count in counts.items()], ["kind"])


def bots(now: datetime) -> Iterator[Metric]:
    """Bots that are not deleted, by status, and how many of them are active or in position."""
    rows = (
        BotState.objects.filter(bot__deleted_at__isnull=True)
        .order_by()
        .values_list("status")
        .annotate(count=Count("pk"))
    )
    sums = BotConfig.objects.filter(deleted_at__isnull=True).aggregate(
        active=Count("pk", filter=Q(is_active=True)),
        in_position=Count("pk", filter=Q(state__in_position=True)),
        naked=Count("pk", filter=Q(state__naked_since__isnull=False)),
        naked_since=Min("state__naked_since"),
        naked_longest=Max("state__naked_longest_seconds"),
    )
    yield gauge("bots", "Bots by status.", [([status], count) for status, count in rows], ["status"])
    yield gauge("bots_active", "Bots that may enter.", [((), sums["active"])])
    yield gauge("bots_in_position", "Bots that hold a position.", [((), sums["in_position"])])
    since = sums["naked_since"]
    text = "Positions whose stop is not on the exchange: how many now, the oldest, the longest ever."
    yield gauge("positions_naked", text, [((), sums["naked"])])
    yield gauge(
        "positions_naked_oldest_seconds", text, [((), (now - since).total_seconds() if since else 0.0)]
    )
    yield gauge("positions_naked_longest_seconds", text, [((), sums["naked_longest"] or 0.0)])


def outbox(now: datetime) -> Iterator[Metric]:
    """Notifications that are not yet given to their channels, and deliveries that were not yet taken."""
    for name, waiting in (
        ("outbox_messages", OutboxMessage.objects.filter(routed_at__isnull=True)),
        ("outbox_deliveries", Delivery.objects.filter(state="pending")),
    ):
        found = waiting.order_by()
        sums = found.aggregate(count=Count("pk"), oldest=Min("created_at"))
        age = (now - sums["oldest"]).total_seconds() if sums["oldest"] else 0.0
        yield gauge(f"{name}_waiting", "Notifications on their way.", [((), sums["count"])])
        yield gauge(f"{name}_oldest_age_seconds", "Age of the oldest; 0 without any.", [((), age)])


def kill_switches(now: datetime) -> Iterator[Metric]:
    """Kill switches in force, and those of them for which an entry may still be on its way."""
    in_force = KillSwitch.objects.filter(lifted_at__isnull=True).order_by()
    counts = {
        (scope, level): (count, undrained)
        for scope, level, count, undrained in in_force.values_list("scope", "level").annotate(
            count=Count("pk"), undrained=Count("pk", filter=Q(drained_at__isnull=True))
        )
    }
    yield gauge(
        "kill_switches",
        "Kill switches in force, by scope and level.",
        [(key, count) for key, (count, _) in counts.items()],
        ["scope", "level"],
    )
    yield gauge(
        "kill_switches_not_drained",
        "Kill switches in force that are not drained: an entry may still be on its way.",
        [((), sum(undrained for _, undrained in counts.values()))],
    )


def queue_depths() -> Iterator[Metric]:
    """Messages of each queue: waiting, in work, delayed, dead."""
    broker: Any = dramatiq.get_broker()
    names, namespace = queues(), broker.namespace
    pipeline = redis_client().pipeline(transaction=False)
    for name in names:
        pipeline.llen(f"{namespace}:{name}")
        pipeline.hlen(f"{namespace}:{name}.msgs")
        pipeline.hlen(f"{namespace}:{name}.DQ.msgs")
        pipeline.zcard(f"{namespace}:{name}.XQ")
    answers, rows = pipeline.execute(), []
    for index, name in enumerate(names):
        waiting, unfinished, delayed, dead = answers[4 * index : 4 * index + 4]
        rows += [
            ([name, "waiting"], waiting),
            ([name, "in_work"], max(0, unfinished - waiting)),
            ([name, "delayed"], delayed),
            ([name, "dead"], dead),
        ]
    yield gauge("queue_messages", "Messages by queue and state.", rows, ["queue", "state"])


def signs_of_life(now: datetime) -> Iterator[Metric]:
    """Worker processes by queue, scheduler and feed."""
    client, wall = redis_client(), time.time()
    alive = beats.workers_alive(client, queues(), wall)
    yield gauge(
        "workers",
        "Living worker processes by queue.",
        [([queue], len(members)) for queue, members in alive.items()],
        ["queue"],
    )
    beat = beats.read_scheduler(client)
    yield gauge(
        "scheduler_age_seconds",
        "Since the scheduler last sent something; absent after 150 s.",
        [((), wall - beat.sent_at)] if beat else [],
    )
    yield gauge(
        "scheduler_lateness_seconds",
        "From when it was due until it was sent.",
        [((), beat.late_seconds)] if beat else [],
    )
    fed = client.get(feed.BEAT_KEY)
    yield gauge(
        "feed_age_seconds",
        "Since the feed's last sign of life; absent after a minute.",
        [((), now.timestamp() - int(fed) / 1000)] if fed and fed.isdigit() else [],
    )


def market_data(now: datetime, sources: dict[Source, str]) -> Iterator[Metric]:
    """Ages of prices and symbol caches by source."""
    ages = price_ages(sources)
    yield gauge(
        "price_age_seconds",
        "Age of a price that bots trade by; absent without one.",
        [(_labels(source), age) for source, age in ages.items() if age is not None],
        ["source", "market"],
    )
    cached = {
        source: symbols.counters(source)
        for source in dict.fromkeys(
            [
                *sources,
                *(
                    source_for(name, market)
                    for name in settings.SYMBOL_SOURCES
                    for market in ("spot", "futures")
                ),
            ]
        )
    }
    yield gauge(
        "symbols_age_seconds",
        "Age of the symbol cache; absent when it was never filled.",
        [
            (_labels(source), (now - found.refreshed_at).total_seconds())
            for source, found in cached.items()
            if found.refreshed_at
        ],
        ["source", "market"],
    )
    yield gauge(
        "symbol_refreshes",
        "Refreshes of the symbol cache since Redis was last emptied.",
        [
            ([*_labels(source), result], count)
            for source, found in cached.items()
            for result, count in (("ok", found.ok), ("failed", found.errors))
        ],
        ["source", "market", "result"],
    )


def request_weight(sources: dict[Source, str]) -> Iterator[Metric]:
    """Request weight of this minute against the exchange's limit."""
    usage = {source: budget.usage(source) for source in sources}
    for name, text in (("used", "Request weight used in this minute."), ("limit", "The exchange's limit.")):
        yield gauge(
            f"request_weight_{name}",
            text,
            [(_labels(source), getattr(found, name)) for source, found in usage.items()],
            ["source", "market"],
        )


def streams(now: datetime) -> Iterator[Metric]:
    """User streams, as their process last said; absent when there is none."""
    found = user_streams.published()
    states = list((found or {}).values())
    connected = sum(one.connected for one in states)
    rows: Rows = [(["yes"], connected), (["no"], len(states) - connected)] if found is not None else []
    yield gauge("user_streams", "User streams of accounts with bots.", rows, ["connected"])
    last = max((one.last_event_at or 0 for one in states), default=0)
    age: Rows = [((), now.timestamp() - last / 1000)] if last else []
    yield gauge("user_stream_last_event_age_seconds", "Since anything was heard on any of them.", age)
    reconnects: Rows = [((), sum(max(0, one.connects - 1) for one in states))] if found is not None else []
    yield gauge("user_stream_reconnects", "How often streams were opened again since the start.", reconnects)


def _labels(source: Source) -> list[str]:
    return [source.environment, source.market]
