"""Counters and gates of the request budget: in Redis for all processes, in memory while Redis is away.

A counter is one window of one limit: how much is used, and how much of that is still in flight, so that a
header can correct what was used without losing what others have just sent. A gate is a time before which
nothing may be sent; long ones are kept in the database too (gate_memory.py).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from tradebot.binance import gate_memory
from tradebot.binance.redis_guard import RedisDown, with_redis


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request takes from one counter; `cap` is what may be used up after it."""

    key: str
    amount: int
    cap: float
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to a charge. Refused by a gate: `gate_ms` > 0. Refused by a counter: its index in `full`."""

    gate_ms: int = 0
    full: int | None = None
    used: int = 0
    shared: bool = True  # False: counted in this process only

    @property
    def granted(self) -> bool:
        """Whether the request may be sent."""
        return self.gate_ms <= 0 and self.full is None


RECALLED = "gates:recalled"  # there while Redis has the gates that the database keeps
RECALL_FIRST = 3  # the answer of _TAKE when RECALLED is missing
RECALLED_SECONDS = 600  # then they are read again, by one process
# KEYS: gates, then counters, then RECALLED. ARGV: number of gates, whether RECALLED must be there, then
# amount, cap, ttl of each counter.
_TAKE = """
local gates = tonumber(ARGV[1])
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[#KEYS]) == 0 then return {3, 0, 0} end
local wait, which = 0, 0
for i = 1, gates do
  local left = redis.call('PTTL', KEYS[i])
  if left > wait then wait, which = left, i - 1 end
end
if wait > 0 then return {1, wait, which} end
for i = gates + 1, #KEYS - 1 do
  local at = 3 + (i - gates - 1) * 3
  local used = tonumber(redis.call('HGET', KEYS[i], 'used') or '0') or 0
  if used + tonumber(ARGV[at]) > tonumber(ARGV[at + 1]) then return {2, i - gates - 1, used} end
end
for i = gates + 1, #KEYS - 1 do
  local at = 3 + (i - gates - 1) * 3
  redis.call('HINCRBY', KEYS[i], 'used', ARGV[at])
  redis.call('HINCRBY', KEYS[i], 'flying', ARGV[at])
  redis.call('EXPIRE', KEYS[i], ARGV[at + 2])
end
return {0, 0, 0}
"""
# KEYS: counters. ARGV: amount and what the exchange counts (-1: not said) of each.
_SETTLE = """
for i = 1, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    local flying = redis.call('HINCRBY', KEYS[i], 'flying', -tonumber(ARGV[2 * i - 1]))
    if flying < 0 then flying = 0; redis.call('HSET', KEYS[i], 'flying', 0) end
    if tonumber(ARGV[2 * i]) >= 0 then redis.call('HSET', KEYS[i], 'used', tonumber(ARGV[2 * i]) + flying) end
  end
end
return 0
"""
# A gate is only ever moved later.
_CLOSE = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
return 0
"""


class _Local:
    """The same in this process's memory; gates seen in Redis are kept too, for when it is lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, tuple[int, int, float]] = {}  # used, flying, ends at
        self._gates: dict[str, float] = {}

    def closed(self, gates: Sequence[str]) -> tuple[int, str]:
        """The longest wait in milliseconds (0: none) and its gate."""
        now = time.monotonic()
        return max((max(0, int((self._gates.get(key, now) - now) * 1000)), key) for key in gates)

    def close(self, gate: str, milliseconds: int) -> None:
        with self._lock:
            until = time.monotonic() + milliseconds / 1000
            self._gates[gate] = max(until, self._gates.get(gate, 0.0))

    def take(self, charges: Sequence[Charge]) -> Taken:
        now = time.monotonic()
        with self._lock:
            self._counters = {key: row for key, row in self._counters.items() if row[2] > now}
            for index, charge in enumerate(charges):
                used = self._counters.get(charge.key, (0, 0, 0.0))[0]
                if used + charge.amount > charge.cap:
                    return Taken(full=index, used=used, shared=False)
            for charge in charges:
                used, flying, _ = self._counters.get(charge.key, (0, 0, 0.0))
                row = (used + charge.amount, flying + charge.amount, now + charge.ttl_seconds)
                self._counters[charge.key] = row
        return Taken(shared=False)

    def settle(self, counted: Sequence[tuple[Charge, int]]) -> None:
        with self._lock:
            for charge, exchange_count in counted:
                used, flying, ends = self._counters.get(charge.key, (0, 0, 0.0))
                flying = max(0, flying - charge.amount)
                used = exchange_count + flying if exchange_count >= 0 else used
                if ends:
                    self._counters[charge.key] = (used, flying, ends)

    def used(self, key: str) -> int:
        return self._counters.get(key, (0, 0, 0.0))[0]

    def clear(self) -> None:
        self._counters, self._gates = {}, {}


_local = _Local()


def take(gates: Sequence[str], charges: Sequence[Charge]) -> Taken:
    """Charge all counters or none. A closed gate or a counter that would pass its cap refuses."""
    recall()
    wait, gate = _local.closed(gates)
    if wait > 0:
        _publish(gate, wait)  # it may be that Redis was emptied meanwhile
        return Taken(gate_ms=wait)
    try:
        kind, value, detail = _take_shared(gates, charges, must_be_recalled=True)
        if kind == RECALL_FIRST:
            recall(again=True)
            kind, value, detail = _take_shared(gates, charges, must_be_recalled=False)
    except RedisDown:
        return _local.take(charges)
    if kind == 1:
        _local.close(gates[detail], value)
        return Taken(gate_ms=value)
    return Taken(full=value, used=detail) if kind == 2 else Taken()


def _take_shared(
    gates: Sequence[str], charges: Sequence[Charge], *, must_be_recalled: bool
) -> tuple[int, int, int]:
    arguments: list[Any] = [len(gates), int(must_be_recalled)]
    for charge in charges:
        arguments += [charge.amount, charge.cap, charge.ttl_seconds]
    keys = [*gates, *(charge.key for charge in charges), RECALLED]
    kind, value, detail = with_redis(lambda r: _run(r, _TAKE, keys, arguments))
    return kind, value, detail


def recall(*, again: bool = False) -> None:
    """Close the gates that the database keeps: at a process's first look, and `again` for an empty Redis."""

    def close(gate: str, milliseconds: int) -> None:
        _local.close(gate, milliseconds)
        _publish(gate, milliseconds)

    if gate_memory.recall(close, again=again) and again:
        with contextlib.suppress(RedisDown):
            with_redis(lambda r: r.set(RECALLED, b"1", ex=RECALLED_SECONDS))


def settle(counted: Sequence[tuple[Charge, int]], *, shared: bool) -> None:
    """End the flight of charges; a count of the exchange's (>= 0) replaces what was reckoned."""
    if not shared:
        _local.settle(counted)
        return
    arguments = [value for charge, count in counted for value in (charge.amount, count)]
    keys = [charge.key for charge, _ in counted]
    try:
        with_redis(lambda r: _run(r, _SETTLE, keys, arguments))
    except RedisDown:
        return  # the window ends by itself


def close_gate(gate: str, milliseconds: int) -> None:
    """Let nothing through `gate` for this long, in all processes; an earlier, longer wait stays."""
    _local.close(gate, milliseconds)
    _publish(gate, milliseconds)
    gate_memory.keep(gate, milliseconds)


def is_first_to_tell(gate: str, milliseconds: int) -> bool:
    """Whether no process has told of this ban of the gate yet."""
    try:
        return bool(with_redis(lambda r: r.set(f"{gate}:told", b"1", nx=True, px=milliseconds)))
    except RedisDown:
        return _local.closed([f"{gate}:told"])[0] == 0
    finally:
        _local.close(f"{gate}:told", milliseconds)


def _publish(gate: str, milliseconds: int) -> None:
    try:
        with_redis(lambda r: _run(r, _CLOSE, [gate], [milliseconds]))
    except RedisDown:
        return  # this process obeys; others learn it from the exchange


def gate_ms(gates: Sequence[str]) -> int:
    """Milliseconds until the last of the gates opens; 0 when all are open."""
    recall()
    local, _ = _local.closed(gates)
    try:
        return max(local, *with_redis(lambda r: [int(r.pttl(gate)) for gate in gates]))
    except RedisDown:
        return local


def look(gates: Sequence[str], counter: str) -> tuple[int, int]:
    """gate_ms() and used() in one request to Redis. Raises RedisDown when it does not answer."""

    def ask(client: redis.Redis) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        for gate in gates:
            pipeline.pttl(gate)
        pipeline.hget(counter, "used")
        return list(pipeline.execute(raise_on_error=False))

    recall()
    *waits, said = with_redis(ask)
    local, _ = _local.closed(gates)
    left_ms = max(local, *(int(wait) for wait in waits))
    try:
        return left_ms, int(said or 0)
    except (TypeError, ValueError):  # a value of another type stands there
        return left_ms, _local.used(counter)


def used(key: str) -> int:
    """What is used of a counter, as far as this process can know."""
    try:
        return int(with_redis(lambda r: r.hget(key, "used")) or 0)
    except (RedisDown, ValueError):
        return _local.used(key)


def forget_process_state() -> None:
    """Drop what this process remembers of counters and gates (for tests)."""
    _local.clear()
    gate_memory.forget_process_state()


def _run(client: redis.Redis, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
    return client.eval(script, len(keys), *keys, *arguments)
