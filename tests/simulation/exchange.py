"""A model of the exchange and of the network before it: windows, lags, lost requests and answers."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from random import Random

MS = 1000
AHEAD_MS = 1000  # a time stamp may be this much ahead of the exchange's clock
TRADE_LAG_MS = 45 * MS  # trades and balances are never older than this; GET order may be far older
BALANCE_LAG_MS = 5 * MS


class Violation(AssertionError):
    """Raised when something happened that must never happen."""


@dataclass(slots=True)
class Post:
    """One order as its bytes say it."""

    id: int
    side: str  # BUY | SELL
    quantity: int
    ts_ms: int
    recv_window_ms: int
    signal: int


@dataclass(slots=True)
class Placed:
    """An order that the engine took: what it executed, and from when on each question shows it."""

    post: Post
    executed: int
    at_ms: int
    shown_ms: int  # by GET order
    traded_ms: int  # by the lists of orders and trades
    counted_ms: int  # by balance and position


@dataclass(slots=True)
class Answer:
    """What the sender sees: a kind of the protocol's, how much was executed, and whether the hold is long."""

    kind: str
    executed: int = 0
    hold_long: bool = False


@dataclass(slots=True)
class Exchange:
    """Spot or futures, one account, one symbol. `coins` are what others have put there (spot)."""

    market: str
    rng: Random
    coins: int = 0
    now_ms: int = 10_000_000
    calm: bool = False  # no more faults
    placed: dict[int, Placed] = field(default_factory=dict)
    holds: int = 0  # coins or position that the bot's orders made
    _arrivals: list[tuple[int, int, bool, Post]] = field(default_factory=list)
    _count: int = 0

    def post(self, post: Post) -> Answer:
        """A request leaves; what the sender gets to see."""
        fate = 1.0 if self.calm else self.rng.random()
        if fate < 0.05:
            return Answer("NOT_SENT")
        if fate < 0.15:  # lost on its way
            return self._unknown()
        if fate < 0.35:  # still on its way when the sender has given up
            self._arrive(self.now_ms + self.rng.choice((50, 900, 3000, 4900, 5500, 9000)), False, post)
            return self._unknown()
        answer = self._receive(post)
        if answer.kind == "ACCEPTED" and fate < 0.5:  # the answer is lost
            return self._unknown()
        return answer

    def pass_time(self, ms: int) -> None:
        """Time goes on; what arrives meanwhile arrives."""
        until = self.now_ms + ms
        while self._arrivals and self._arrivals[0][0] <= until:
            at_ms, _, is_inside, post = heapq.heappop(self._arrivals)
            self.now_ms = max(self.now_ms, at_ms)
            self._engine(post) if is_inside else self._receive(post)
        self.now_ms = until

    def next_arrival_ms(self) -> int | None:
        """When something arrives next."""
        return self._arrivals[0][0] if self._arrivals else None

    # -- questions; each may fail

    def is_silent(self) -> bool:
        """Whether a question has no answer."""
        return not self.calm and self.rng.random() < 0.05

    def order(self, number: int) -> Placed | None:
        """GET by client id."""
        one = self.placed.get(number)
        return one if one is not None and one.shown_ms <= self.now_ms else None

    def traded(self, number: int) -> Placed | None:
        """By the lists of orders and trades."""
        one = self.placed.get(number)
        return one if one is not None and one.traded_ms <= self.now_ms else None

    def balance(self) -> int:
        """Coins (the position) as the account's question tells them."""
        unseen = sum(
            one.executed if one.post.side == "BUY" else -one.executed
            for one in self.placed.values()
            if one.counted_ms > self.now_ms
        )
        return self.coins + self.holds - unseen

    # -- inside

    def _arrive(self, at_ms: int, is_inside: bool, post: Post) -> None:
        self._count += 1
        heapq.heappush(self._arrivals, (at_ms, self._count, is_inside, post))

    def _unknown(self) -> Answer:
        return Answer("UNKNOWN", hold_long=self.rng.random() < 0.3)

    def _in_window(self, post: Post) -> bool:
        return post.ts_ms < self.now_ms + AHEAD_MS and self.now_ms - post.ts_ms <= post.recv_window_ms

    def _receive(self, post: Post) -> Answer:
        if not self._in_window(post):
            return Answer("REJECTED")
        if not self.calm and self.rng.random() < 0.1:  # it queues before the engine
            longest = 8000 if self.market == "spot" else 400_000
            self._arrive(self.now_ms + self.rng.randrange(1, longest), True, post)
            return self._unknown()
        return self._engine(post)

    def _engine(self, post: Post) -> Answer:
        if self.market == "spot" and not self._in_window(post):  # futures: no second check is documented
            return Answer("REJECTED")
        if post.id in self.placed:
            raise Violation(f"request {post.id} was executed twice")
        executed = post.quantity
        if post.side == "SELL":
            if self.market == "futures":
                executed = min(executed, self.holds)  # reduce-only
            elif executed > self.holds + self.coins:
                executed = 0
            if executed <= 0:
                return Answer("REJECTED")
        if not self.calm and executed > 1 and self.rng.random() < 0.1:
            executed = self.rng.randrange(1, executed)  # EXPIRED with fills
        self._execute(post, executed)
        return Answer("ACCEPTED", executed)

    def _execute(self, post: Post, executed: int) -> None:
        lags = (0, 0, 1000, 22 * MS, 62 * MS, 300 * MS, 650 * MS)
        lag = 0 if self.calm else self.rng.choice(lags)
        seen = min(lag, self.rng.randrange(TRADE_LAG_MS))
        self.placed[post.id] = Placed(
            post,
            executed,
            self.now_ms,
            self.now_ms + lag,
            self.now_ms + seen,
            self.now_ms + min(seen, BALANCE_LAG_MS),
        )
        self.holds += executed if post.side == "BUY" else -executed
        if self.holds < 0:
            raise Violation("more was sold than the bot had bought")
        twins = [
            one for one in self.placed.values() if one.post.side == "BUY" and one.post.signal == post.signal
        ]
        if post.side == "BUY" and len(twins) > 1:
            raise Violation(f"two orders for signal {post.signal}: {[one.post.id for one in twins]}")
