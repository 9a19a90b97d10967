"""The books are checked: by command, and each hour, when what is new goes to whom it concerns."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Max

from tradebot.binance import budget
from tradebot.binance.sources import Source, source_for
from tradebot.errors import TradebotError
from trading import compare, invariants, outbox
from trading.accounts import client_for
from trading.findings import Finding, errors, from_dict
from trading.models import BooksCheck, ExchangeAccount, Order

logger = logging.getLogger(__name__)

DATABASE = "database"
ACCOUNTS_AT_ONCE = 10
BUDGET_SHARE = 0.2  # of a minute's request weight, beside everything else that was used in it
SYMBOL_WEIGHT = 41  # of one symbol's comparison, when its orders and trades are one page each
OVERLAP = timedelta(days=1)
KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Pair:
    """An account on one market that has orders."""

    account: ExchangeAccount
    market: str

    @property
    def scope(self) -> str:
        """Under which its checks are stored."""
        return f"exchange:{self.account.pk}:{self.market}"


def pairs(account_id: int | None = None, bot_id: int | None = None) -> list[Pair]:
    """Accounts and markets that have orders, all or those of one account or bot."""
    rows = Order.objects.order_by()
    if account_id is not None:
        rows = rows.filter(account_id=account_id)
    if bot_id is not None:
        rows = rows.filter(bot_id=bot_id)
    found = sorted(rows.values_list("account_id", "market").distinct())
    accounts = ExchangeAccount.objects.in_bulk({account for account, _ in found})
    return [Pair(accounts[account], market) for account, market in found]


def against_exchange(pair: Pair, since: datetime | None = None) -> list[Finding]:
    """What differs between journal and exchange, twice: what a running bot changes meanwhile is no finding.

    Raises errors of tradebot.errors when the account can't be asked.
    """
    client = client_for(pair.account, pair.market, "background")
    first = compare.compare(pair.account, pair.market, client, since)
    if not first:
        return []
    again = compare.compare(pair.account, pair.market, client, since)
    return [one for one in first if one in again]


def check_hourly(now: Callable[[], datetime]) -> list[BooksCheck]:
    """The whole database, then the accounts whose last comparison is the oldest, as the budget allows.

    Stores what was found, and tells what is new.
    """
    made = [_store(DATABASE, partial(_database, now), now)]
    spent: dict[Source, int] = defaultdict(int)
    for pair in _due():
        source = source_for(pair.account.environment, pair.market)
        weight = _weight(pair)
        if not _affordable(source, spent[source], weight):
            continue
        spent[source] += weight
        made.append(_store(pair.scope, partial(against_exchange, pair, _since(pair)), now))
    BooksCheck.objects.filter(at__lt=now() - KEPT).delete()
    return made


def newest() -> Iterator[BooksCheck]:
    """The last check of each scope."""
    last = BooksCheck.objects.order_by().values("scope").annotate(last=Max("id")).values_list("last")
    yield from BooksCheck.objects.filter(pk__in=last).order_by("scope")


def _database(now: Callable[[], datetime]) -> list[Finding]:
    return invariants.check_database(now=now())


def _due() -> list[Pair]:
    last = {check.scope: check.at for check in newest()}
    found = pairs()
    found.sort(key=lambda pair: (pair.scope in last, last.get(pair.scope), pair.scope))
    return found[:ACCOUNTS_AT_ONCE]


def _weight(pair: Pair) -> int:
    rows = Order.objects.filter(account=pair.account, market=pair.market).order_by()
    return SYMBOL_WEIGHT * rows.values("symbol").distinct().count()


def _affordable(source: Source, spent: int, weight: int) -> bool:
    """Whether it fits beside what was used in this minute, and into the share of these checks.

    The first account of a round always may: one with many symbols would never be compared otherwise.
    """
    usage = budget.usage(source)
    if usage.used + weight > usage.limit * budget.SHARE["background"]:
        return False
    return not spent or spent + weight <= usage.limit * BUDGET_SHARE


def _since(pair: Pair) -> datetime | None:
    """A day before the last comparison that found nothing; None for the first one."""
    good = BooksCheck.objects.filter(scope=pair.scope, error="", findings=[])
    at = good.values_list("at", flat=True).first()
    return None if at is None else at - OVERLAP


def _store(scope: str, look: Callable[[], list[Finding]], now: Callable[[], datetime]) -> BooksCheck:
    begun, at = time.monotonic(), now()
    before = BooksCheck.objects.filter(scope=scope, error="").first()
    found: list[Finding] = []
    error = ""
    try:
        found = look()
    except TradebotError as failure:
        error = str(failure)
        logger.warning("books of %s can't be compared: %s", scope, error)
    check = BooksCheck.objects.create(
        scope=scope,
        at=at,
        seconds=time.monotonic() - begun,
        findings=[one.as_dict() for one in found],
        error=error,
    )
    known = {row["id"] for row in before.findings} if before else set()
    for one in found:
        logger.warning("books: %s %s: %s", one.invariant, one.object, one.sentence)
    _tell([one for one in errors(found) if one.id not in known], at)
    return check


def _tell(found: Iterable[Finding], now: datetime) -> None:
    """Once for each new finding, to the owner of the account and to the superusers."""
    staff = list(
        get_user_model().objects.filter(is_superuser=True, is_active=True).values_list("pk", flat=True)
    )
    for one in found:
        account = ExchangeAccount.objects.filter(pk=one.account_id).first() if one.account_id else None
        users = {*staff, account.user_id} if account else set(staff)
        for user_id in sorted(users):
            outbox.notify(
                event=outbox.Event.ERROR,
                user_id=user_id,
                bot_id=one.bot_id,
                payload=_payload(one, account),
                once=f"books:{user_id}:{one.id}:{now:%Y-%m-%dT%H}"[:120],
                now=now,
            )


def _payload(one: Finding, account: ExchangeAccount | None) -> dict[str, Any]:
    return {
        "error": f"books {one.invariant}",
        "reason": f"{one.object}: {one.sentence}",
        "account": account.name if account else "",
        "environment": account.environment if account else "",
        "bot_id": one.bot_id,
    }


def findings_of(check: BooksCheck) -> list[Finding]:
    """What the check found."""
    return [from_dict(row) for row in check.findings]
