"""The kill switch as runs meet it: a lock that is only tried, then the switches that are in force.

An entry is prepared (T1) and sent (T2) in transactions that hold shared advisory locks, one for everything
that may be switched off above the bot. Whoever sets a switch commits its row, then waits for its lock
exclusively, once: whatever held the lock shared has ended by then, and whatever comes later reads the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Q

from tradebot import rows
from trading.locks import LOCK_NOT_AVAILABLE
from trading.models import KillSwitch, OrderRequest

BEING_SET = "the kill switch is being set"
QUERY_CANCELED = "57014"
# Two statements, never one: the second one's snapshot must be younger than the locks.
TRY_LOCKS = """
SELECT bool_and(pg_try_advisory_xact_lock_shared(hashtextextended('kill:' || name, 0)))
FROM unnest(%s::text[]) AS name
"""
IN_FORCE = """
SELECT (SELECT reason FROM trading_killswitch
        WHERE lifted_at IS NULL AND key = ANY(%s) ORDER BY id LIMIT 1), {}
"""
WAIT_FOR_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('kill:' || %s, 0))"


class Bot(Protocol):
    """What decides whether a switch covers a bot."""

    @property
    def pk(self) -> int: ...
    @property
    def user_id(self) -> int: ...
    @property
    def account_id(self) -> int: ...
    @property
    def market(self) -> str: ...
    @property
    def symbol(self) -> str: ...


def keys_of(bot: Bot) -> list[str]:
    """The keys of all switches that would cover the bot."""
    symbol = f"symbol:{bot.market}:{bot.symbol}"
    return [
        "all",
        f"owner:{bot.user_id}",
        f"account:{bot.account_id}",
        f"bot:{bot.pk}",
        symbol,
        f"{symbol}:account:{bot.account_id}",
    ]


def key_of(switch: KillSwitch) -> str:
    """The key of what the switch covers."""
    if switch.scope == "symbol":
        where = f":account:{switch.account_id}" if switch.account_id else ""
        return f"symbol:{switch.market}:{switch.symbol}{where}"
    row_id = {"owner": switch.user_id, "account": switch.account_id, "bot": switch.bot_id}
    return "all" if switch.scope == "all" else f"{switch.scope}:{row_id[switch.scope]}"


def covers(switch: KillSwitch, path: str = "") -> Q:
    """The condition for rows whose bot is covered; `path` leads to the bot ("bot__")."""
    conditions: dict[str, dict[str, Any]] = {
        "all": {},
        "owner": {"user_id": switch.user_id},
        "account": {"account_id": switch.account_id},
        "bot": {"pk": switch.bot_id},
        "symbol": {"market": switch.market, "symbol": switch.symbol},
    }
    names = conditions[switch.scope]
    if switch.scope == "symbol" and switch.account_id:
        names["account_id"] = switch.account_id
    return Q(*((path + name, value) for name, value in names.items()))


def entries_barred(bot: Bot) -> str | None:
    """Why no entry of the bot may be prepared or sent in this transaction, or None. Exits are not asked.

    Tries the bot's locks, which the transaction then keeps, and reads the switches in force. A lock that
    can't be had bars entries: a switch is being set that covers the bot.
    """
    return entries_barred_beside(bot)[0]


def entries_barred_beside(
    bot: Bot, columns: str = "true", values: Sequence[Any] = ()
) -> tuple[str | None, tuple[Any, ...]]:
    """The same, and what else the caller wants to know at that moment: SQL of `columns` with its values.

    They are () where a lock can't be had.
    """
    keys = keys_of(bot)
    if not rows.one(TRY_LOCKS, [keys])[0]:
        return BEING_SET, ()
    reason, *beside = rows.one(IN_FORCE.format(columns), [keys, *values])
    return None if reason is None else sentence(reason), tuple(beside)


def sentence(reason: str) -> str:
    """How a switch reads in the reasons of a bot."""
    return f"the kill switch is on: {reason}"


class Switches:
    """All switches in force, read once: for screens and whoever only shows what would be decided."""

    def __init__(self) -> None:
        found = KillSwitch.objects.filter(lifted_at__isnull=True).order_by("-pk")
        self._reasons = dict(found.values_list("key", "reason"))

    def note(self, bot: Bot) -> str:
        """Why the bot may not enter, or ""."""
        if not self._reasons:
            return ""
        found = next((key for key in keys_of(bot) if key in self._reasons), None)
        return sentence(self._reasons[found]) if found else ""


def barrier(switch: KillSwitch, wait_seconds: float) -> bool:
    """Wait until no transaction is left that let an entry pass before the switch's row was committed.

    True when there is none: each one that began since has read the row. False after `wait_seconds`. Called
    outside of any transaction, after the commit of the row.
    """
    milliseconds = f"{max(1, round(wait_seconds * 1000))}ms"
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [milliseconds])
            cursor.execute(WAIT_FOR_LOCK, [switch.key])
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) not in (LOCK_NOT_AVAILABLE, QUERY_CANCELED):
            raise
        return False
    return True


def on_its_way(switch: KillSwitch, now: datetime) -> int:
    """How many entries of its bots the exchange might still accept, whatever became of their senders.

    A worker whose database session was ended holds no lock, but may wake up and send: only until the window
    of the committed timestamp is over. created_at and the timestamp are of the same moment.
    """
    window = timedelta(
        milliseconds=settings.TIMINGS.recv_window_ms, seconds=settings.TIMINGS.in_flight_seconds
    )
    found = OrderRequest.objects.filter(
        covers(switch, "bot__"), lane="entry", state__in=("PREPARED", "UNKNOWN"), created_at__gt=now - window
    )
    return found.count()
