"""Faults that can be switched on: for what they select, something goes wrong on purpose.

A kind of fault is one entry in KINDS: when it strikes and what it does. A new one is a new entry in one of
the tables that KINDS is made of.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from trading.paper.fault_data import DATA, check_what
from trading.paper.fault_fills import FILLS, SHAPES, Takes
from trading.paper.fault_model import (
    AFTER,
    ALWAYS,
    BEFORE,
    CANCEL,
    ENGINE,
    FILL,
    SELECTORS,
    Answer,
    Dropped,
    Fault,
    FaultRefused,
    Kind,
    Target,
    checked,
)
from trading.paper.fault_network import NETWORK
from trading.paper.fault_refusals import REFUSALS, check_reason
from trading.paper.fault_state import STATE
from trading.paper.fault_stream import STREAM

__all__ = ["AFTER", "BEFORE", "ENGINE", "KINDS", "Dropped", "FaultRefused", "FaultSwitch"]

KINDS: dict[str, Kind] = {**NETWORK, **REFUSALS, **FILLS, **DATA, **STREAM, **STATE}
MARKETS = ("spot", "futures")
_FROM_QUERY = ("symbol", "side", "type")


class FaultSwitch:
    """The faults that are switched on."""

    def __init__(self, exchange: Any = None) -> None:
        """`exchange` is whose conditions change; it may be given later, before the first fault."""
        self.exchange = exchange
        self.active: list[Fault] = []
        self.held: dict[tuple[str, str, int], int] = {}  # orders that stay partly filled -> fault id
        self._ids = itertools.count(1)

    # -- switching

    def make(self, wanted: Mapping[str, Any]) -> Fault:
        """A fault from its description, not switched on. Raises FaultRefused with a sentence."""
        options = dict(wanted)
        name = str(options.pop("kind", None))
        kind = KINDS.get(name)
        if kind is None:
            raise FaultRefused(f"kind must be one of {', '.join(KINDS)}")
        when = options.pop("when", kind.moments[0])
        if when not in kind.moments:
            raise FaultRefused(f"when must be one of {', '.join(kind.moments)}")
        selects = _selects(options)
        try:
            count, skip = int(options.pop("count", kind.count)), int(options.pop("skip", 0))
            chance = float(options.pop("chance", 1.0))
            after, lasts = float(options.pop("after_seconds", 0)), options.pop("for_seconds", None)
            lasts = None if lasts is None else float(lasts)
        except (TypeError, ValueError) as error:
            raise FaultRefused(
                "count and skip are whole numbers; chance, after_seconds and for_seconds are numbers"
            ) from error
        if not 0 <= chance <= 1 or skip < 0 or after < 0 or (lasts is not None and lasts < 0):
            raise FaultRefused("chance is from 0 to 1; skip, after_seconds and for_seconds are not negative")
        begins = time.monotonic() + after
        ends = None if lasts is None else begins + lasts
        fault = Fault(0, name, when, count, skip, selects, checked(name, kind, options), chance, begins, ends)
        fault.suffix = kind.suffix
        if name == "reject":
            check_reason(fault)
        if "what" in fault.options:
            check_what(fault)
        return fault

    def add(self, wanted: Mapping[str, Any]) -> Fault:
        """Switch a fault on. Raises FaultRefused for an unknown kind, a wrong option or a wrong moment."""
        fault = self.make(wanted)
        fault.id = next(self._ids)
        fault.dice = random.Random(fault.id)
        if fault.when == ALWAYS and fault.begins <= time.monotonic():
            self._begin(fault)
        self.active.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """Switch off one fault, or all; how many that were."""
        gone = [one for one in self.active if fault_id is None or one.id == fault_id]
        for fault in reversed(gone):  # conditions of the same thing end in the opposite order
            self._end(fault)
            self.active.remove(fault)
        return len(gone)

    def _begin(self, fault: Fault) -> None:
        begin = KINDS[fault.kind].begin
        assert begin is not None  # ALWAYS kinds have one
        fault.undo = begin(self.exchange, fault)
        fault.is_on = True
        fault.struck += 1

    def _end(self, fault: Fault) -> None:
        undo, fault.undo = fault.undo, None
        if undo is not None:
            undo()
        self.held = {order: by for order, by in self.held.items() if by != fault.id}

    def tend(self) -> None:
        """Begin and end what has its time."""
        now = time.monotonic()
        for fault in list(self.active):
            if fault.ends is not None and now >= fault.ends:
                self._end(fault)
                self.active.remove(fault)
            elif fault.when == ALWAYS and not fault.is_on and now >= fault.begins:
                try:
                    self._begin(fault)
                except FaultRefused:  # what it names has gone meanwhile
                    self.active.remove(fault)

    # -- striking

    def take(self, target: Target, moment: str, kinds: tuple[str, ...] | None = None) -> Fault | None:
        """The first fault that strikes this at this moment; it is counted."""
        now = time.monotonic()
        for fault in self.active:
            if kinds is not None and fault.kind not in kinds:
                continue
            if fault.is_due(moment, now) and fault.matches(target) and fault.counts():
                return fault
        return None

    def has(self, moment: str) -> bool:
        """Whether any fault is waiting for such a moment."""
        return any(fault.when == moment for fault in self.active)

    async def strike(self, request: web.Request, path: str, moment: str, answer: Answer = None) -> Answer:
        """Let the fault that is due strike; the answer is its, or the one that was given."""
        self.tend()
        if not self.has(moment):
            return answer
        fault = self.take(await target_of(request, path), moment)
        strike = None if fault is None else KINDS[fault.kind].strike
        if fault is None or strike is None:
            return answer
        return await strike(fault, request, answer)

    def is_stale(self, target: Target, age_ms: int, *, in_lists: bool = False) -> bool:
        """Whether a query does not know an order of this age yet. `in_lists`: whether lists lack it."""
        now = time.monotonic()
        for fault in self.active:
            if fault.kind != "stale_order" or not fault.is_due(ENGINE, now):
                continue
            if in_lists and not fault.options.get("lists_too"):
                continue
            selected = {name: value for name, value in fault.selects.items() if name not in _OF_REQUESTS}
            is_young = age_ms < float(fault.options["seconds"]) * 1000
            if is_young and all(getattr(target, name) == value for name, value in selected.items()):
                return True
        return False

    # -- what the engines ask

    def shape(self, order: Any, target: Target, takes: Takes, lot: Decimal) -> Takes:
        """What an order gets instead of `takes`; an order cut short is held from then on."""
        if not takes or not self.has(FILL):
            return takes
        for name, act in SHAPES.items():
            fault = self.take(target, FILL, (name,))
            if fault is None:
                continue
            takes = act(fault, takes, lot)
            if name == "fill_partly":
                self.held[target.market or "", order.symbol, order.order_id] = fault.id
        return takes

    def is_held(self, market: str, symbol: str, order_id: int) -> bool:
        """Whether an order stays as it is because a fault cut it short."""
        return bool(self.held) and (market, symbol, order_id) in self.held

    def race(self, target: Target) -> Decimal:
        """The share of an order that is filled just before its cancel is handled."""
        if not self.has(CANCEL):
            return Decimal(0)
        fault = self.take(target, CANCEL)
        return Decimal(0) if fault is None else Decimal(str(fault.options["share"]))


_OF_REQUESTS = ("method", "path", "event")


def _selects(options: dict[str, Any]) -> dict[str, str]:
    """Take the selectors out of the options. Raises FaultRefused for one that is no text."""
    found: dict[str, str] = {}
    for name in SELECTORS:
        value = options.pop(name, None)
        if value is None:
            continue
        if not isinstance(value, str) or not value:
            raise FaultRefused(f"{name} must be text")
        found[name] = value
    if found.get("market") not in (None, *MARKETS):
        raise FaultRefused(f"market must be one of {', '.join(MARKETS)}")
    return found


async def target_of(request: web.Request, path: str) -> Target:
    """A request in the words that faults select by; parameters are those of query and body."""
    text = request.raw_path.partition("?")[2]
    if request.method != "GET" and request.body_exists:
        text += "&" + (await request.read()).decode("utf-8", errors="replace")
    values = parse_qs(text)
    sent = {name: values[name][0] for name in _FROM_QUERY if name in values}
    market = "futures" if path.startswith("/fapi/") else "spot"
    return Target(
        method=request.method,
        path=path,
        market=market,
        apiKey=request.headers.get("X-MBX-APIKEY"),
        **sent,
    )
