"""When the symbol caches are refreshed: a cron line for any number of minutes. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

HOUR_MINUTES = 60
DAY_MINUTES = 1440
_SLACK = timedelta(seconds=30)  # a tick comes a little late or early; that must not skip a whole turn


def refresh_cron(minutes: int) -> str:
    """The cron line that fires every `minutes`, or each minute where cron can't say it.

    Cron restarts its count at each hour and day: 45 or 90 minutes have no line of their own. For those the
    actor is asked each minute, and is_refresh_due() lets it work when the time has come.
    """
    hours = minutes // HOUR_MINUTES
    if minutes < HOUR_MINUTES and HOUR_MINUTES % minutes == 0:
        return "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"
    if minutes == DAY_MINUTES:
        return "0 0 * * *"
    if minutes % HOUR_MINUTES == 0 and 24 % hours == 0:
        return "0 * * * *" if hours == 1 else f"0 */{hours} * * *"
    return "* * * * *"


def is_refresh_due(now: datetime, refreshed_at: datetime | None, minutes: int) -> bool:
    """Whether a tick at `now` should refresh: always on a cron line of its own, else after `minutes`."""
    if refreshed_at is None or minutes == 1 or refresh_cron(minutes) != "* * * * *":
        return True
    return now - refreshed_at >= timedelta(minutes=minutes) - _SLACK
