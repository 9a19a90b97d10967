"""After a backup was restored: a nonce of its own, every bot paused, every balance to be asked for again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dramatiq
from django.db import OperationalError, connection, transaction
from django.db.models import Exists, F, OuterRef

from bots.models import BotConfig
from tradebot.errors import Refused
from tradebot.redis import redis_client
from trading import audit, deployments, sweep
from trading.models import AccountState, BotState, Order, OrderRequest, SymbolClaim, SymbolSetup
from trading.models.journal import DOUBT_STATES

LOCK_TIMEOUT = "30000ms"  # a request on its way ends within 15 s
HOLD = "drift"  # reconciling ends it: the books may lack what happened since the backup
REASON = "restored from a backup: compare the books with the exchange, then start it again"
CACHES = ("account-refresh:*", "signal:*")  # market data and the request budget do not come from the database


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done."""

    nonce: str
    nonce_before: str
    bots_paused: int  # of those that were active
    bots_held: int
    in_position: int
    accounts: int


def after_restore(*, by: Any, nonce: str | None, reason: str, now: datetime) -> Restored:
    """Put a new nonce in force and hold every bot; positions stay protected, for exits run on.

    All of it is one transaction under the lock of every state row: a request that was prepared with the old
    nonce and not sent yet is not sent any more, for its epoch has passed. Twice is as good as once, with yet
    another nonce. Raises InvalidInput or Refused for the nonce, and Refused when runs hold the rows.
    """
    with transaction.atomic(durable=True):
        _lock_all()
        wanted = deployments.new_nonce() if nonce is None else deployments.check_new(nonce)
        before = deployments.nonce_in_force(now)
        deployment = deployments.start(wanted, reason, now)
        states = BotState.objects.filter(bot__deleted_at__isnull=True)
        done = Restored(
            nonce=wanted,
            nonce_before=before,
            in_position=states.filter(in_position=True).count(),
            bots_paused=BotConfig.objects.filter(is_active=True).update(is_active=False, updated_at=now),
            bots_held=_hold(),
            accounts=_doubt_accounts(now),
        )
        audit.note(
            by,
            "after_restore",
            deployment,
            before={"nonce": before},
            after={"nonce": wanted, "bots_paused": done.bots_paused, "bots_held": done.bots_held},
            reason=reason,
            now=now,
        )
    return done


def drop_caches() -> None:
    """Forget what Redis has of the database that is no more: caches by account, and every message.

    Messages name rows that may not exist any more; the next minute's look finds all that is to be done.
    Raises redis.RedisError.
    """
    client = redis_client()
    for pattern in CACHES:
        for key in client.scan_iter(match=pattern, count=1000):
            client.delete(key)
    dramatiq.get_broker().flush_all()


def _lock_all() -> None:
    """Every state row, in one order, after the runs that hold one."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        list(BotState.objects.order_by("bot_id").select_for_update(no_key=True).values_list("pk", flat=True))
    except OperationalError as error:
        if "lock timeout" not in str(error):
            raise
        raise Refused("A bot is being run; stop the workers, then try again. Nothing was changed.") from None


def _hold() -> int:
    doubt = OrderRequest.objects.filter(bot_id=OuterRef("bot_id"), state__in=DOUBT_STATES)
    live = Order.objects.filter(bot_id=OuterRef("bot_id"), live=True)
    tied = BotState.objects.filter(bot_id=OuterRef("bot_id"), in_position=True)
    wanted = BotState.objects.filter(bot_id=OuterRef("bot_id")).exclude(exit_wanted="")
    SymbolClaim.objects.exclude(Exists(doubt) | Exists(live) | Exists(tied) | Exists(wanted)).delete()
    BotState.objects.update(epoch=F("epoch") + 1)
    return BotState.objects.filter(bot__deleted_at__isnull=True).update(
        hold=HOLD, status=f"paused ({HOLD})", status_reason=REASON
    )


def _doubt_accounts(now: datetime) -> int:
    """No balance and no setting of a symbol counts as known until asked for; the sweep looks here first."""
    sweep.mark_all_doubtful("a backup was restored", now)
    SymbolSetup.objects.update(checked_at=None, next_try_at=None)
    AccountState.objects.update(asked_at=None)
    return AccountState.objects.values("account_id").distinct().count()
