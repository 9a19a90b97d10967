"""How numbers and times read in the sentences shown to owners. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal


def number(value: float) -> str:
    """A float with at most 8 significant digits and without an exponent: 67123.45, 0.00001234."""
    text = f"{value:.8g}"
    return text if "e" not in text else format(Decimal(text), "f")


def percent(value: float) -> str:
    """A signed percentage with one decimal: "-3.2 %"."""
    return f"{value:+.1f} %"


def clock_time(moment: datetime) -> str:
    """Date and minute of an aware time in UTC: "2026-04-01 12:01 UTC"."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def held_status(hold: str) -> str:
    """The status of a bot that is held: `paused (drift)`, or `error (run crashed)` for a hold "crash"."""
    return "error (run crashed)" if hold == "crash" else f"paused ({hold})"
