"""The sweep: one account compared with the exchange, from open orders to the last coin, and what follows.

Orders that the journal lacks are noted (trading.orphans), trades are booked (trading.sweep_trades), what
came and went without an order too (trading.sweep_money). The bots that are to look at their orders are
named in the answer; the caller wakes them. docs/operations.md says what an operator does about findings.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Max, Q
from django.utils import timezone

from tradebot.binance.client import ExchangeClient
from tradebot.errors import BotBusy, ExchangeError, RateLimited
from trading import money, orphans, sweep_money, sweep_orders, sweep_trades
from trading.models import (
    AccountSweep,
    BotState,
    ExchangeAccount,
    OrderRequest,
    Orphan,
    SymbolClaim,
    TradeCursor,
)
from trading.models.journal import DOUBT_STATES
from trading.swept import Scope, Swept
from trading.wire import wire_of

logger = logging.getLogger(__name__)

TAKEN_FOR = timedelta(minutes=3)  # longer than a sweep's time limit
RETRY_AFTER = timedelta(minutes=2)  # an error: it may last, and others wait
SYMBOLS_A_SWEEP = 3  # whose trades are asked for though nothing points to them, the longest unasked first
__all__ = ["Swept", "accounts_due", "is_settled", "mark_all_doubtful", "mark_doubtful", "sweep_account"]


def sweep_account(account: ExchangeAccount, market: str, client: ExchangeClient, now: datetime) -> Swept:
    """Compare the account with the exchange and book what the journal lacks; one at a time for an account.

    Weight: spot 100, futures 90, and 20 (5) for each symbol whose trades are asked for: those that something
    points to, and three more in turn. Never inside a transaction. An error of the exchange is in the answer
    and in AccountSweep.error; the account stays doubtful then.
    """
    swept = Swept(account.pk, market)
    row = _take(account, market, now)
    if row is None:
        swept.is_busy = True
        return swept
    try:
        scope = Scope(account, market, client, row, now, client.now_ms(), swept)
        _sweep(scope)
    except BotBusy:
        swept.look_again_at = now + timedelta(seconds=1)
    except RateLimited as error:
        swept.error = str(error)
        swept.look_again_at = now + timedelta(seconds=min(error.retry_after_seconds, 60.0))
    except ExchangeError as error:
        swept.error = str(error)
    finally:
        if swept.error and swept.look_again_at is None:
            swept.look_again_at = now + RETRY_AFTER
        _leave(row, swept, now)
    return swept


def note_failure(account: ExchangeAccount, market: str, error: str, now: datetime) -> None:
    """Keep why an account can't even be asked; it is tried again later."""
    AccountSweep.objects.update_or_create(
        account=account,
        market=market,
        defaults={"error": error, "asked_at": now, "look_at": now + RETRY_AFTER},
    )


def _sweep(scope: Scope) -> None:
    client, market = scope.client, scope.market
    found = sweep_orders.open_on_exchange(client, market)
    answer = client.account()
    rows = client.position_risk() if market == "futures" else None
    wire = wire_of(market)
    scope.totals = sweep_money.as_amounts(wire.total(answer))
    sweep_orders.compare(scope, found)
    is_alone = scope.account.is_exclusive
    symbols = sweep_money.suspicious(scope, rows) if is_alone else []
    for symbol in [*symbols, *_in_turn(scope, symbols)]:
        sweep_trades.look_through(scope, symbol)
    if is_alone:
        if rows is not None:
            sweep_money.compare_positions(scope, rows)
        sweep_money.compare_balances(scope)
    _note_halted(scope)
    if scope.swept.booked:
        orphans.renew_balances(scope.account.pk, market, client, scope.now)
    else:
        money.apply_snapshot(scope.account.pk, market, orphans.QUOTE, answer, scope.now)
    scope.row.suspects = {key: seen for key, seen in scope.row.suspects.items() if key in scope.kept_suspects}


def _in_turn(scope: Scope, beside: Iterable[str]) -> list[str]:
    """The symbols that bots claim whose trades were not asked for the longest."""
    claimed = set(SymbolClaim.objects.filter(**scope.where).values_list("symbol", flat=True)) - set(beside)
    asked = dict(
        TradeCursor.objects.filter(**scope.where, symbol__in=claimed, asked_at__isnull=False).values_list(
            "symbol", "asked_at"
        )
    )
    never = datetime.min.replace(tzinfo=timezone.get_default_timezone())
    return sorted(claimed, key=lambda symbol: (asked.get(symbol, never), symbol))[:SYMBOLS_A_SWEEP]


def _note_halted(scope: Scope) -> None:
    """Name the bots in position whose symbol the exchange no longer trades: it may be delisted."""
    held = BotState.objects.filter(
        bot__account_id=scope.account.pk, bot__market=scope.market, in_position=True
    )
    for symbol in held.order_by().values_list("bot__symbol", flat=True):
        rules = scope.rules(symbol)
        if rules is not None and not rules.is_trading:
            scope.find(f"{symbol}: not traded at the exchange now ({rules.status}), and a bot holds it")


def _take(account: ExchangeAccount, market: str, now: datetime) -> AccountSweep | None:
    AccountSweep.objects.bulk_create([AccountSweep(account=account, market=market)], ignore_conflicts=True)
    rows = AccountSweep.objects.filter(account=account, market=market)
    free = rows.filter(Q(taken_until__isnull=True) | Q(taken_until__lt=now))
    if not free.update(taken_until=now + TAKEN_FOR, asked_at=now):
        return None
    return rows.get()


def _leave(row: AccountSweep, swept: Swept, now: datetime) -> None:
    """Write what came of it. A doubt that was raised meanwhile stays."""
    went_through = not swept.error and swept.look_again_at is None
    values: dict[str, Any] = {
        "taken_until": None,
        "error": swept.error,
        "offsets": row.offsets,
        "suspects": row.suspects,
        "look_at": swept.look_again_at,
    }
    if not swept.error:
        values |= {"findings": swept.findings, "orders_asked_at": now}
    if went_through:
        values["swept_at"] = now
    AccountSweep.objects.filter(pk=row.pk).update(**values)
    if went_through:
        AccountSweep.objects.filter(pk=row.pk, doubtful=True, doubt=row.doubt).update(
            doubtful=False, doubt=""
        )
    for sentence in swept.findings:
        logger.warning("account %s, %s: %s", row.account_id, row.market, sentence)


def mark_doubtful(account_id: int, market: str, why: str, now: datetime) -> None:
    """Have the account looked at before the others: after a doubt, a lost stream, a change of balances."""
    values = {"doubtful": True, "doubt": f"{why} ({now:%H:%M:%S.%f})"[:200], "look_at": None}
    rows = AccountSweep.objects.filter(account_id=account_id, market=market)
    if not rows.update(**values):
        AccountSweep.objects.bulk_create(
            [AccountSweep(account_id=account_id, market=market, **values)], ignore_conflicts=True
        )


def mark_all_doubtful(why: str, now: datetime) -> int:
    """Have every account looked at anew, the longest unswept first: something was away for a while."""
    return AccountSweep.objects.update(doubtful=True, doubt=f"{why} ({now:%H:%M:%S.%f})"[:200])


def accounts_due(now: datetime) -> list[AccountSweep]:
    """The accounts to sweep, in the order in which they are due: doubtful first, then the longest unasked.

    An account is doubtful by itself while a request of its is in doubt, and until it was swept after one
    ended.
    """
    make_rows()
    open_doubt = OrderRequest.objects.filter(state__in=DOUBT_STATES).exclude(state="PREPARED")
    doubts = set(open_doubt.order_by().values_list("account_id", "market").distinct())
    recent = now - timedelta(days=2)  # a doubt is quarantined after one; created_at has an index
    asked_for = OrderRequest.objects.filter(asked_count__gt=0, created_at__gte=recent)
    ended = {
        (account_id, market): at
        for account_id, market, at in asked_for.filter(resolved_at__gte=now - timedelta(days=1))
        .order_by()
        .values_list("account_id", "market")
        .annotate(at=Max("resolved_at"))
    }
    rows = AccountSweep.objects.filter(Q(taken_until__isnull=True) | Q(taken_until__lt=now))
    rows = rows.filter(Q(look_at__isnull=True) | Q(look_at__lte=now)).select_related("account")

    def is_doubtful(row: AccountSweep) -> bool:
        key = (row.account_id, row.market)
        last = ended.get(key)
        after = last is not None and (row.swept_at is None or row.swept_at <= last)
        return row.doubtful or row.look_at is not None or key in doubts or after

    found = list(
        rows.order_by(F("swept_at").asc(nulls_first=True), F("asked_at").asc(nulls_first=True), "pk")
    )
    return sorted(found, key=lambda row: not is_doubtful(row))


def make_rows() -> None:
    """A row for each account and market that bots trade or hold something in; rows of others stay behind."""
    states = BotState.objects.filter(
        Q(bot__is_active=True) | Q(in_position=True), bot__deleted_at__isnull=True
    )
    used = set(states.order_by().values_list("bot__account_id", "bot__market").distinct())
    used |= set(SymbolClaim.objects.order_by().values_list("account_id", "market").distinct())
    known = set(AccountSweep.objects.values_list("account_id", "market"))
    AccountSweep.objects.bulk_create(
        [AccountSweep(account_id=account_id, market=market) for account_id, market in sorted(used - known)],
        ignore_conflicts=True,
    )


def is_settled(account_id: int, market: str) -> bool:
    """Whether the account's last sweep went through without findings, and no orphan is open.

    What ends a pause for drift: an owner may start the bot again then.
    """
    row = AccountSweep.objects.filter(account_id=account_id, market=market).first()
    if row is None or row.swept_at is None or row.error or row.findings or row.doubtful:
        return False
    rows = Orphan.objects.filter(account_id=account_id, market=market, resolved_at__isnull=True)
    return not rows.exists()
