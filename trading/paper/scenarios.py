"""Named sets of faults for rehearsals, and reading others from a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trading.paper.fault_model import FaultRefused
from trading.paper.faults import KINDS, FaultSwitch

LARGEST_FILE = 1_000_000
_ORDERS = {"method": "POST", "path": "/api/v3/order*"}
_FUTURES_ORDERS = {"method": "POST", "path": "/fapi/v1/*"}
# name -> what it rehearses, and its faults
SCENARIOS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "outage": (
        "after half a minute nothing is answered for two minutes, then everything again",
        [{"kind": "unavailable", "when": "before", "count": -1, "after_seconds": 30, "for_seconds": 120}],
    ),
    "lost-answers": (
        "three in ten orders are placed without an answer",
        [
            {"kind": "drop_response", "chance": 0.3, "count": -1, **_ORDERS},
            {"kind": "drop_response", "chance": 0.3, "count": -1, **_FUTURES_ORDERS},
        ],
    ),
    "unknown-outcomes": (
        "one in five orders ends with 503 or 504, and queries lag half a minute behind",
        [
            {"kind": "unavailable", "chance": 0.1, "count": -1, "when": "after", **_ORDERS},
            {"kind": "timeout", "chance": 0.1, "count": -1, "when": "after", **_ORDERS},
            {"kind": "timeout", "chance": 0.2, "count": -1, "when": "after", **_FUTURES_ORDERS},
            {"kind": "stale_order", "seconds": 30},
        ],
    ),
    "rate-limit": (
        "one in twenty requests is 429, and a ban of a minute comes after two minutes",
        [
            {
                "kind": "banned",
                "retry_after": 60,
                "count": -1,
                "after_seconds": 120,
                "for_seconds": 60,
            },
            {"kind": "rate_limited", "chance": 0.05, "count": -1, "retry_after": 5},
        ],
    ),
    "slow": (
        "every request waits one to three seconds, one in fifty twenty",
        [
            {"kind": "delay", "seconds": 20, "chance": 0.02, "count": -1, "when": "after"},
            {"kind": "latency", "seconds": 1, "jitter": 2},
        ],
    ),
    "maintenance": (
        "after half a minute every symbol is BREAK for five minutes",
        [{"kind": "maintenance", "after_seconds": 30, "for_seconds": 300}],
    ),
    "partial-fills": (
        "every second order gets only half, the others ten trades",
        [
            {"kind": "fill_partly", "share": 0.5, "chance": 0.5, "count": -1},
            {"kind": "fill_in_parts", "parts": 10, "count": -1},
        ],
    ),
    "thin-book": (
        "ten USDT on the best level of every book",
        [{"kind": "thin_book", "quote": 10}],
    ),
    "bad-clock": (
        "the exchange is two seconds behind and drifts by 50 ms a minute",
        [{"kind": "clock", "offset_ms": -2000, "drift_ms_per_minute": 50}],
    ),
    "unsteady-streams": (
        "user data streams lose, repeat, delay and swap events, and break",
        [
            {"kind": "stream_drop", "chance": 0.05, "count": -1},
            {"kind": "stream_lose", "chance": 0.1, "count": -1},
            {"kind": "stream_duplicate", "chance": 0.2, "count": -1},
            {"kind": "stream_reorder", "chance": 0.2, "count": -1},
            {"kind": "stream_delay", "seconds": 3, "chance": 0.1, "count": -1},
        ],
    ),
}


def scenario_texts() -> dict[str, str]:
    """The named scenarios and what they rehearse."""
    return {name: text for name, (text, _) in SCENARIOS.items()}


def described() -> list[dict[str, Any]]:
    """Every kind of fault, for `--list-faults` and the control endpoint."""
    return [
        {
            "kind": name,
            "does": kind.text,
            "when": list(kind.moments),
            "needs": list(kind.needs),
            "takes": list(kind.takes),
        }
        for name, kind in KINDS.items()
    ]


def read_faults(wanted: str) -> list[dict[str, Any]]:
    """The faults of a named scenario, or of a JSON file. Raises FaultRefused with a sentence for people."""
    if wanted in SCENARIOS:
        return [dict(one) for one in SCENARIOS[wanted][1]]
    path = Path(wanted)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise FaultRefused(f"{wanted} is larger than {LARGEST_FILE} bytes")
        content = json.loads(path.read_text())
    except OSError as error:
        names = ", ".join(SCENARIOS)
        raise FaultRefused(
            f"{wanted} is neither a readable file nor one of {names} ({error.strerror})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise FaultRefused(f"{wanted} is not JSON: {error}") from error
    rows = content.get("faults") if isinstance(content, Mapping) else content
    if not isinstance(rows, list) or not all(isinstance(one, Mapping) for one in rows) or not rows:
        raise FaultRefused(f'{wanted} must be a list of faults, like [{{"kind": "latency", "seconds": 1}}]')
    checking = FaultSwitch()
    for place, one in enumerate(rows, 1):
        try:
            checking.make(one)
        except FaultRefused as error:
            raise FaultRefused(f"{wanted}, fault {place}: {error}") from error
    return [dict(one) for one in rows]
