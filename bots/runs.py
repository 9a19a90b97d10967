"""The rows that tell of runs, and how an outcome shows on the bot's state."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from bots import inbox
from bots.models import BotConfig, BotInbox, BotRun
from tradebot import rows
from tradebot.binance.answers import says_market_closed
from tradebot.errors import BotBusy
from tradebot.rows import Statement
from trading import outbox
from trading.locks import lock_state
from trading.models import BotState, OrderRequest
from trading.texts import held_status

logger = logging.getLogger(__name__)

# A run that was made before inserts nothing; that costs no savepoint.
INSERT_RUN = """
INSERT INTO bots_botrun (bot_id, trigger, key, slot, started_at, outcome, reasons, epoch, config_version)
VALUES (%s, %s, %s, %s, %s, %s, '', %s, %s)
ON CONFLICT (bot_id, trigger, key) DO NOTHING RETURNING id
"""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: traded, held, refused, failed, busy ..., why, and when a doubt is to be looked at."""

    outcome: str
    reasons: tuple[str, ...] = ()
    look_again_at: datetime | None = None


def begin(
    config: BotConfig, trigger: str, key: str, slot: datetime, epoch: int, now: datetime
) -> BotRun | None:
    """The run's row, in the transaction of its first request; None if this run was made before."""
    row = BotRun(
        bot=config,
        trigger=trigger,
        key=key,
        slot=slot,
        started_at=now,
        epoch=epoch,
        config_version=config.version,
    )
    with connection.cursor() as cursor:
        cursor.execute(INSERT_RUN, [config.pk, trigger, key, slot, now, row.outcome, epoch, config.version])
        found = cursor.fetchone()
    if found is None:
        return None
    row.pk, row._state.adding, row._state.db = found[0], False, connection.alias
    return row


def finish(
    row: BotRun | None,
    sent: Sequence[OrderRequest],
    outcome: str,
    reasons: Sequence[str],
    now: datetime,
    said: Statement | None = None,
) -> str:
    """Close the run's row; gives the outcome of the whole run: what was sent counts before a final Hold.

    `said` writes the status that the last look came to.
    """
    closing = [said] if said else []
    states = {request.state for request in sent}
    if "ACCEPTED" in states:
        outcome = "traded"
    elif states & {"PREPARED", "UNKNOWN"}:
        outcome = "in doubt"
    elif states and outcome != "external":
        outcome = "not sent" if states == {"NOT_SENT"} else "failed"
    if row is not None:
        details = [f"{request.client_id}: {request.reason}" for request in sent]
        row.finished_at, row.outcome = now, outcome
        row.reasons = "\n".join([*reasons, *details])
        closing.append(rows.update(row, ("finished_at", "outcome", "reasons")))
    if closing:
        rows.run(*closing)
    return outcome


def note_outcome(bot_id: int, request: OrderRequest) -> None:
    """Show on the state what the last request came to; the next look shows what follows from it."""
    state = BotState.objects.get(bot_id=bot_id)
    changes: dict[str, str] = {}
    if state.hold:
        changes["status"] = held_status(state.hold)
    elif request.state == "REJECTED":
        is_closed = says_market_closed(request.market, request.code, request.reason)
        changes["status"] = "paused (symbol)" if is_closed else "error (order failed)"
    if request.state in ("REJECTED", "UNKNOWN"):
        changes["last_error_message"] = request.reason
    if changes:
        BotState.objects.filter(bot_id=bot_id, epoch=state.epoch).update(**changes)


def fail(
    config: BotConfig,
    trigger: str,
    key: str,
    slot: datetime,
    what: str,
    message: str,
    now: datetime,
    hold: str = "",
) -> RunResult:
    """Write a failed run: `error (what)` with its message on the state, a run row, answers in the inbox."""
    logger.warning("run of bot %s failed: %s: %s", config.pk, what, message)
    try:
        with transaction.atomic(durable=True):
            state = lock_state(config.pk)
            state.status = f"paused ({hold})" if hold else f"error ({what})"
            state.status_reason, state.last_error_message, state.last_run_at = message, message, now
            if hold:
                state.hold = hold
                outbox.held(config, hold, message, now)
            else:
                outbox.failed(config, what, message, now)
            state.save(update_fields=["status", "status_reason", "last_error_message", "last_run_at", "hold"])
            row = begin(config, trigger, key, slot, state.epoch, now)
            if row is not None:
                row.finished_at, row.outcome, row.reasons = now, "failed", f"{what}: {message}"
                row.save(update_fields=["finished_at", "outcome", "reasons"])
            waiting = BotInbox.objects.filter(bot=config, handled_at__isnull=True, kind=BotInbox.Kind.RUN)
            waiting = waiting.exclude(payload__has_key="kill_switch")  # that one is to be obeyed yet
            inbox.answer(list(waiting), [f"failed: {what}: {message}"], now)
    except BotBusy:
        return RunResult("busy")
    return RunResult("failed", (f"{what}: {message}",))
