"""Signals as JSON-able dicts, for the cache that bots share; what is read back is checked. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from trading.types import Signal

SCHEMA = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FLAGS = ("ready", "enter_long", "exit_long", "enter_short", "exit_short")
FIELDS = {"schema", "as_of_ms", "close", "values", "texts", *FLAGS}


def signal_to_json(signal: Signal) -> dict[str, Any]:
    """The signal as a dict of JSON types; json's floats come back to the bit.

    Raises ValueError for a number that JSON has not (NaN, infinity), and for an as_of that is not a
    whole ms.
    """
    milliseconds, rest = divmod(signal.as_of - EPOCH, timedelta(milliseconds=1))
    if rest:
        raise ValueError("a signal's as_of must be a whole millisecond")
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "as_of_ms": milliseconds,
        "close": _number(signal.close),
        "values": {name: _number(value) for name, value in signal.values.items()},
        "texts": list(signal.texts),
    }
    return data | {flag: getattr(signal, flag) for flag in FLAGS}


def signal_from_json(data: object) -> Signal:
    """The signal in a dict that signal_to_json() made. Raises ValueError for anything else."""
    if not isinstance(data, Mapping) or set(data) != FIELDS or data["schema"] != SCHEMA:
        raise ValueError("not a signal of this schema")
    texts, values, as_of_ms = data["texts"], data["values"], data["as_of_ms"]
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError("a signal's texts must be a list of strings")
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise ValueError("a signal's values must be an object of numbers")
    if not isinstance(as_of_ms, int) or isinstance(as_of_ms, bool) or abs(as_of_ms) > 10**14:
        raise ValueError("a signal's as_of_ms must be milliseconds since the epoch")
    flags = {flag: data[flag] for flag in FLAGS}
    if not all(isinstance(value, bool) for value in flags.values()):
        raise ValueError("a signal's flags must be true or false")
    return Signal(
        as_of=EPOCH + timedelta(milliseconds=as_of_ms),
        close=_number(data["close"]),
        values={name: _number(value) for name, value in values.items()},
        texts=tuple(texts),
        **flags,
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a signal's numbers must be numbers")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("a signal's numbers must be finite") from None
    if not math.isfinite(number):
        raise ValueError("a signal's numbers must be finite")
    return number
