"""Midnight UTC: bots that a daily limit had paused wait for signals again."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection

# Counters of another day read as zero anyway; this only wakes and tidies. Rows that a run holds are passed
# over: that run, or the next screen, shows the new day. Twice, or late, changes nothing more.
REACTIVATE = """
UPDATE trading_botstate AS state
SET status = CASE WHEN state.in_position THEN 'in position' ELSE 'waiting' END,
    status_reason = '', daily_pnl = 0, daily_trades_count = 0, daily_limit = '',
    trading_day = %(day)s
FROM (
    SELECT id FROM trading_botstate
    WHERE status IN ('paused (daily trades)', 'paused (daily loss)', 'paused (daily target)')
      AND (trading_day IS NULL OR trading_day < %(day)s)
    FOR NO KEY UPDATE SKIP LOCKED
) AS woken
WHERE state.id = woken.id
"""


def reactivate(now: datetime) -> int:
    """Wake the bots paused by a daily limit of an earlier UTC day; gives how many."""
    with connection.cursor() as cursor:
        cursor.execute(REACTIVATE, {"day": now.astimezone(UTC).date()})
        return int(cursor.rowcount)
