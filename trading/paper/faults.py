"""Faults that can be switched on: for the next N requests that match, something goes wrong on purpose.

A kind of fault is one entry in KINDS: when it strikes and what it does. A new one is a new entry.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from trading.paper.errors import UNKNOWN_STATUS_TEXT

# when a fault strikes: before anything was read; between checks and engine; after the answer is made
BEFORE, ENGINE, AFTER = "before", "engine", "after"
ENDLESS = -1


class FaultRefused(ValueError):
    """Raised for a fault that does not exist or lacks something; the text says what."""


@dataclass(slots=True)
class Fault:
    """One switched-on fault. It strikes matching requests, after `skip` of them, `count` times (-1: all)."""

    id: int
    kind: str
    method: str | None
    path: str | None
    count: int
    skip: int
    options: dict[str, Any] = field(default_factory=dict)
    struck: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Whether the request is one of this fault's; None matches every method or path."""
        return self.method in (None, method) and self.path in (None, path)

    def as_json(self) -> dict[str, Any]:
        """What the control endpoint shows."""
        return {
            "id": self.id,
            "kind": self.kind,
            "method": self.method,
            "path": self.path,
            "count": self.count,
            "skip": self.skip,
            "struck": self.struck,
            **self.options,
        }


Answer = web.StreamResponse | None
Strike = Callable[[Fault, web.Request, Answer], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: its moments (the first is the default, `when` chooses) and what it does."""

    moments: tuple[str, ...]
    strike: Strike
    needs: tuple[str, ...] = ()


class Dropped(Exception):
    """Raised to end a request without any answer."""


async def _drop(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    if request.transport is not None:
        request.transport.abort()
    raise Dropped


async def _delay(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    await asyncio.sleep(float(fault.options["seconds"]))
    return answer


async def _answer(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    return web.Response(
        status=int(fault.options.get("status", 200)),
        body=str(fault.options.get("body", "")).encode(),
        headers={"Content-Type": "application/json", **fault.options.get("headers", {})},
    )


async def _truncate(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    body = answer.body if isinstance(answer, web.Response) else None
    text = body if isinstance(body, bytes) else b'{"symbol": "BTCUSDT", "orderId": 1'
    return web.Response(body=text[: max(1, len(text) // 2)], content_type="application/json")


async def _drip(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    """One byte, a wait, one byte: each gap is shorter than any read timeout, the whole is not."""
    body = answer.body if isinstance(answer, web.Response) else b""
    content = body if isinstance(body, bytes) else b"{}"
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    stream.content_length = len(content)
    try:
        await stream.prepare(request)
        for place in range(len(content)):
            await stream.write(content[place : place + 1])
            await asyncio.sleep(float(fault.options.get("interval", 1.0)))
    except ConnectionResetError:  # the client has given up, as it should
        raise Dropped from None
    return stream


def _fixed(status: int, body: str, headers: Mapping[str, str] | None = None) -> Strike:
    async def strike(fault: Fault, request: web.Request, answer: Answer) -> Answer:
        sent = {"Content-Type": "application/json", **(headers or {})}
        retry_after = fault.options.get("retry_after")
        if retry_after is not None:
            sent["Retry-After"] = str(retry_after)
        return web.Response(status=status, body=body.encode(), headers=sent)

    return strike


def _error(code: int, message: str) -> str:
    return f'{{"code":{code},"msg":"{message}"}}'


async def _never(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    """The stale view of orders is asked for by the query itself (`FaultSwitch.stale_seconds`)."""
    return answer


_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_TOO_MUCH = _error(-1003, "Too many requests queued.")
KINDS: dict[str, Kind] = {
    "drop_request": Kind((BEFORE,), _drop),  # before acceptance: nothing has happened
    "drop_response": Kind((AFTER,), _drop),  # after acceptance: the order is there
    "delay": Kind((BEFORE, ENGINE, AFTER), _delay, ("seconds",)),
    "answer": Kind((AFTER, BEFORE), _answer, ("status",)),
    "unavailable": Kind((AFTER, BEFORE), _fixed(503, _error(-1000, "Service Unavailable."))),
    "timeout": Kind((AFTER, BEFORE), _fixed(504, _error(-1007, UNKNOWN_STATUS_TEXT))),
    "bad_gateway": Kind((AFTER, BEFORE), _fixed(502, _HTML, {"Content-Type": "text/html"})),
    "truncated": Kind((AFTER, BEFORE), _truncate),
    "empty": Kind((AFTER, BEFORE), _fixed(200, "")),
    "drip": Kind((AFTER,), _drip),
    "redirect": Kind((BEFORE, AFTER), _fixed(302, "", {"Location": "/elsewhere"})),
    "rate_limited": Kind((BEFORE,), _fixed(429, _TOO_MUCH)),  # option retry_after, else no header
    "banned": Kind((BEFORE,), _fixed(418, _error(-1003, "Way too much request weight used."))),
    "key_refused": Kind(
        (BEFORE,), _fixed(401, _error(-2015, "Invalid API-key, IP, or permissions for action."))
    ),
    "stale_order": Kind((ENGINE,), _never, ("seconds",)),  # GET order says -2013 for younger orders
}


class FaultSwitch:
    """The faults that are switched on."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, wanted: Mapping[str, Any]) -> Fault:
        """Switch a fault on. Raises FaultRefused for an unknown kind, a missing option or a wrong moment."""
        options = dict(wanted)
        kind = KINDS.get(str(options.get("kind")))
        if kind is None:
            raise FaultRefused(f"kind must be one of {', '.join(KINDS)}")
        absent = [name for name in kind.needs if name not in options]
        if absent:
            raise FaultRefused(f"{options['kind']} needs {', '.join(absent)}")
        options.setdefault("when", kind.moments[0])
        if options["when"] not in kind.moments:
            raise FaultRefused(f"when must be one of {', '.join(kind.moments)}")
        name = str(options.pop("kind"))
        try:
            fault = Fault(
                id=next(self._ids),
                kind=name,
                method=options.pop("method", None),
                path=options.pop("path", None),
                count=int(options.pop("count", ENDLESS if name == "stale_order" else 1)),
                skip=int(options.pop("skip", 0)),
                options=options,
            )
        except (TypeError, ValueError) as error:
            raise FaultRefused("count and skip are whole numbers") from error
        self.active.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """Switch off one fault, or all; how many that were."""
        before = len(self.active)
        self.active = [one for one in self.active if fault_id is not None and one.id != fault_id]
        return before - len(self.active)

    def take(self, method: str, path: str, moment: str) -> Fault | None:
        """The first fault that strikes this request at this moment; it is counted."""
        for fault in self.active:
            if fault.options["when"] != moment or not fault.matches(method, path):
                continue
            if fault.count == 0:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.count -= 1 if fault.count > 0 else 0
            fault.struck += 1
            return fault
        return None

    def stale_seconds(self) -> float:
        """How old an order must be before GET order knows it."""
        ages = [
            float(one.options["seconds"]) for one in self.active if one.kind == "stale_order" and one.count
        ]
        return max(ages, default=0.0)

    async def strike(self, request: web.Request, path: str, moment: str, answer: Answer = None) -> Answer:
        """Let the fault that is due strike; the answer is its, or the one that was given."""
        fault = self.take(request.method, path, moment)
        if fault is None:
            return answer
        return await KINDS[fault.kind].strike(fault, request, answer)
