"""The request budget of all processes: weight per (host, EGRESS_ID), orders per account, the gate.

Each request is charged before it is sent and corrected by the answer's headers, down as well as up. Windows
follow this machine's wall clock. Entries and background work stop at 80 % of a limit, exits at 95 %. After
a 429 or 418 the gate is closed: nobody sends anything to that host, exits neither, because each request
makes a ban longer.

While Redis is away each process counts for itself (the headers still tell it the sum of all); reads and
exits go on, entries do not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.conf import settings

from tradebot.binance import budget_store as store
from tradebot.binance import gate_memory
from tradebot.binance.budget_store import Charge
from tradebot.binance.redis_guard import RedisDown, read_value, with_redis
from tradebot.binance.sources import Source
from tradebot.errors import RateLimited
from tradebot.secrets import Secret

Lane = Literal["entry", "exit", "background", "sweep"]

SHARE: Mapping[str, float] = {"entry": 0.80, "exit": 0.95, "background": 0.80, "sweep": 0.80}
SWEEP_SHARE = 0.20  # reconciling may use this much of the weight in all, whatever else is left
MINUTE_SECONDS = 60
SWEEP = "SWEEP"  # stands for a header's suffix; the exchange has no such header
LIMITS_CACHE_SECONDS = 60.0
_INTERVAL_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400}


@dataclass(frozen=True, slots=True)
class OrderLimit:
    """How many orders an account may place in a window; `suffix` as in X-MBX-ORDER-COUNT-10S."""

    suffix: str
    seconds: int
    limit: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one host."""

    weight_per_minute: int
    orders: tuple[OrderLimit, ...] = (OrderLimit("10S", 10, 100),)


@dataclass(frozen=True, slots=True)
class UsedWeight:
    """Request weight of the current minute, for display."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was charged for one request, to be settled with its answer."""

    charges: tuple[tuple[str, Charge], ...]  # header suffix ("W" for weight), charge
    shared: bool


# rest-api.md and USDS-M general-info; used until exchangeInfo was read
DEFAULT_LIMITS: Mapping[str, Limits] = {"spot": Limits(6000), "futures": Limits(2400)}
_limits_cache: dict[str, tuple[float, Limits]] = {}


def account_tag(api_key: Secret) -> str:
    """A short name of an account for keys in Redis, from which the API key can't be read."""
    return hashlib.sha256(api_key.reveal().encode()).hexdigest()[:16]


def reserve(source: Source, weight: int, lane: Lane, *, orders: int = 0, account: str = "") -> Reservation:
    """Charge `weight` (and `orders` of `account`) before a request is sent.

    Raises RateLimited, with the seconds to wait, when the gate is closed, a limit's share of the lane would
    be passed, or an order of the entry lane can't be charged for all processes because Redis is away.
    """
    limits, now, share = limits_of(source), time.time(), SHARE[lane]
    charges = [("W", Charge(_weight_key(source, now), weight, limits.weight_per_minute * share, 120))]
    waits = [_left_of(MINUTE_SECONDS, now)]
    gates = [_gate_key(source)]
    if lane == "sweep":
        own = Charge(_sweep_key(source, now), weight, limits.weight_per_minute * SWEEP_SHARE, 120)
        charges.append((SWEEP, own))
        waits.append(_left_of(MINUTE_SECONDS, now))
    if orders:
        gates.append(_order_gate_key(source, account))
        for limit in limits.orders:
            key = _orders_key(source, account, limit, now)
            charges.append(
                (limit.suffix, Charge(key, orders, limit.limit * share, limit.seconds + MINUTE_SECONDS))
            )
            waits.append(_left_of(limit.seconds, now))
    taken = store.take(gates, [charge for _, charge in charges])
    reservation = Reservation(tuple(charges), taken.shared)
    if taken.gate_ms > 0:
        seconds = taken.gate_ms / 1000
        raise RateLimited(
            f"The exchange asked for a pause; it ends in {seconds:.0f} s.", retry_after_seconds=seconds
        )
    if taken.full is not None:
        if reservation.charges[taken.full][0] == SWEEP:
            raise RateLimited(
                f"Reconciling has used its {SWEEP_SHARE:.0%} of the request weight; it goes on next minute.",
                retry_after_seconds=waits[taken.full],
            )
        what = "request weight" if taken.full == 0 else "number of orders"
        raise RateLimited(
            f"The {what} would pass {share:.0%} of the limit; the {lane} lane waits for the next window.",
            retry_after_seconds=waits[taken.full],
        )
    if orders and lane == "entry" and not taken.shared:
        settle(source, reservation, {})
        raise RateLimited(
            "Redis can't be reached, so the request budget is not shared; entries wait.",
            retry_after_seconds=_left_of(10, now),
        )
    return reservation


def settle(
    source: Source, reservation: Reservation, headers: Mapping[str, str], *, accurate: bool = True
) -> None:
    """Correct the charges by the answer's headers (X-MBX-USED-WEIGHT-1M, X-MBX-ORDER-COUNT-...).

    `accurate` is False for paths whose weight header is known to be wrong. A header is not applied when its
    window ended while the request was under way.
    """
    now = time.time()
    counted = []
    for suffix, charge in reservation.charges:
        if suffix == "W":
            name, current = "X-MBX-USED-WEIGHT-1M", charge.key == _weight_key(source, now)
            current = current and accurate
        elif suffix == SWEEP:
            name, current = "", False
        else:
            name, current = f"X-MBX-ORDER-COUNT-{suffix}", _is_current(charge.key, now)
        counted.append((charge, _count(headers.get(name)) if current else -1))
    store.settle(counted, shared=reservation.shared)


def close_gate(source: Source, seconds: float, *, account: str = "", banned: bool = False) -> None:
    """Stop all requests to the host, or with `account` only its orders, for this many seconds.

    A ban (418) is told of, once for all processes.
    """
    key = _order_gate_key(source, account) if account else _gate_key(source)
    milliseconds = max(1, int(seconds * 1000))
    store.close_gate(key, milliseconds)
    if banned and store.is_first_to_tell(key, milliseconds):
        gate_memory.tell(key, milliseconds)


def gate_until(source: Source) -> datetime | None:
    """When the gate of the host opens (UTC, wall time); None when it is open."""
    left = pause_seconds(source)
    return datetime.now(UTC) + timedelta(seconds=left) if left > 0 else None


def pause_seconds(source: Source) -> float:
    """Seconds until the gate of the host opens; 0 when it is open."""
    return max(0, store.gate_ms([_gate_key(source)])) / 1000


def usage(source: Source) -> UsedWeight:
    """Weight used in the current minute by all processes, and the limit."""
    return UsedWeight(store.used(_weight_key(source, time.time())), limits_of(source).weight_per_minute)


def sweep_usage(source: Source) -> UsedWeight:
    """Weight that reconciling has used in the current minute, and its share of the limit."""
    limit = int(limits_of(source).weight_per_minute * SWEEP_SHARE)
    return UsedWeight(store.used(_sweep_key(source, time.time())), limit)


def entries_allowed(source: Source) -> tuple[bool, str]:
    """Whether the budget lets entries go on, and if not, why."""
    try:
        left_ms, used = store.look([_gate_key(source)], _weight_key(source, time.time()))
    except RedisDown as error:
        return False, str(error)
    if left_ms > 0:
        until = datetime.now(UTC) + timedelta(milliseconds=left_ms)
        return False, f"The exchange asked for a pause until {until:%H:%M:%S} UTC."
    limit = limits_of(source).weight_per_minute
    if used >= limit * SHARE["entry"]:
        return False, f"The request weight is above {SHARE['entry']:.0%} ({used} of {limit})."
    return True, ""


def note_limits(source: Source, info: Mapping[str, Any]) -> Limits:
    """Remember the limits that exchangeInfo names, for all processes. What is senseless in it is left out."""
    limits = _limits_from(info.get("rateLimits"), DEFAULT_LIMITS[source.market])
    _limits_cache[_counted_at(source)] = (time.monotonic(), limits)
    text = json.dumps(
        {
            "weight": limits.weight_per_minute,
            "orders": [[row.suffix, row.seconds, row.limit] for row in limits.orders],
        }
    )
    with contextlib.suppress(RedisDown):
        with_redis(lambda r: r.set(_limits_key(source), text))
    return limits


def limits_of(source: Source) -> Limits:
    """The limits of the source's host: those of exchangeInfo when known, else Binance's usual ones."""
    cached = _limits_cache.get(_counted_at(source))
    if cached and time.monotonic() - cached[0] < LIMITS_CACHE_SECONDS:
        return cached[1]
    try:
        limits = _stored_limits(source)
    except RedisDown:
        return cached[1] if cached else DEFAULT_LIMITS[source.market]
    _limits_cache[_counted_at(source)] = (time.monotonic(), limits)
    return limits


def forget_process_state() -> None:
    """Drop what this process remembers (for tests)."""
    _limits_cache.clear()
    store.forget_process_state()


def _stored_limits(source: Source) -> Limits:
    text = read_value(_limits_key(source))
    try:
        stored = json.loads(text or "")
        orders = tuple(OrderLimit(str(a), int(b), int(c)) for a, b, c in stored["orders"])
        return Limits(int(stored["weight"]), orders)
    except (ValueError, TypeError, KeyError):
        return DEFAULT_LIMITS[source.market]


def _limits_from(rows: Any, default: Limits) -> Limits:
    weight: int = default.weight_per_minute
    orders: list[OrderLimit] = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict):
            continue
        kind, interval = row.get("rateLimitType"), row.get("interval")
        number, limit = _whole(row.get("intervalNum")), _whole(row.get("limit"))
        if not number or not limit or interval not in _INTERVAL_SECONDS:
            continue
        if kind == "REQUEST_WEIGHT" and (interval, number) == ("MINUTE", 1):
            weight = limit
        elif kind == "ORDERS":
            orders.append(OrderLimit(f"{number}{interval[0]}", number * _INTERVAL_SECONDS[interval], limit))
    return Limits(weight, tuple(orders) or default.orders)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _count(header: str | None) -> int:
    try:
        value = int(header or "")
    except ValueError:
        return -1
    return value if 0 <= value < 10**9 else -1


def _left_of(seconds: int, now: float) -> float:
    return seconds - now % seconds


def _counted_at(source: Source) -> str:
    """Where the exchange counts: spot and futures apart, though a paper exchange has both on one host."""
    return source.host if source.market == "spot" else f"{source.host}:{source.market}"


def _gate_key(source: Source) -> str:
    return f"gate:{_counted_at(source)}:{settings.EGRESS_ID}"


def _order_gate_key(source: Source, account: str) -> str:
    return f"gate:orders:{_counted_at(source)}:{account}"


def _limits_key(source: Source) -> str:
    return f"budget:limits:{_counted_at(source)}"


def _weight_key(source: Source, now: float) -> str:
    return f"budget:weight:{_counted_at(source)}:{settings.EGRESS_ID}:{int(now // MINUTE_SECONDS)}"


def _sweep_key(source: Source, now: float) -> str:
    return f"budget:sweep:{_counted_at(source)}:{settings.EGRESS_ID}:{int(now // MINUTE_SECONDS)}"


def _orders_key(source: Source, account: str, limit: OrderLimit, now: float) -> str:
    return f"budget:orders:{_counted_at(source)}:{account}:{limit.seconds}:{int(now // limit.seconds)}"


def _is_current(orders_key: str, now: float) -> bool:
    seconds, window = orders_key.rsplit(":", 2)[1:]
    return int(now // int(seconds)) == int(window)
