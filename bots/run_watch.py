"""Counts the runs of a bot that never come to an end because their worker dies, and stops its entries.

A run is noted before it does anything, and its note removed when it ends, however it ends. A worker that is
killed, by the system for its memory for example, leaves the note. What a killed worker leaves on the
exchange is not this module's: recovery finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import Error as DatabaseFailure
from django.db import connection, transaction

from bots.models import BotConfig
from tradebot.errors import BotBusy
from trading import outbox
from trading.locks import lock_state

MOST_CRASHES = 3
HOLD = "crash"
# A younger note is of the same message, delivered twice; a run that goes on for longer ends, and forgets all.
VANISHED_SECONDS = 30

logger = logging.getLogger(__name__)

BEGIN = """
INSERT INTO bots_runwatch AS seen (bot_id, begun_at, crashes) VALUES (%(bot)s, %(now)s, 0)
ON CONFLICT (bot_id) DO UPDATE SET
    crashes = seen.crashes + (seen.begun_at < %(now)s - make_interval(secs => %(vanished)s))::int,
    begun_at = CASE WHEN seen.begun_at >= %(now)s - make_interval(secs => %(vanished)s)
        THEN seen.begun_at ELSE %(now)s END
RETURNING crashes
"""
# A note that a crash of the database forgets is no loss, so nobody waits for the disk.
BEGIN_AFTER_END = """
SET LOCAL synchronous_commit TO off;
UPDATE bots_runwatch SET begun_at = %(now)s WHERE bot_id = %(bot)s AND begun_at IS NULL RETURNING crashes
"""
END = """
SET LOCAL synchronous_commit TO off;
UPDATE bots_runwatch SET begun_at = NULL, crashes = 0 WHERE bot_id = %s
"""


@contextmanager
def watched(config: BotConfig, now: datetime) -> Iterator[None]:
    """Note the run while it goes on; the third in a row after runs that vanished holds the bot first.

    Exits go on in a held bot. Raises django.db.Error when the run can't be noted: then nothing can be done.
    """
    crashes = _begin(config.pk, now)
    if crashes >= MOST_CRASHES:
        _hold(config, crashes, now)
    try:
        yield
    finally:
        try:
            with connection.cursor() as cursor:
                cursor.execute(END, [config.pk])
        except DatabaseFailure as error:
            logger.warning("the end of a run of bot %s can't be noted: %s", config.pk, type(error).__name__)


def _begin(bot_id: int, now: datetime) -> int:
    values: dict[str, int | datetime] = {"bot": bot_id, "now": now, "vanished": VANISHED_SECONDS}
    with connection.cursor() as cursor:
        cursor.execute(BEGIN_AFTER_END, values)
        row = cursor.fetchone()
        if row is None:
            cursor.execute(BEGIN, values)
            row = cursor.fetchone()
    return int(row[0])


def _hold(config: BotConfig, crashes: int, now: datetime) -> None:
    reason = (
        f"{crashes} runs of bot {config.name} in a row ended with the death of their worker process; entries "
        "are stopped. Look for kills (memory) and crashes in the workers' logs, then clear the hold"
    )
    try:
        with transaction.atomic(durable=True):
            state = lock_state(config.pk)
            if state.hold:
                return
            state.hold, state.status = HOLD, "error (run crashed)"
            state.status_reason = state.last_error_message = reason
            state.save(update_fields=["hold", "status", "status_reason", "last_error_message"])
            outbox.failed(config, "run crashed", reason, now)
            outbox.tell_superusers(
                "run crashed",
                reason,
                once=f"crash:{config.pk}:{now:%Y-%m-%dT%H}",
                now=now,
                bot_id=config.pk,
                bot=config.name,
            )
    except BotBusy:
        return  # the next run does it
    logger.error("%s", reason)
