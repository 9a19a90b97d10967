"""A model of workers on a database: locks, transactions, commits, crashes, and the order protocol in them.

What a worker does is what bots.runner, trading.orders and trading.recovery do; each `yield` is a place at
which it can be killed, frozen, or lose its database session.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.simulation.exchange import Answer, Exchange, Post, Violation
from tradebot.timings import Timings
from trading import protocol
from trading.protocol import Request

QUANTITY = 10
SIGNALS = 2
LOOKS = 3
LEGAL = {
    "PREPARED": {"ACCEPTED", "REJECTED", "NOT_SENT", "UNKNOWN", "NOT_PLACED", "LATE", "QUARANTINED"},
    "UNKNOWN": {"ACCEPTED", "NOT_PLACED", "LATE", "QUARANTINED"},
    "LATE": {"ACCEPTED", "NOT_PLACED", "QUARANTINED"},
    "QUARANTINED": {"ACCEPTED", "NOT_PLACED"},
    "NOT_PLACED": {"ACCEPTED"},
}
Steps = Generator[None, None, None]


@dataclass(frozen=True, slots=True)
class Protocol:
    """The protocol, and ways to break it."""

    timings: Timings = field(default_factory=Timings)
    fenced: bool = True  # T2 looks at epoch and state, and its update is fenced by the state
    committed_time: bool = True  # the bytes hold the time that was committed
    retries: bool = False  # an unknown outcome is sent again
    weighs: bool = True  # NOT_PLACED needs evidence
    counts_coins: bool = True  # a spot exit is followed only where a second sale would be refused


@dataclass(frozen=True, slots=True)
class Row:
    """A request of the journal with its one order."""

    id: int
    request: Request
    side: str
    quantity: int
    signal: int
    before: int | None = None
    executed: int = 0  # booked
    released: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """The bot's row."""

    epoch: int = 0
    position: int = 0
    held: str = ""


class SessionLost(Exception):
    """Raised when a transaction ends whose database session is gone."""


class Busy(Exception):
    """Raised when somebody else has the bot."""


@dataclass(slots=True)
class Database:
    """What is committed, and who has the bot's row locked."""

    state: State = field(default_factory=State)
    rows: dict[int, Row] = field(default_factory=dict)
    holder: object | None = None
    posted: set[int] = field(default_factory=set)

    def commit(self, state: State, rows: dict[int, Row]) -> None:
        """Write; the trigger refuses ways that are not legal."""
        for number, row in rows.items():
            before = self.rows.get(number)
            old, new = before.request.state if before else "PREPARED", row.request.state
            if old != new and new not in LEGAL.get(old, set()):
                raise Violation(f"request {number}: no way from {old} to {new}")
        open_lanes = [
            row.request.lane for row in (self.rows | rows).values() if row.request.state in protocol.OPEN
        ]
        if len(open_lanes) != len(set(open_lanes)):
            raise Violation("two open requests in one lane")
        self.state, self.rows = state, self.rows | rows


@dataclass(slots=True)
class Transaction:
    """Changes that nobody sees before the commit."""

    state: State
    rows: dict[int, Row]
    is_lost: bool = False

    def put(self, row: Row) -> None:
        self.rows[row.id] = row


@dataclass(slots=True)
class Worker:
    """One worker process. `offset_ms` is by how much its idea of the exchange's clock is off."""

    database: Database
    exchange: Exchange
    rules: Protocol
    offset_ms: int = 0
    steps: Steps | None = None
    transaction: Transaction | None = None
    wakes_ms: int | None = None  # the earliest wait of its last look

    # -- life

    def start(self) -> None:
        self.steps = self._run()

    def advance(self) -> None:
        """One step further."""
        if self.steps is None:
            return
        try:
            next(self.steps)
        except (StopIteration, Busy, SessionLost):
            self.stop()

    def stop(self) -> None:
        """It ends, or is killed: what is not committed is gone, its lock too."""
        self.steps = None
        if self.database.holder is self:
            self.database.holder = None
        self.transaction = None

    def lose_session(self) -> None:
        """The database drops its session; it goes on and does not know."""
        if self.transaction is not None:
            self.transaction.is_lost = True
            if self.database.holder is self:
                self.database.holder = None

    @property
    def now_ms(self) -> int:
        """The exchange's time as this worker believes."""
        return self.exchange.now_ms + self.offset_ms

    @contextmanager
    def locked(self) -> Iterator[Transaction]:
        """A transaction under the bot's lock. Raises Busy, and SessionLost at its end."""
        if self.database.holder is not None:
            raise Busy
        self.database.holder = self
        self.transaction = Transaction(self.database.state, {})
        yield self.transaction
        if self.transaction.is_lost:
            raise SessionLost
        self.database.commit(self.transaction.state, self.transaction.rows)
        self.database.holder = self.transaction = None

    def rows(self) -> list[Row]:
        """All requests, as this transaction sees them."""
        mine = self.transaction.rows if self.transaction else {}
        return list((self.database.rows | mine).values())

    # -- a run

    def _run(self) -> Steps:
        sellable = None
        if any(row.request.state in protocol.ASKED for row in self.rows()):
            sellable = yield from self._recover()
            yield
        for _ in range(LOOKS):
            row = yield from self._prepare(sellable)
            if row is None:
                return
            yield
            sent = yield from self._send(row)
            yield
            if sent is None or sent.request.state != "ACCEPTED":
                return

    def _prepare(self, sellable: int | None) -> Generator[None, None, Row | None]:
        """T1."""
        with self.locked() as transaction:
            yield
            doubts = [row.request for row in self.rows() if row.request.state in protocol.DOUBT]
            if any(protocol.in_flight(one, self.now_ms, self.rules.timings) for one in doubts):
                return None
            row = self._decide(protocol.bars(doubts), sellable)
            if row is None:
                return None
            transaction.put(row)
            transaction.state = replace(transaction.state, epoch=transaction.state.epoch + 1)
            yield
        return row

    def _decide(self, barred: frozenset[str], sellable: int | None) -> Row | None:
        state, rows = self.database.state, self.rows()
        if state.position > 0:
            quantity = state.position if sellable is None else min(state.position, sellable)
            if "exit" in barred or quantity <= 0:
                return None
            return self._new_row("SELL", quantity, 0)
        used = {row.signal for row in rows if row.side == "BUY" and not row.released}
        free = [signal for signal in range(1, SIGNALS + 1) if signal not in used]
        if "entry" in barred or state.held or not free:
            return None
        return self._new_row("BUY", QUANTITY, free[0])

    def _new_row(self, side: str, quantity: int, signal: int) -> Row:
        request = Request(
            state="PREPARED",
            market=self.exchange.market,
            lane="entry" if side == "BUY" else "exit",
            ts_ms=self.now_ms,
            recv_window_ms=self.rules.timings.recv_window_ms,
        )
        before = None
        if side == "SELL":
            before = self.exchange.coins + self.database.state.position
            request = replace(request, covers_two=protocol.covers_two(Decimal(quantity), Decimal(before)))
            if not self.rules.counts_coins:
                request = replace(request, covers_two=False)
        return Row(len(self.database.rows) + 1, request, side, quantity, signal, before)

    def _send(self, row: Row) -> Generator[None, None, Row | None]:
        """T2."""
        epoch = self.database.state.epoch
        yield  # frozen here it wakes up to another epoch
        with self.locked() as transaction:
            yield
            now = self.database.rows[row.id]
            is_mine = now.request.state == "PREPARED" and transaction.state.epoch == epoch
            if self.rules.fenced and not is_mine:
                return None
            if not self.rules.fenced:
                now = row
            if self.rules.committed_time and not protocol.may_send(now.request, self.now_ms):
                self._apply(now, protocol.NotSent("too late"), Answer("NOT_SENT"))
                yield
                return self.transaction.rows[row.id] if self.transaction else None
            yield  # frozen between the look at the clock and the send
            answer = self._post(now)
            yield  # sent, and nothing is written down
            if answer.kind == "UNKNOWN" and self.rules.retries:
                answer = self._post(now)
                yield
            event = protocol.Answered(answer.kind, "said", hold_long=answer.hold_long)  # type: ignore[arg-type]
            self._apply(now, event, answer)
            sent = transaction.rows[row.id]
            yield
        return sent

    def _post(self, row: Row) -> Answer:
        if row.id in self.database.posted and not self.rules.retries:
            raise Violation(f"request {row.id} was posted twice")
        self.database.posted.add(row.id)
        request = row.request
        ts_ms = request.ts_ms if self.rules.committed_time else self.now_ms
        return self.exchange.post(
            Post(row.id, row.side, row.quantity, ts_ms, request.recv_window_ms, row.signal)
        )

    def _apply(self, row: Row, event: protocol.Event, answer: Answer) -> tuple[protocol.Effect, ...]:
        """One step of the protocol on the row, and what needs no question of its effects."""
        transaction = self.transaction
        if transaction is None:
            raise SessionLost
        now_ms = self.exchange.now_ms if isinstance(event, protocol.NotFound) else self.now_ms
        request, effects = protocol.step(row.request, event, now_ms, self.rules.timings)
        row = replace(row, request=request)
        for effect in effects:
            if isinstance(effect, protocol.Book):
                change = answer.executed - row.executed
                row = replace(row, executed=answer.executed)
                signed = change if row.side == "BUY" else -change
                transaction.state = replace(transaction.state, position=transaction.state.position + signed)
            elif isinstance(effect, protocol.Release):
                row = replace(row, released=True)
            elif isinstance(effect, protocol.Pause):
                transaction.state = replace(transaction.state, held=effect.hold)
        transaction.put(row)
        return effects

    # -- recovery

    def _recover(self) -> Generator[None, None, int | None]:
        self.wakes_ms = None
        sellable = None
        with self.locked() as transaction:
            yield
            for row in self.rows():
                if row.request.state not in protocol.ASKED:
                    continue
                yield from self._look(row)
                after = transaction.rows[row.id].request
                if (after.state, after.market) == ("LATE", "spot"):
                    sellable = 0 if self.exchange.is_silent() else self._sellable(transaction.rows[row.id])
        return sellable

    def _look(self, row: Row) -> Steps:
        answer = Answer("UNKNOWN")
        effects = list(self._apply(row, protocol.Looked(), answer))
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, protocol.Wait):
                self.wakes_ms = min(self.wakes_ms or effect.until_ms, effect.until_ms)
            event = self._ask(effect, row.id, answer)
            if event is not None:
                yield
                if self.transaction is None:
                    raise SessionLost
                effects = list(self._apply(self.transaction.rows[row.id], event, answer))

    def _ask(self, effect: protocol.Effect, number: int, answer: Answer) -> protocol.Event | None:
        is_question = isinstance(
            effect, protocol.Query | protocol.Cancel | protocol.Gather | protocol.CheckExit
        )
        if not is_question:
            return None
        if self.exchange.is_silent():
            return protocol.AskFailed()
        if isinstance(effect, protocol.Cancel):
            return protocol.BarrierPassed()  # a MARKET order is never open
        is_get = isinstance(effect, protocol.Query)
        placed = self.exchange.order(number) if is_get else self.exchange.traded(number)
        if placed is not None:
            answer.executed = placed.executed
            return protocol.Found()
        if is_get:
            return protocol.NotFound()
        row = self.transaction.rows[number] if self.transaction else self.database.rows[number]
        return self._check_exit(row) if isinstance(effect, protocol.CheckExit) else self._gather(row)

    def _gather(self, row: Row) -> protocol.Event:
        if not self.rules.weighs:
            return protocol.Evidence(True, "nobody looked")
        others = [one for one in self.rows() if one.request.state in protocol.OPEN and one.id != row.id]
        if others:
            return protocol.AskFailed()
        expected = self.exchange.coins + self._state.position
        agrees = self.exchange.balance() == expected
        younger = [one for one in self.rows() if one.request.state in protocol.ASKED and one.id > row.id]
        return protocol.AskFailed() if younger and not agrees else protocol.Evidence(agrees, "the balance")

    def _check_exit(self, row: Row) -> protocol.Event:
        why_not = self._why_no_successor(row)
        before, position = Decimal(row.before or 0), Decimal(self._state.position)
        at_once = protocol.follows_at_once(before, position, Decimal(1)) or not self.rules.counts_coins
        return protocol.ExitChecked(why_not is None, why_not or "", at_once)

    def _sellable(self, row: Row) -> int:
        return 0 if self._why_no_successor(row) else self.exchange.balance()

    def _why_no_successor(self, row: Row) -> str | None:
        if not self.rules.counts_coins:
            return None
        return protocol.why_no_successor(
            quantity=Decimal(row.quantity),
            before=None if row.before is None else Decimal(row.before),
            total=Decimal(self.exchange.balance()),
            expected=Decimal(self.exchange.coins + self._state.position),
            sold_by_others=Decimal(0),
        )

    @property
    def _state(self) -> State:
        return (self.transaction or self.database).state
