"""System checks: settings and actors that would trade wrongly, or show what they should not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dramatiq
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import autodiscover_modules

from tradebot.timings import DEFAULT

TRADING_QUEUES = ("screen", "exits", "entries")
NEEDED_MIDDLEWARE = (
    "dramatiq.middleware.AgeLimit",
    "dramatiq.middleware.TimeLimit",
    "dramatiq.middleware.Retries",
    "tradebot.middleware.HardTimeLimit",
    "tradebot.middleware.CleanConnections",
    "tradebot.middleware.SchemaGuard",
    "tradebot.middleware.Heartbeat",
    "periodiq.PeriodiqMiddleware",
)
Configs = Sequence[AppConfig] | None


@register()
def check_keys(app_configs: Configs, **options: Any) -> list[CheckMessage]:
    """FERNET_KEYS must be long, distinct, and nothing that is used for something else."""
    keys, found = settings.FERNET_KEYS, []
    if not keys or any(len(key) < 32 for key in keys):
        found.append(_error("E001", "FERNET_KEYS needs one or more keys of at least 32 characters."))
    if len(set(keys)) != len(keys):
        found.append(_error("E002", "FERNET_KEYS names a key twice."))
    if settings.SECRET_KEY in keys:
        found.append(_error("E003", "FERNET_KEYS holds SECRET_KEY; take a key of its own."))
    return found


@register()
def check_broker(app_configs: Configs, **options: Any) -> list[CheckMessage]:
    """dramatiq merges no default middleware in: each that money hangs on must be listed."""
    listed = settings.DRAMATIQ_BROKER.get("MIDDLEWARE", [])
    return [
        _error("E004", f"DRAMATIQ_BROKER does not list the middleware {name}.")
        for name in NEEDED_MIDDLEWARE
        if name not in listed
    ]


@register()
def check_actors(app_configs: Configs, **options: Any) -> list[CheckMessage]:
    """An actor that can trade is never retried, and every actor ends before its process is killed."""
    autodiscover_modules("actors")
    return [message for actor in dramatiq.get_broker().actors.values() for message in _actor_messages(actor)]


def _actor_messages(actor: Any) -> Iterator[CheckMessage]:
    if actor.queue_name in TRADING_QUEUES and actor.options.get("max_retries") != 0:
        yield _error(
            "E005",
            f"The actor {actor.actor_name} works on the queue {actor.queue_name} and can trade, but may be "
            "retried; give it max_retries=0.",
        )
    limit = actor.options.get("time_limit")
    if limit is None or limit >= settings.TASK_HARD_TIME_LIMIT * 1000:
        yield _error(
            "E006",
            f"The actor {actor.actor_name} needs a time_limit below TASK_HARD_TIME_LIMIT, at which its "
            "process is killed.",
        )


@register()
def check_live(app_configs: Configs, **options: Any) -> list[CheckMessage]:
    """Real money wants real time, no tracebacks for visitors, and client ids of one's own."""
    if not settings.LIVE_TRADING:
        return []
    found = []
    if settings.DEBUG:
        found.append(_error("E007", "LIVE_TRADING and DEBUG are both on."))
    if settings.CLOCK != "wall" or settings.TIMINGS != DEFAULT:
        found.append(_error("E008", "LIVE_TRADING needs CLOCK=wall and TIMINGS_SCALE=1."))
    if settings.DEPLOYMENT_NONCE == "000000":
        found.append(_error("E009", "LIVE_TRADING needs a DEPLOYMENT_NONCE of its own, not 000000."))
    return found


@register(deploy=True)
def check_deployment(app_configs: Configs, **options: Any) -> list[CheckMessage]:
    """What is right on one's own machine and wrong on a server."""
    found: list[CheckMessage] = []
    if "*" in settings.ALLOWED_HOSTS:
        found.append(Warning("ALLOWED_HOSTS allows every name.", id="tradebot.W001"))
    if settings.DEPLOYMENT_NONCE == "000000":
        found.append(Warning("DEPLOYMENT_NONCE is 000000; choose six letters or digits.", id="tradebot.W002"))
    return found


def _error(number: str, text: str) -> CheckMessage:
    return Error(text, id=f"tradebot.{number}")
