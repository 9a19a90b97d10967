"""Request weight per address, bans, and unfilled orders per account (rest-api.md, "LIMITS")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trading.paper.errors import ApiError

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
DAY_MS = 86_400_000
FIRST_BAN_SECONDS = 120
LONGEST_BAN_SECONDS = 3 * 86_400
PATIENCE = 10  # requests after the first 429 of a minute until the address is banned


@dataclass(slots=True)
class Usage:
    """What one address has used in the current minute, and its bans."""

    minute: int = -1
    weight: int = 0
    refused: int = 0
    bans: int = 0
    banned_until_ms: int = 0


@dataclass(slots=True)
class WeightLimit:
    """Weight per address and minute of one market (spot and futures count apart)."""

    limit: int
    usage: dict[str, Usage] = field(default_factory=dict)

    def charge(self, address: str, weight: int, now_ms: int) -> None:
        """Count a request. Raises ApiError 429 (-1003) above the limit, 418 for who does not stop then."""
        usage = self.usage.setdefault(address, Usage())
        minute = now_ms // MINUTE_MS
        if now_ms < usage.banned_until_ms:
            raise _banned(usage.banned_until_ms, now_ms)
        if usage.minute != minute:
            usage.minute, usage.weight, usage.refused = minute, 0, 0
        usage.weight += weight
        if usage.weight <= self.limit:
            return
        usage.refused += 1
        if usage.refused > PATIENCE:
            seconds = min(LONGEST_BAN_SECONDS, FIRST_BAN_SECONDS * 2**usage.bans)
            usage.bans += 1
            usage.banned_until_ms = now_ms + seconds * 1000
            raise _banned(usage.banned_until_ms, now_ms)
        raise ApiError(
            -1003,
            f"Too much request weight used; current limit is {self.limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
            status=429,
            headers={"Retry-After": str(max(1, -(-((minute + 1) * MINUTE_MS - now_ms) // 1000)))},
        )

    def refund(self, address: str, weight: int) -> None:
        """Give weight back: placing and cancelling orders is free when it succeeds."""
        usage = self.usage.get(address)
        if usage is not None:
            usage.weight = max(0, usage.weight - weight)

    def used(self, address: str, now_ms: int) -> int:
        """The weight of the current minute."""
        usage = self.usage.get(address)
        return usage.weight if usage is not None and usage.minute == now_ms // MINUTE_MS else 0


def _banned(until_ms: int, now_ms: int) -> ApiError:
    return ApiError(
        -1003,
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans.",
        status=418,
        headers={"Retry-After": str(max(1, -(-(until_ms - now_ms) // 1000)))},
    )


@dataclass(slots=True)
class OrderCounts:
    """Unfilled orders per account in windows of 10 s and one day; an order that fills leaves them.

    Futures count in windows of 10 s and one minute, and nothing leaves them (`filled` is not called).
    """

    per_ten_seconds: int = 100
    per_day: int = 200_000
    long_ms: int = DAY_MS
    long_name: str = "1 DAY"
    _counts: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def _windows(self, account_id: int, at_ms: int) -> list[tuple[int, int, int]]:
        return [(account_id, length, at_ms // length) for length in (TEN_SECONDS_MS, self.long_ms)]

    def counts(self, account_id: int, now_ms: int) -> tuple[int, int]:
        """(in these ten seconds, today)."""
        short, long = (max(0, self._counts.get(key, 0)) for key in self._windows(account_id, now_ms))
        return short, long

    def check(self, account_id: int, adds: int, now_ms: int) -> None:
        """Raise ApiError 429 (-1015) if `adds` more orders are too many."""
        short, long = self.counts(account_id, now_ms)
        for count, limit, length, name in (
            (short, self.per_ten_seconds, TEN_SECONDS_MS, "10 SECOND"),
            (long, self.per_day, self.long_ms, self.long_name),
        ):
            if count + adds > limit:
                wait_ms = length - now_ms % length
                raise ApiError(
                    -1015,
                    f"Too many new orders; current limit is {limit} orders per {name}.",
                    status=429,
                    headers={"Retry-After": str(max(1, -(-wait_ms // 1000)))},
                )

    def add(self, account_id: int, now_ms: int, orders: int = 1) -> None:
        """Count new orders."""
        for key in self._windows(account_id, now_ms):
            self._counts[key] = self._counts.get(key, 0) + orders
        if len(self._counts) > 10_000:
            today = now_ms // self.long_ms
            self._counts = {
                key: count
                for key, count in self._counts.items()
                if (key[1] == self.long_ms and key[2] >= today) or key[2] >= now_ms // TEN_SECONDS_MS
            }

    def filled(self, account_id: int, placed_ms: int) -> None:
        """An order placed at `placed_ms` had a fill: it does not count any longer."""
        for key in self._windows(account_id, placed_ms):
            if key in self._counts:
                self._counts[key] -= 1

    def headers(self, account_id: int, now_ms: int) -> Mapping[str, str]:
        """The X-MBX-ORDER-COUNT headers."""
        short, long = self.counts(account_id, now_ms)
        letter = self.long_name.split()[1][0]
        return {"X-MBX-ORDER-COUNT-10S": str(short), f"X-MBX-ORDER-COUNT-1{letter}": str(long)}
