"""What people do with kill switches, for admin, API and command: set one, have it carried out, lift it.

Setting takes two steps. The row is committed: from then on new entries stop. Then the barrier is waited for:
when it has passed, no entry of the covered bots is on its way to the exchange (`drained_at`). Cancelling and
closing are left in the bots' inboxes, so that they run under each bot's lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from bots.kill_check import LEVELS, check, is_operator, text_of
from bots.models import BotConfig, BotInbox
from tradebot import clock
from tradebot.errors import InvalidInput, Refused
from trading import audit, kill, outbox
from trading.models import KillSwitch, Order, OrderRequest
from trading.models.journal import DOUBT_STATES

ONCE_WAIT_SECONDS = 2.0  # how long the barrier stands in the way of other transactions at a time
PAUSE_SECONDS = 0.05
INBOX_BATCH = 1000
Wake = Callable[[Sequence[int]], None]


def switch_on(
    *,
    by: Any,
    values: Mapping[str, Any],
    wake: Wake,
    wait_seconds: float,
    now: Callable[[], datetime] = clock.now,
) -> KillSwitch:
    """Set a switch and have it carried out: begin() and carry_out(). Called outside of any transaction."""
    with transaction.atomic(durable=True):
        switch = begin(by=by, values=values, now=now())
    return carry_out(switch, wake=wake, wait_seconds=wait_seconds, now=now)


def begin(*, by: Any, values: Mapping[str, Any], now: datetime) -> KillSwitch:
    """The first step: the row. Whoever commits it stops all entries that are not yet on their way.

    `by` is a user, or None for whoever may use commands. `values` are those of kill_check.FIELDS; user,
    account and bot are numbers of rows. A switch for the same scope that is in force already is kept: its
    level is raised if need be, never lowered, and its reason replaced. Raises InvalidInput that names the
    fields, and for a scope that is not the user's.
    """
    wanted = check(by=by, values=values)
    with transaction.atomic():
        switch = _in_force(wanted.key)
        if switch is None:
            try:
                with transaction.atomic():
                    wanted.set_by, wanted.set_at = by, now
                    wanted.save(force_insert=True)
            except IntegrityError:  # somebody else has set it at the same moment
                switch = _in_force(wanted.key)
                if switch is None:
                    raise
            else:
                audit.note(
                    by,
                    "kill switch on",
                    wanted,
                    before={},
                    after=_shown(wanted),
                    reason=wanted.reason,
                    now=now,
                )
                return wanted
        before = _shown(switch)
        switch.level = max(switch.level, wanted.level, key=LEVELS.index)
        switch.reason = wanted.reason
        switch.save(update_fields=["level", "reason"])
        audit.note(
            by,
            "kill switch on again",
            switch,
            before=before,
            after=_shown(switch),
            reason=switch.reason,
            now=now,
        )
        return switch


def carry_out(
    switch: KillSwitch, *, wake: Wake, wait_seconds: float, now: Callable[[], datetime] = clock.now
) -> KillSwitch:
    """The second step, which may be repeated at any time: mail to the bots, the barrier, mail again.

    `wake` is called with the ids of inbox entries, after their commit. Gives the switch as it is then;
    `drained_at` is None if an entry was still on its way after `wait_seconds`. Called outside of any
    transaction, once the row is committed.
    """
    with transaction.atomic(durable=True):
        mail(switch, now(), wake)
        _tell(switch, switch.level, f"paused by the kill switch ({switch.get_level_display()})", now())
    if switch.drained_at is None and _drain(switch, wait_seconds, now):
        with transaction.atomic(durable=True):
            mail(switch, now(), wake)
    switch.refresh_from_db()
    return switch


def mail(switch: KillSwitch, now: datetime, wake: Wake) -> list[int]:
    """Leave in the bots' inboxes what the switch's level wants of them; the ids of what waits there for it.

    Nothing for a bot in whose inbox this switch's wish still waits, and nothing once it is lifted.
    """
    if switch.level == KillSwitch.Level.NO_ENTRIES or switch.lifted_at is not None:
        return []
    kind = BotInbox.Kind.CLOSE if switch.level == KillSwitch.Level.FLATTEN else BotInbox.Kind.RUN
    waiting = dict(
        BotInbox.objects.filter(
            handled_at__isnull=True, kind=kind, payload__kill_switch=switch.pk
        ).values_list("bot_id", "pk")
    )
    payload = {"kill_switch": switch.pk, "reason": switch.reason}
    source_id = f"kill:{switch.pk}:{now.isoformat()}"
    rows = [
        BotInbox(bot_id=bot_id, kind=kind, source_id=source_id, payload=payload, created_at=now)
        for bot_id in targets(switch).values_list("pk", flat=True)
        if bot_id not in waiting
    ]
    made = BotInbox.objects.bulk_create(rows, batch_size=INBOX_BATCH)
    ids = sorted([*waiting.values(), *(row.pk for row in made)])
    if ids:
        transaction.on_commit(partial(wake, ids), robust=True)
    return ids


def covered(switch: KillSwitch) -> QuerySet[BotConfig]:
    """The bots that it covers and that were not deleted."""
    return BotConfig.objects.filter(kill.covers(switch), deleted_at__isnull=True)


def targets(switch: KillSwitch) -> QuerySet[BotConfig]:
    """The covered bots that have something to cancel or to close, in one statement, so at one moment.

    With an entry in doubt it is not known yet; what the bot was asked to do waits until it is.
    """
    doubts = OrderRequest.objects.filter(bot_id=OuterRef("pk"), state__in=DOUBT_STATES)
    live = Order.objects.filter(bot_id=OuterRef("pk"), live=True)
    if switch.level == KillSwitch.Level.FLATTEN:
        wanted = Q(state__in_position=True) | Exists(live) | Exists(doubts)
    else:
        wanted = Q(Exists(live.filter(request__lane="entry")) | Exists(doubts.filter(lane="entry")))
    return BotConfig.objects.filter(kill.covers(switch) & wanted).order_by("pk")


def lift(*, switch: KillSwitch, by: Any, reason: str = "", now: datetime) -> KillSwitch:
    """End the switch: its bots may enter again, by the signals that come. Nothing is caught up.

    Raises InvalidInput for somebody else's, Refused for one that was lifted or that an operator has set.
    """
    why = text_of("reason", reason) if reason else ""
    with transaction.atomic():
        rows = KillSwitch.objects.select_for_update(of=("self",), no_key=True)
        fresh = visible(rows, by).filter(pk=switch.pk).first()
        if fresh is None:
            raise no_such_switch(switch.pk)
        if fresh.lifted_at is not None:
            raise Refused(f"Kill switch {fresh.pk} was lifted already.")
        if not is_operator(by) and fresh.set_by_id != by.pk:
            raise Refused(f"Kill switch {fresh.pk} was set by an operator; ask for it to be lifted.")
        before = _shown(fresh)
        fresh.lifted_by, fresh.lifted_at = by, now
        fresh.save(update_fields=["lifted_by", "lifted_at"])
        audit.note(by, "kill switch off", fresh, before=before, after=_shown(fresh), reason=why, now=now)
        _tell(fresh, "lifted", "the kill switch was lifted: new signals count again", now)
        return fresh


def visible(rows: QuerySet[KillSwitch], by: Any) -> QuerySet[KillSwitch]:
    """Those that `by` may see: an operator all, an owner those of their own bots."""
    return rows if is_operator(by) else rows.filter(user_id=by.pk)


def no_such_switch(switch_id: object) -> InvalidInput:
    """The answer for a switch that does not exist or is somebody else's: the same."""
    return InvalidInput(f"There is no kill switch {str(switch_id)[:40]}; look at the list.", "kill switch")


def entries_left(switch: KillSwitch) -> int:
    """Entry requests of its bots whose outcome is open: none can be sent any more; recovery ends them."""
    return OrderRequest.objects.filter(
        kill.covers(switch, "bot__"), lane="entry", state__in=DOUBT_STATES
    ).count()


def _in_force(key: str) -> KillSwitch | None:
    rows = KillSwitch.objects.select_for_update(of=("self",), no_key=True)
    return rows.filter(key=key, lifted_at__isnull=True).first()


def _drain(switch: KillSwitch, wait_seconds: float, now: Callable[[], datetime]) -> bool:
    """Wait for the barrier and write that it was passed; False when it was not within `wait_seconds`."""
    end = time.monotonic() + wait_seconds
    while True:
        left = max(PAUSE_SECONDS, end - time.monotonic())
        if kill.barrier(switch, min(ONCE_WAIT_SECONDS, left)) and not kill.on_its_way(switch, now()):
            KillSwitch.objects.filter(pk=switch.pk, drained_at__isnull=True).update(drained_at=now())
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(PAUSE_SECONDS)


def _tell(switch: KillSwitch, what: str, status: str, now: datetime) -> None:
    """Tell each owner of a covered bot that is active or in position: once a level, and once of the end."""
    trading = covered(switch).filter(Q(is_active=True) | Q(state__in_position=True)).order_by()
    owners = set(trading.values_list("user_id", flat=True))
    if switch.user_id is not None:
        owners.add(switch.user_id)
    for user_id in sorted(owners):
        outbox.notify(
            event=outbox.Event.PAUSED,
            user_id=user_id,
            bot_id=switch.bot_id,
            payload={
                "bot": _about(switch),
                "scope": switch.scope,
                "level": switch.level,
                "status": status,
                "reason": switch.reason,
            },
            once=f"kill:{switch.pk}:{what}:{user_id}",
            now=now,
        )


def _about(switch: KillSwitch) -> str:
    """Which bots it covers, in words."""
    if switch.scope == "bot" and switch.bot is not None:
        return str(switch.bot.name)
    where = f" of account {switch.account.name}" if switch.account else ""
    if switch.scope == "symbol":
        return f"all bots on {switch.symbol} ({switch.market}){where}"
    return f"all bots{where}"


def _shown(switch: KillSwitch) -> dict[str, Any]:
    """The switch for the audit log."""
    return {
        "key": switch.key,
        "level": switch.level,
        "reason": switch.reason,
        "lifted": switch.lifted_at is not None,
    }


def chunked(ids: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """The ids as ranges (first, last) of `size` each."""
    for start in range(0, len(ids), size):
        part = ids[start : start + size]
        yield part[0], part[-1]
