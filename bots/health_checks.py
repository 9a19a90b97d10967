"""The health checks of the whole: what /readyz asks, and what `manage.py doctor` asks besides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

import dramatiq
from django.conf import settings
from django.db.models import Min, Q

import marketdata.actors  # noqa: F401 -- the queues are those of all actors
from bots import user_streams
from bots.models import BotConfig, BotRun, ScreenRun
from bots.schedule import needs_a_look
from marketdata import feed as feeds
from marketdata import prices, symbols
from tradebot import clock, health
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import Source, source_for
from tradebot.errors import ExchangeError, KeyDecryptFailed
from tradebot.health import Probe, Unhealthy
from tradebot.redis import redis_client
from trading import books_check
from trading.accounts import read_key
from trading.findings import errors
from trading.invariants import NAKED_SECONDS
from trading.models import AccountSweep, BotState, ExchangeAccount, Order, Orphan

SCREEN_LATE_SECONDS = 150.0  # a slot is a minute; its screens end within seconds
CLOCK_OFFSET_MS = 1000  # requests are corrected by the offset; a machine with NTP has some milliseconds
EXCHANGE_SECONDS = 5.0  # for all tries to reach an exchange
BOOKS_LATE_SECONDS = 7200.0  # they are checked each hour
SHOWN = 3
SWEEP_LATE = timedelta(hours=1)


def queues() -> list[str]:
    """The queues that actors are declared on."""
    return sorted(dramatiq.get_broker().get_declared_queues())


def sources_in_use() -> dict[Source, str]:
    """The sources that active bots, and bots in position, trade on, each with one of their symbols."""
    rows = (
        BotConfig.objects.filter(Q(is_active=True, deleted_at__isnull=True) | Q(state__in_position=True))
        .order_by()
        .values_list("account__environment", "market")
        .annotate(symbol=Min("symbol"))
    )
    return {source_for(environment, market): symbol for environment, market, symbol in rows}


def label(source: Source) -> str:
    """A source in words: `paper spot`."""
    return f"{source.environment} {source.market}"


def workers() -> str:
    """Each queue has a living worker process."""
    return health.workers(queues())


def keys() -> str:
    """Every stored API key can be decrypted with FERNET_KEYS. Nothing of a key is shown."""
    broken, count = [], 0
    for account in ExchangeAccount.objects.filter(secret__isnull=False).order_by("pk"):
        count += 1
        try:
            read_key(account)
        except KeyDecryptFailed:
            broken.append(account.name)
    if broken:
        more = f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise Unhealthy(
            f"{len(broken)} of {count} API keys can't be decrypted: {', '.join(broken[:SHOWN])}{more}."
        )
    return f"{count} API keys can be decrypted."


def last_screen() -> str:
    """The bots were looked at in one of the last minutes."""
    if not needs_a_look().exists():
        return "No bot is to be looked at."
    slot = (
        ScreenRun.objects.filter(trigger=BotRun.Trigger.MINUTE)
        .order_by("-slot")
        .values_list("slot", flat=True)
        .first()
    )
    if slot is None:
        raise Unhealthy("The bots were never looked at.")
    age = (clock.now() - slot).total_seconds()
    if age > SCREEN_LATE_SECONDS:
        raise Unhealthy(f"The bots were last looked at for the minute of {slot:%Y-%m-%d %H:%M} UTC.")
    return f"The bots were looked at for the minute of {slot:%H:%M} UTC."


def feed() -> str:
    """The feed lives, and the prices that bots trade by are fresh."""
    beat = redis_client().get(feeds.BEAT_KEY)
    if beat is None:
        raise Unhealthy(f"The feed gave no sign of life within {feeds.BEAT_KEEP_SECONDS} s.")
    old = [
        source
        for source, age in price_ages(sources_in_use()).items()
        if age is None or age > settings.TIMINGS.price_max_age_seconds
    ]
    if old:
        raise Unhealthy(f"The prices of {_list(old)} are missing or too old to enter by.")
    return "The feed runs."


def streams() -> str:
    """Each account with bots has a user stream. Without one fills are seen later, and nothing is lost."""
    wanted = user_streams.accounts_with_bots()
    if not wanted:
        return "No account needs a user stream."
    found = user_streams.published()
    if found is None:
        raise Unhealthy(f"The user streams gave no sign of life within {user_streams.BEAT_SECONDS} s.")
    lost = sorted(key for key in wanted if key not in found or not found[key].connected)
    if lost:
        errors = {found[key].error for key in lost if key in found and found[key].error}
        why = f": {' '.join(sorted(errors)[:SHOWN])}" if errors else "."
        raise Unhealthy(f"{len(lost)} of {len(wanted)} user streams are not connected{why}")
    return f"{len(wanted)} user streams are connected."


def reconciliation() -> str:
    """The accounts were compared with the exchange, agree with it, and no order is unknown."""
    rows = AccountSweep.objects.all()
    findings = rows.exclude(findings=[]).count()
    orphans = Orphan.objects.filter(resolved_at__isnull=True).count()
    late = rows.filter(swept_at__lt=clock.now() - SWEEP_LATE).count()
    if findings or orphans or late:
        raise Unhealthy(
            f"{findings} accounts differ from the exchange, {orphans} of its orders are not in the journal, "
            f"{late} accounts were not compared for {SWEEP_LATE.total_seconds() / 3600:.0f} h."
        )
    return f"{rows.count()} accounts agree with the exchange."


def price_ages(sources: dict[Source, str]) -> dict[Source, float | None]:
    """Seconds since the feed stored the price of each source's symbol; None without one."""
    now, ages = clock.now(), {}
    for source, symbol in sources.items():
        price = prices.load_many(source, [symbol]).get(symbol)
        ages[source] = None if price is None else (now - price.at).total_seconds()
    return ages


def symbol_caches() -> str:
    """The symbols of each source in use were refreshed within SYMBOLS_TTL."""
    sources = sources_in_use()
    for source in sources:
        refreshed_at = symbols.counters(source).refreshed_at
        if refreshed_at is None:
            raise Unhealthy(f"The symbols of {label(source)} were never fetched.")
        age = (clock.now() - refreshed_at).total_seconds()
        if age > settings.SYMBOLS_TTL:
            raise Unhealthy(f"The symbols of {label(source)} are {age / 60:.0f} minutes old.")
    return f"The symbols of {_list(sources)} are fresh." if sources else "No source is in use."


def exchanges() -> str:
    """Each exchange in use answers."""
    return _each_source(lambda source, offset_ms: None, "answers")


def clock_offset() -> str:
    """This machine's clock agrees with that of each exchange in use."""

    def judge(source: Source, offset_ms: int) -> None:
        if abs(offset_ms) > CLOCK_OFFSET_MS:
            raise Unhealthy(f"This machine's clock differs from {label(source)} by {offset_ms} ms.")

    return _each_source(judge, "has this machine's time")


def books() -> str:
    """The books were checked within two hours, and are in order."""
    late = clock.now() - timedelta(seconds=BOOKS_LATE_SECONDS)
    checks = list(books_check.newest())
    database = [check for check in checks if check.scope == books_check.DATABASE]
    is_late = not database or database[0].at < late
    if is_late and Order.objects.filter(created_at__lt=late).exists():
        raise Unhealthy("The books were not checked within the last two hours.")
    found = [one for check in checks for one in errors(books_check.findings_of(check))]
    if found:
        first = f"{found[0].invariant} {found[0].object}: {found[0].sentence}"
        more = f" And {len(found) - 1} more." if len(found) > 1 else ""
        raise Unhealthy(f"The books are not in order. {first}.{more}")
    return "The books are in order." if database else "The books were not checked yet."


def protection() -> str:
    """No position is without its stop on the exchange for longer than the protocol allows."""
    late = clock.now() - timedelta(seconds=NAKED_SECONDS)
    naked = BotState.objects.filter(naked_since__lt=late).order_by("naked_since")
    if names := list(naked.values_list("bot__name", flat=True)[: SHOWN + 1]):
        raise Unhealthy(
            f"The stop of {_list_names(names)} is not on the exchange for over {NAKED_SECONDS} s."
        )
    return "Every position that should have a stop on the exchange has one."


def _list_names(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" and others" if len(names) > SHOWN else "")


def _each_source(judge: Callable[[Source, int], None], verb: str) -> str:
    sources = sources_in_use()
    for source in sources:
        judge(source, _offset_ms(source))
    return f"{_list(sources)}: {verb}." if sources else "No source is in use."


def _list(sources: Iterable[Source]) -> str:
    return ", ".join(label(source) for source in sources)


def _offset_ms(source: Source) -> int:
    """The exchange's time less ours. Raises Unhealthy when it does not answer in time."""
    timings = replace(
        settings.TIMINGS, read_budget_seconds=EXCHANGE_SECONDS, total_timeout_seconds=EXCHANGE_SECONDS
    )
    client = ExchangeClient(source, timings=timings, lane="background")
    before = clock.to_ms(clock.now())
    try:
        server = client.server_time_ms()
    except ExchangeError as error:
        raise Unhealthy(f"{label(source)} does not answer: {error}") from None
    return round(server - (before + clock.to_ms(clock.now())) / 2)


READY = (
    health.DATABASE,
    health.REDIS,
    health.SCHEMA,
    Probe("workers", workers, "Start the workers of all queues; see docs/deployment.md.", ("redis",)),
)
ALL = (
    *READY,
    health.TRANSACTIONS,
    health.SCHEDULER,
    Probe(
        "last screen",
        last_screen,
        "Check the scheduler, the worker of the queue screen, and its log.",
        ("database",),
    ),
    Probe(
        "feed",
        feed,
        "Check that exactly one feed runs (`manage.py feed`), that the exchange answers it, and its log.",
        ("database", "redis"),
    ),
    Probe(
        "symbols",
        symbol_caches,
        "Check the worker of the queue background, and that the exchange answers.",
        ("database", "redis"),
    ),
    Probe(
        "keys",
        keys,
        "Put the key that encrypted them back into FERNET_KEYS, or enter the API keys anew.",
        ("database",),
    ),
    Probe(
        "exchange",
        exchanges,
        "Check the network, PAPER_SPOT_URL and PAPER_FUTURES_URL, and the exchange's status page.",
        ("database",),
    ),
    Probe(
        "clock",
        clock_offset,
        "Let chrony or systemd-timesyncd keep this machine's time.",
        ("database", "exchange"),
    ),
    Probe(
        "books",
        books,
        "Run `manage.py check_books`; see docs/orders.md for what each number means.",
        ("database",),
    ),
    Probe(
        "user streams",
        streams,
        "Check that `manage.py user_streams` runs, and its log. Until then fills are seen minutes later.",
        ("database", "redis"),
    ),
    Probe(
        "reconciliation",
        reconciliation,
        "Run `manage.py reconcile`; orders that the journal lacks are adopted or cancelled in the admin.",
        ("database",),
    ),
    Probe(
        "protection",
        protection,
        "Look at the bot's runs for why the exchange refuses the stop; see docs/protection.md.",
        ("database",),
    ),
    health.DISK,
)
