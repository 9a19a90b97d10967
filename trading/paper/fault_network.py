"""Faults of the network and of what stands between: lost, late, cut, broken and foreign answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from trading.paper.errors import UNKNOWN_STATUS_TEXT
from trading.paper.fault_model import (
    AFTER,
    AGAIN,
    ALWAYS,
    BEFORE,
    ENDLESS,
    ENGINE,
    Answer,
    Dropped,
    Fault,
    Kind,
    Strike,
)

_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_PLACEHOLDER = b'{"symbol": "BTCUSDT", "orderId": 1'
UNEXPECTED_TEXT = "An unexpected response was received from the message bus. Execution status unknown."


def error_body(code: int, message: str) -> str:
    """The body of an error answer."""
    return json.dumps({"code": code, "msg": message}, separators=(",", ":"))


def fixed(status: int, body: str, headers: Mapping[str, str] | None = None) -> Strike:
    """An answer that is always the same; with `retry_after` that header."""

    async def strike(fault: Fault, request: web.Request, answer: Answer) -> Answer:
        sent = {"Content-Type": "application/json", **(headers or {})}
        retry_after = fault.options.get("retry_after")
        if retry_after is not None:
            sent["Retry-After"] = str(retry_after)
        return web.Response(status=status, body=body.encode(), headers=sent)

    return strike


def content_of(answer: Answer, instead: bytes) -> bytes:
    """The bytes of an answer that was made, or others."""
    body = answer.body if isinstance(answer, web.Response) else None
    return body if isinstance(body, bytes) else instead


async def _drop(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    if request.transport is not None:
        request.transport.abort()
    raise Dropped


async def _delay(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    jitter = float(fault.options.get("jitter", 0.0))
    await asyncio.sleep(float(fault.options["seconds"]) + random.random() * jitter)
    return answer


async def _answer(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    body = fault.options.get("body", "")
    return web.Response(
        status=int(fault.options.get("status", 200)),
        body=(body if isinstance(body, str) else json.dumps(body)).encode(),
        headers={"Content-Type": "application/json", **fault.options.get("headers", {})},
    )


async def _truncate(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    text = content_of(answer, _PLACEHOLDER)
    return web.Response(body=text[: max(1, len(text) // 2)], content_type="application/json")


async def _cut(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    """Headers that promise a whole answer, half of it, and the end of the connection."""
    content = content_of(answer, _PLACEHOLDER)
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    stream.content_length = len(content)
    await stream.prepare(request)
    await stream.write(content[: len(content) // 2])
    return await _drop(fault, request, answer)


async def _drip(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    """One byte, a wait, one byte: each gap is shorter than any read timeout, the whole is not."""
    content = content_of(answer, b"{}")
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


def _refuse(exchange: Any, fault: Fault) -> Callable[[], None]:
    """Close the door for `seconds`, shortly after whoever asked for it was answered."""
    exchange.listener.close_for(float(fault.options["seconds"]))
    return lambda: None


NETWORK: dict[str, Kind] = {
    "drop_request": Kind("the connection ends before anything was done", (BEFORE,), _drop),
    "drop_response": Kind("it is done, and the connection ends without an answer", (AFTER,), _drop),
    "refuse_connections": Kind(
        "nothing listens for `seconds`, open connections end",
        (ALWAYS,),
        needs=("seconds",),
        begin=_refuse,
        count=ENDLESS,
    ),
    "delay": Kind(
        "it waits `seconds`, and up to `jitter` more, `before`, between the checks and the `engine`, "
        "or `after`",
        (BEFORE, ENGINE, AFTER),
        _delay,
        needs=("seconds",),
        takes=("jitter",),
    ),
    "latency": Kind(
        "as `delay`, for every request", (BEFORE, AFTER), _delay, ("seconds",), ("jitter",), count=ENDLESS
    ),
    "answer": Kind(
        "an answer of yours: `status`, `body`, `headers`",
        (AFTER, BEFORE),
        _answer,
        needs=("status",),
        takes=("body", "headers"),
    ),
    "unavailable": Kind(
        "503 with -1000",
        (AFTER, BEFORE),
        fixed(503, error_body(-1000, "Service Unavailable.")),
        takes=("retry_after",),
    ),
    "timeout": Kind(
        "504 with -1007: execution status unknown",
        (AFTER, BEFORE),
        fixed(504, error_body(-1007, UNKNOWN_STATUS_TEXT)),
    ),
    "unexpected": Kind(
        "400 with -1006: execution status unknown",
        (AFTER, BEFORE),
        fixed(
            400,
            error_body(-1006, UNEXPECTED_TEXT),
        ),
    ),
    "overloaded": Kind(
        "503 with -1008",
        (AFTER, BEFORE),
        fixed(503, error_body(-1008, "Server is currently overloaded with other requests.")),
    ),
    "bad_gateway": Kind(
        "502 with a page of HTML", (AFTER, BEFORE), fixed(502, _HTML, {"Content-Type": "text/html"})
    ),
    "truncated": Kind("200 with half an answer", (AFTER, BEFORE), _truncate),
    "empty": Kind("200 with nothing in it", (AFTER, BEFORE), fixed(200, "")),
    "cut": Kind("half an answer, and the connection ends", (AFTER,), _cut),
    "drip": Kind("a byte every `interval` seconds (1)", (AFTER,), _drip, takes=("interval",)),
    "redirect": Kind("302 to another address", (BEFORE, AFTER), fixed(302, "", {"Location": "/elsewhere"})),
    "replay": Kind(
        "the request is carried out a second time, with the same bytes, at once or `seconds` later",
        (AGAIN,),
        takes=("seconds",),
    ),
}
