"""What a strategy is, and what strategies share. Pure: no Django, no Redis, no network, no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketdata.intervals import DAY_MS
from marketdata.types import Candles, FloatArray, IntArray
from tradebot.errors import InvalidInput, StaleData
from trading.types import Signal

Params = Mapping[str, Any]

SHORTEST_MONTH_MS, LONGEST_MONTH_MS = 28 * DAY_MS, 31 * DAY_MS


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy as the rest of the project sees it: a name, a version and pure functions.

    `version` changes whenever the same candles could give another signal. `validate` fills in the
    defaults and raises InvalidInput that names each field at fault. `intervals` are the candle
    series that `signals` reads, the bot's own first. `warm_up` is the number of candles without a
    hole that a ready signal needs. `signals` raises StaleData where the candles can't be used at
    all.
    """

    name: str
    version: int
    defaults: Mapping[str, Any]
    validate: Callable[[object], dict[str, Any]]
    intervals: Callable[[str, Params], tuple[str, ...]]
    warm_up: Callable[[Params], int]
    signals: Callable[[Mapping[str, Candles], Params], Signal]


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A parameter that is a whole number from `lowest` to `highest`, or off (None) where it is optional."""

    default: int
    lowest: int
    highest: int
    is_optional: bool = False

    def sentence(self, name: str) -> str:
        """What the parameter must be, for whoever got it wrong."""
        off = ", or null for off" if self.is_optional else ""
        return f"{name} must be a whole number from {self.lowest} to {self.highest}{off}."


def clean_tail(candles: Candles, count: int) -> FloatArray:
    """The closes of the last `count` candles behind the last hole, fewer where there are fewer.

    Raises StaleData for no candles, for closes that are not positive numbers, and for times that do
    not follow each other: nothing is decided on such data.
    """
    start = max(candles.clean_since, len(candles) - count, 0)
    close = candles.close[start:]
    if not len(close):
        raise StaleData("there are no closed candles behind the last hole yet")
    if not (np.isfinite(close) & (close > 0)).all():
        raise StaleData("a candle has a close that is not a positive number")
    steps = np.diff(candles.open_time_ms[start:])
    if not _are_regular(steps, candles.interval_ms):
        raise StaleData("the candles have a gap, a duplicate or are out of order")
    return close


def whole_numbers(params: object, fields: Mapping[str, WholeNumber]) -> dict[str, Any]:
    """The parameters with defaults filled in, each a whole number within its bounds, or None where optional.

    Takes 70 and 70.0, no text, no true or false, no fraction. Raises InvalidInput with all fields
    at fault ("strategy_params.<name>"), unknown names among them.
    """
    if not isinstance(params, Mapping):
        raise InvalidInput("Strategy parameters must be an object of names and numbers.", "strategy_params")
    faults = {
        f"strategy_params.{name}": f"There is no parameter {str(name)[:40]!r}; use {', '.join(fields)}."
        for name in params
        if name not in fields
    }
    cleaned: dict[str, Any] = {}
    for name, field in fields.items():
        value = params.get(name, field.default)
        cleaned[name] = None
        if value is None and field.is_optional:
            continue
        number = _whole(value)
        if number is None or not field.lowest <= number <= field.highest:
            faults[f"strategy_params.{name}"] = field.sentence(name)
        cleaned[name] = number
    refuse(faults)
    return cleaned


def refuse(faults: Mapping[str, str]) -> None:
    """Raise InvalidInput for the fields at fault, if there are any."""
    if faults:
        raise InvalidInput(" ".join(faults.values()), next(iter(faults)), dict(faults))


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _are_regular(steps_ms: IntArray, interval_ms: int) -> bool:
    if interval_ms >= SHORTEST_MONTH_MS:
        return bool(((steps_ms >= SHORTEST_MONTH_MS) & (steps_ms <= LONGEST_MONTH_MS)).all())
    return bool((steps_ms == interval_ms).all())
