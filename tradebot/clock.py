"""The one clock: wall time in UTC, or the stepped clock of a replay that all processes read from Redis."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings

from tradebot import failpoints

STEPPED_KEY = "clock:stepped"


def now() -> datetime:
    """The current time, aware, in UTC. In a replay (CLOCK=stepped) the time that the replay has set."""
    if settings.CLOCK == "stepped":
        from tradebot.redis import redis_client

        value = redis_client().get(STEPPED_KEY)
        if value is not None:
            return from_ms(int(value)) + failpoints.CLOCK_SHIFT
    return datetime.now(UTC) + failpoints.CLOCK_SHIFT


def step_to(moment: datetime) -> None:
    """Set the stepped clock of a replay. Has no effect on processes that run on wall time."""
    from tradebot.redis import redis_client

    redis_client().set(STEPPED_KEY, to_ms(moment))


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware time."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC time of milliseconds since the epoch."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def slot_of(moment: datetime) -> datetime:
    """The UTC minute in which a run at `moment` falls due."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
