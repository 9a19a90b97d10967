"""Messages as people read them in an e-mail. Pure."""

from __future__ import annotations

from typing import Any

from trading.models import OutboxMessage

SIGNATURE = (
    "\n-- \nTradeBot. You set this up under Notification channels; change or delete the channel there.\n"
)


def subject(message: OutboxMessage) -> str:
    """One line; no line break can get into it."""
    data = message.payload
    about = {
        "trade": "{side} {quantity} {symbol} at {price}",
        "error": "{bot}: {reason}",
        "paused": "{bot} {status}",
        "limit": "limit reached: {limit}",
        "daily_summary": "summary of {day}: {realized_pnl} USDT",
        "test": "test of {channel}",
    }[message.event]
    environment = str(data.get("environment", ""))
    where = f" {environment.upper()}" if environment else ""
    line = f"[TradeBot{where}] " + about.format_map(_Known(data))
    return " ".join(line.split())[:200]


def body(message: OutboxMessage) -> str:
    """All that is known, one line each."""
    lines = []
    for name, value in message.payload.items():
        if isinstance(value, list):
            lines.append(f"{name.replace('_', ' ')}:")
            lines += [f"  {_row(row)}" for row in value] or ["  none"]
        elif value not in (None, ""):
            lines.append(f"{name.replace('_', ' ')}: {value}")
    return "\n".join(lines) + "\n" + SIGNATURE


def _row(row: Any) -> str:
    if isinstance(row, dict):
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items())
    return str(row)


class _Known(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"
