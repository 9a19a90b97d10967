"""What the exchange's answers mean: one table from status and code to consequence."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tradebot.binance.transport import Failure, Reply
from tradebot.errors import (
    ExchangeError,
    KeyRefused,
    NotSent,
    OrderNotFound,
    RateLimited,
    Rejected,
    Transient,
)
from tradebot.logs import mask

AnswerKind = Literal["ACCEPTED", "REJECTED", "NOT_SENT", "UNKNOWN"]

RETRY_AFTER_DEFAULT_SECONDS = 60.0
RETRY_AFTER_CAP_SECONDS = 3 * 86_400  # the longest ban that Binance documents
ORDER_COUNT_WAIT_SECONDS = 10.0  # the shortest ORDERS interval

# Codes by binance-spot-api-docs errors.md and the USDS-M futures error list. Numbers have other meanings in
# the other market (-2021, -2022, -2026), so what differs is listed by market.
CLOCK_CODES = frozenset({-1021, -5028})
KEY_CODES = frozenset({-1002, -1022, -2014, -2015, -2017})
NOT_FOUND_CODES = frozenset({-2011, -2013})
TROUBLE_CODES = frozenset({-1000, -1001, -1006, -1007, -1008, -1016})  # execution status unknown
TOO_MANY_REQUESTS, TOO_MANY_ORDERS = -1003, -1015
NEW_ORDER_REJECTED, DUPLICATE_ID = -2010, -4116
DUPLICATE_TEXT = "Duplicate order sent."
_REFUSES_ORDER = (
    frozenset({-1013, TOO_MANY_ORDERS, -1021, NEW_ORDER_REJECTED, -2018, -2019, -2027, -2028, -5021, -5022})
    | KEY_CODES
    | frozenset(range(-1199, -1099))  # -11xx: malformed
    | frozenset(range(-4999, -3999)) - {DUPLICATE_ID}  # -4xxx: filters and futures' rules
)
REFUSES_ORDER: Mapping[str, frozenset[int]] = {
    "spot": _REFUSES_ORDER,
    # would trigger at once, reduce-only, too many open orders; on spot -2021 and -2022 are cancelReplace's
    "futures": _REFUSES_ORDER | {-2021, -2022, -2025},
}
# Refusals that say that the symbol is other than our copy of exchangeInfo says: filters, precision, status.
SYMBOL_CHANGED: Mapping[str, frozenset[int]] = {
    "spot": frozenset({-1013, -1111, -1121}),
    "futures": frozenset({-1111, -1121, *range(-4007, -4000), *range(-4016, -4011), -4023, -4024})
    | {-4131, -4164},
}
# The symbol takes no orders now. On spot -2010, by its text alone.
MARKET_CLOSED: Mapping[str, frozenset[int]] = {
    "spot": frozenset(),
    "futures": frozenset({-4108, -4140, -4141}),
}
MARKET_CLOSED_TEXT = "Market is closed."
REFUSING_STATUSES = frozenset({403, 418, 429})  # firewall, ban, limit: whatever the body says
BANNED_STATUS = 418
LIMIT_STATUSES = frozenset({BANNED_STATUS, 429})
_ID_FIELDS = {"order": "orderId", "orderList": "orderListId", "algoOrder": "algoId"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one order POST came to. Only ACCEPTED and REJECTED are known to the exchange's word.

    `hold_long` asks for the long hold: the exchange was in trouble or its answer can't be read.
    `is_duplicate` says that the exchange knows our id: the order exists and can be asked for.
    """

    kind: AnswerKind
    body: dict[str, Any] = field(default_factory=dict)
    code: int | None = None
    http_status: int | None = None
    message: str = ""
    retry_after_seconds: float | None = None
    key_refused: bool = False
    is_duplicate: bool = False
    hold_long: bool = False


def order_answer(market: str, path: str, outcome: Reply | Failure) -> Answer:
    """The meaning of an order POST's outcome (docs/orders.md, "Reading the answer").

    What the table does not name is UNKNOWN.
    """
    if isinstance(outcome, Failure):
        return Answer("UNKNOWN" if outcome.sent else "NOT_SENT", message=mask(outcome.reason))
    parsed = parse(outcome)
    body = parsed if isinstance(parsed, dict) else {}
    code, message = code_of(body), message_of(outcome, body)
    if outcome.status == 200 and code is None and _has_id(path, body):
        return Answer("ACCEPTED", body=body, http_status=200)
    kind: AnswerKind = "REJECTED" if _is_refusal(market, outcome.status, code, message) else "UNKNOWN"
    duplicate = code == DUPLICATE_ID or (code == NEW_ORDER_REJECTED and message == DUPLICATE_TEXT)
    return Answer(
        kind,
        body={} if code is None else {"code": code, "msg": message},  # never an echo of our request
        code=code,
        http_status=outcome.status,
        message=message,
        retry_after_seconds=wait_seconds(outcome, code, message),
        key_refused=kind == "REJECTED" and code in KEY_CODES,
        is_duplicate=duplicate and kind == "UNKNOWN",
        hold_long=kind == "UNKNOWN" and not duplicate,
    )


def _is_refusal(market: str, status: int, code: int | None, message: str) -> bool:
    if not 400 <= status < 500 or status == 408 or code in TROUBLE_CODES:
        return False
    if status in REFUSING_STATUSES:
        return True
    if code == NEW_ORDER_REJECTED and message == DUPLICATE_TEXT:
        return False
    return code in REFUSES_ORDER[market]


def says_symbol_changed(market: str, code: int | None, message: str) -> bool:
    """Whether a refusal's code and text mean that our copy of the symbol's rules is old."""
    return code in SYMBOL_CHANGED[market] or says_market_closed(market, code, message)


def says_market_closed(market: str, code: int | None, message: str) -> bool:
    """Whether a refusal means that the symbol does not trade now: a halt, maintenance, a delisting."""
    if market == "spot" and code == NEW_ORDER_REJECTED:
        return message.startswith(MARKET_CLOSED_TEXT)
    return code in MARKET_CLOSED[market]


def _has_id(path: str, body: dict[str, Any]) -> bool:
    name = next((part for part in path.split("/") if part in _ID_FIELDS), "order")
    value = body.get(_ID_FIELDS[name])
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_answer(outcome: Reply | Failure) -> Any:
    """The JSON of a good answer to a question or a cancel.

    Raises the ExchangeError that says what to do: Transient (ask again), NotSent, RateLimited (wait),
    KeyRefused, OrderNotFound, Rejected (a definite no).
    """
    if isinstance(outcome, Failure):
        kind = Transient if outcome.sent else NotSent
        raise kind(f"The exchange could not be asked: {mask(outcome.reason)}.")
    parsed = parse(outcome)
    body = parsed if isinstance(parsed, dict) else {}
    code = code_of(body)
    if outcome.status == 200 and code is None:
        if parsed is None:
            raise Transient("The exchange's answer can't be read.", http_status=200)
        return parsed
    raise _read_error(outcome, code, message_of(outcome, body))


def _read_error(reply: Reply, code: int | None, message: str) -> ExchangeError:
    status = reply.status
    wait = wait_seconds(reply, code, message)
    if wait is not None:
        return RateLimited(message, retry_after_seconds=wait, code=code, http_status=status)
    passes = code in TROUBLE_CODES | CLOCK_CODES or not 400 <= status < 500 or status == 408
    kind: type[ExchangeError] = Rejected
    if passes:
        kind = Transient
    elif code in KEY_CODES:
        kind = KeyRefused
    elif code in NOT_FOUND_CODES:
        kind = OrderNotFound
    return kind(message, code=code, http_status=status)


def parse(reply: Reply) -> Any:
    """The body as JSON, or None when it is none (HTML, empty, cut off, nested without end)."""
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None


def code_of(body: Mapping[str, Any]) -> int | None:
    """The exchange's negative error code, or None."""
    code = body.get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) and code < 0 else None


def message_of(reply: Reply, body: Mapping[str, Any]) -> str:
    """The exchange's own words, masked and at most 300 characters; a plain sentence when it had none."""
    text = body.get("msg")
    if isinstance(text, str) and text:
        return mask(text)[:300]
    if reply.status == 200:
        return "The exchange answered without an order id."
    return f"The exchange answered with HTTP status {reply.status} and no reason."


def wait_seconds(reply: Reply, code: int | None, message: str) -> float | None:
    """Seconds that a limit asks to wait, or None when the answer is not about a limit.

    429 and 418 carry Retry-After in seconds (rest-api.md, "IP Limits"); a missing or senseless one counts
    as 60 s, a longer one than the longest ban as 3 days. -1015 counts orders of the account and comes
    without the header.
    """
    if reply.status not in LIMIT_STATUSES and code not in (TOO_MANY_REQUESTS, TOO_MANY_ORDERS):
        return None
    header = reply.headers.get("Retry-After")
    try:
        seconds = int(header or "")
    except ValueError:
        seconds = -1
    if seconds >= 0:
        return float(min(max(seconds, 1), RETRY_AFTER_CAP_SECONDS))
    if code == TOO_MANY_ORDERS:
        return ORDER_COUNT_WAIT_SECONDS
    return _seconds_until_ban_ends(message) or RETRY_AFTER_DEFAULT_SECONDS


def _seconds_until_ban_ends(message: str) -> float | None:
    """From "IP banned until 1659146400000" (milliseconds since the epoch, as seen in practice)."""
    found = re.search(r"until (\d{13})\b", message)
    if not found:
        return None
    seconds = int(found.group(1)) / 1000 - time.time()
    return min(seconds, RETRY_AFTER_CAP_SECONDS) if seconds > 0 else None
