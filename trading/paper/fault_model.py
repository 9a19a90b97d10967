"""What a fault is: which requests, orders or events it strikes, when and how often; the kinds' shape."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import web

# when a fault strikes a request: before anything was read; between checks and engine; after the answer is
# made; AGAIN carries the request out a second time
BEFORE, ENGINE, AFTER, AGAIN = "before", "engine", "after", "again"
# or what else it strikes: what an order gets filled, an order that is about to be cancelled, an event of a
# user data stream, a new stream connection; ALWAYS is a condition that holds as long as it is switched on
FILL, CANCEL, EVENT, CONNECT, ALWAYS = "fill", "cancel", "event", "connect", "always"
ENDLESS = -1
SELECTORS = ("method", "path", "market", "symbol", "side", "type", "apiKey", "event")


class FaultRefused(ValueError):
    """Raised for a fault that does not exist or lacks something; the text says what."""


class Target(NamedTuple):
    """What is about to happen, in the words that faults select by; None where a word does not apply."""

    method: str | None = None
    path: str | None = None
    market: str | None = None
    symbol: str | None = None
    side: str | None = None
    type: str | None = None
    apiKey: str | None = None
    event: str | None = None


@dataclass(slots=True)
class Fault:
    """One switched-on fault. It strikes what it selects, after `skip` of it, `count` times (-1: all).

    `begins` and `ends` are seconds on the machine's monotonic clock; `chance` is the share that is struck;
    `suffix` is how the path of its requests ends, whatever is selected.
    """

    id: int
    kind: str
    when: str
    count: int
    skip: int
    selects: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    chance: float = 1.0
    begins: float = 0.0
    ends: float | None = None
    struck: int = 0
    is_on: bool = False  # of a condition: it has begun
    undo: Callable[[], None] | None = None
    dice: random.Random = field(default_factory=random.Random)
    suffix: str = ""

    def matches(self, target: Target) -> bool:
        """Whether this is one of the fault's."""
        if self.suffix and not (target.path or "").endswith(self.suffix):
            return False
        for name, wanted in self.selects.items():
            found = getattr(target, name)
            if self.suffix and name == "symbol" and found is None:
                continue  # a question about all symbols is about this one too
            if name == "path" and wanted.endswith("*"):
                if not (found or "").startswith(wanted[:-1]):
                    return False
            elif found != wanted:
                return False
        return True

    def is_due(self, moment: str, monotonic: float) -> bool:
        """Whether it strikes at this moment, as far as time and count go."""
        if self.when != moment or self.count == 0 or monotonic < self.begins:
            return False
        return self.ends is None or monotonic < self.ends

    def counts(self) -> bool:
        """Count one that it selects; whether that one is struck."""
        if self.chance < 1 and self.dice.random() >= self.chance:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.count -= 1 if self.count > 0 else 0
        self.struck += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """What the control endpoint shows."""
        return {
            "id": self.id,
            "kind": self.kind,
            "when": self.when,
            "method": self.selects.get("method"),
            "path": self.selects.get("path"),
            "count": self.count,
            "skip": self.skip,
            "struck": self.struck,
            **{name: value for name, value in self.selects.items() if name not in ("method", "path")},
            **({"chance": self.chance} if self.chance < 1 else {}),
            **self.options,
        }


Answer = web.StreamResponse | None
Strike = Callable[[Fault, web.Request, Answer], Awaitable[Answer]]
Begin = Callable[[Any, Fault], Callable[[], None]]  # (exchange, fault) -> what undoes it


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: its moments (the first is the default, `when` chooses) and what it does.

    `needs` are options that must be given, `takes` may be. `text` is its line in `--list-faults` and docs.
    A condition has `begin`, a fault of a request `strike`; the others are asked for by whom they concern.
    """

    text: str
    moments: tuple[str, ...]
    strike: Strike | None = None
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    begin: Begin | None = None
    count: int = 1  # how often, unless it is said
    defaults: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ""


class Dropped(Exception):
    """Raised to end a request without any answer."""


def _number(low: float, high: float) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            return f"must be a number from {low:g} to {high:g}"
        return None

    return check


def _whole(low: int, high: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return f"must be a whole number from {low} to {high}"
        return None

    return check


def _a(kind: type, words: str) -> Callable[[Any], str | None]:
    return lambda value: None if isinstance(value, kind) else f"must be {words}"


def _retry_after(value: Any) -> str | None:
    plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    return None if plain else "must be a number or text"


CHECKS: dict[str, Callable[[Any], str | None]] = {
    "seconds": _number(0, 10**6),
    "jitter": _number(0, 10**6),
    "interval": _number(0, 10**6),
    "status": lambda value: None if isinstance(value, int | str) else "must be a number or a name",
    "body": lambda value: None,
    "headers": _a(dict, "an object"),
    "retry_after": _retry_after,
    "reason": _a(str, "text"),
    "what": _a(str, "text"),
    "share": _number(0, 1),
    "parts": _whole(1, 100_000),
    "offset_ms": _whole(-(10**12), 10**12),
    "drift_ms_per_minute": _number(-60_000, 60_000),
    "filters": _a(dict, "an object of filters"),
    "lists_too": _a(bool, "true or false"),
    "quote": _number(0, 10**12),
    "delay_ms": _whole(0, 10**9),
}


def checked(name: str, kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a kind. Raises FaultRefused for a missing, unknown or wrong one."""
    absent = [one for one in kind.needs if one not in options]
    if absent:
        raise FaultRefused(f"{name} needs {', '.join(absent)}")
    known = (*kind.needs, *kind.takes)
    unknown = [one for one in options if one not in known]
    if unknown:
        common = "count, skip, chance, when, after_seconds, for_seconds"
        raise FaultRefused(
            f"{name} does not take {', '.join(unknown)}; it takes {', '.join(known) or 'no options'}, "
            f"beside {', '.join(SELECTORS)}, {common}"
        )
    for one, value in options.items():
        complaint = CHECKS[one](value)
        if complaint is not None:
            raise FaultRefused(f"{name}: {one} {complaint}")
    return {**kind.defaults, **options}
