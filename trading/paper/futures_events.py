"""What happens to a contract by itself: fills of resting orders, triggers, funding, liquidation.

One event after the other, each at its own time: of those since the last look the earliest one; at the same
moment funding comes first, then liquidation and mark prices, then conditional orders that are due, then
traded prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import partial

from trading.paper.errors import ApiError
from trading.paper.futures_contracts import Contract
from trading.paper.futures_errors import refused
from trading.paper.futures_funding import FundingRates, next_funding_ms
from trading.paper.futures_ledger import FuturesLedger, rounded
from trading.paper.futures_ordering import NewFutures
from trading.paper.futures_orders import LAST, AlgoOrder, FuturesFill, FuturesOrder, Position
from trading.paper.futures_state import FuturesState, Takes
from trading.paper.futures_user_events import (
    IOC_REST,
    LIQUIDATED,
    MARKET_REST,
    REDUCES_NOTHING,
    tell_order,
)
from trading.paper.market import Market, Touch
from trading.paper.orders import ZERO

NEVER_DOWN, NEVER_UP = float("-inf"), float("inf")


@dataclass(frozen=True, slots=True)
class Watch:
    """Something that happens when a price falls, or rises, to a threshold."""

    falls: bool
    threshold: float
    act: Callable[[Touch], None]

    def reached(self, price: float) -> bool:
        """Whether this price does it."""
        return price <= self.threshold if self.falls else price >= self.threshold


class Events:
    """Goes along the path of a contract and books what happens. Changes are committed event by event."""

    def __init__(self, state: FuturesState, ledger: FuturesLedger, rates: FundingRates) -> None:
        self.state = state
        self.books = state.books
        self.ledger = ledger
        self.rates = rates
        self.trigger_delay_ms = 0  # how long a conditional order is TRIGGERING, by hand

    # -- looking

    def advance_all(self, now_ms: int) -> None:
        """Look at every contract in which there is something."""
        held = {one.symbol for one in self.books.positions.values() if one.quantity}
        resting = {symbol for symbol, rows in self.books.open.items() if rows}
        waiting = {symbol for symbol, rows in self.books.live.items() if rows}
        for symbol in sorted(held | resting | waiting):
            self.advance(symbol, now_ms)

    def seen(self, symbol: str, now_ms: int) -> None:
        """Nothing more can have happened up to now."""
        self.state.looked[symbol] = max(now_ms, self.state.looked.get(symbol, 0))

    def advance(self, symbol: str, now_ms: int) -> None:
        """Book everything that happened since the last look."""
        contract = self.state.contracts[symbol]
        since = self.state.looked.get(symbol, now_ms)
        while since <= now_ms and (step := self._next(contract, since, now_ms)) is not None:
            since, act = step
            with self.books.transaction():
                act()
                self.state.save_looked(symbol, since)
        self.seen(symbol, now_ms)

    def _next(self, contract: Contract, since: int, now_ms: int) -> tuple[int, Callable[[], None]] | None:
        """The earliest event behind `since`: its time and what it does."""
        symbol = contract.symbol
        held = self.books.held(symbol)
        live = self.books.live.get(symbol, {})
        if not (held or live or self.books.open.get(symbol)):
            return None
        found: list[tuple[int, Callable[[], None]]] = []
        until = now_ms
        if held and contract.is_perpetual and (at := next_funding_ms(since)) <= until:
            found.append((at, lambda: self._fund(contract, at)))
            until = at
        if self.state.status(symbol) == "TRADING":
            marked = self._touch(
                self.state.marks, contract, since, until, self._marked(contract, held, since)
            )
            due = [algo for algo in live.values() if algo.status == "TRIGGERING" and algo.due_ms <= until]
            traded = self._touch(self.state.market, contract, since, until, self._traded(contract))
            found += [] if marked is None else [marked]
            if due:
                first = min(due, key=lambda one: one.due_ms)
                found.append((max(since, first.due_ms), lambda: self._place(first)))
            found += [] if traded is None else [traded]
        return min(found, key=lambda event: event[0], default=None)

    def _touch(
        self, market: Market, contract: Contract, since: int, until: int, watches: Iterator[Watch]
    ) -> tuple[int, Callable[[], None]] | None:
        rows = list(watches)
        if not rows:
            return None
        down = max((one.threshold for one in rows if one.falls), default=NEVER_DOWN)
        up = min((one.threshold for one in rows if not one.falls), default=NEVER_UP)
        touch = market.first_touch(contract.underlying, since, until, down, up)
        if touch is None:
            return None
        first = next(one for one in rows if one.reached(touch.price))  # those behind it are found next
        return touch.at_ms, lambda: first.act(touch)

    def _marked(self, contract: Contract, held: list[Position], since: int) -> Iterator[Watch]:
        for position in held:
            price = self.state.liquidation_price(position, since)
            if price:
                yield Watch(position.quantity > 0, float(price), partial(self._crossed, position))
        yield from self._algos(contract, is_last=False)

    def _traded(self, contract: Contract) -> Iterator[Watch]:
        if contract.symbol not in self.state.resting_off:
            for order in list(self.books.open.get(contract.symbol, {}).values()):
                if self.state.faults.is_held("futures", order.symbol, order.order_id):
                    continue
                yield Watch(order.side == "BUY", float(order.price), partial(self._hit, contract, order))
        yield from self._algos(contract, is_last=True)

    def _algos(self, contract: Contract, *, is_last: bool) -> Iterator[Watch]:
        act = self._trigger_last if is_last else self._trigger_mark
        for algo in list(self.books.live.get(contract.symbol, {}).values()):
            if algo.status == "NEW" and (algo.working_type == LAST) == is_last:
                yield Watch(algo.waits_for_fall, float(algo.trigger_price), partial(act, algo))

    # -- orders

    def take(self, order: FuturesOrder, takes: Takes, at_ms: int) -> list[FuturesFill]:
        """Give an order what it takes, let it rest or end, and save it; inside a transaction."""
        contract = self.state.contracts[order.symbol]
        tell_order(self.books.feed, order, "NEW", at_ms)
        takes = self.state.shaped(order, takes)
        fills = [self.ledger.fill(contract, order, price, share, at_ms) for price, share in takes]
        rests = order.type == "LIMIT" and order.time_in_force in ("GTC", "GTX")
        if order.is_open and not rests:
            order.status = "EXPIRED"
            reason = MARKET_REST if order.type == "MARKET" else IOC_REST
            tell_order(self.books.feed, order, "EXPIRED", at_ms, expired=reason)
        self._settle(order, at_ms)
        return fills

    def fill_now(self, order: FuturesOrder, quantity: Decimal, now_ms: int) -> list[FuturesFill]:
        """Fill so much of a resting order at once, at its price."""
        contract = self.state.contracts[order.symbol]
        with self.books.transaction():
            takes = self.state.shaped(order, [(order.price, quantity)])
            fills = [
                self.ledger.fill(contract, order, price, share, now_ms, is_maker=True)
                for price, share in takes
            ]
            self._settle(order, now_ms)
        return fills

    def _settle(self, order: FuturesOrder, at_ms: int) -> None:
        self.books.save_order(order)
        self.state.follow_algo(order, at_ms)
        if order.executed:
            self._position_changed(order.account_id, order.symbol, at_ms)
        self.state.save_looked(order.symbol, at_ms)

    def _hit(self, contract: Contract, order: FuturesOrder, touch: Touch) -> None:
        """A resting order trades at its own price; a reduce-only one no more than there is to reduce."""
        quantity, at_ms = order.remaining, touch.at_ms
        if order.reduce_only:
            position = self.ledger.position(order.account_id, contract)
            quantity = min(quantity, abs(position.quantity))
        takes = self.state.shaped(order, [(order.price, quantity)] if quantity else [])
        for price, share in takes:
            self.ledger.fill(contract, order, price, share, at_ms, is_maker=True)
        stays = self.state.faults.is_held("futures", order.symbol, order.order_id)
        if order.is_open and not stays:
            order.status = "EXPIRED"
            tell_order(self.books.feed, order, "EXPIRED", at_ms, expired=REDUCES_NOTHING)
        self._settle(order, at_ms)

    def _position_changed(self, account_id: int, symbol: str, at_ms: int) -> None:
        """End reduce-only orders that reduce nothing, and what was to last as long as the position."""
        position = self.ledger.position(account_id, self.state.contracts[symbol])
        for order in self.books.open_orders(account_id, symbol):
            reduces = position.quantity * (1 if order.side == "SELL" else -1) > 0
            if order.reduce_only and not reduces:
                self.state.end_order(order, "EXPIRED", at_ms, REDUCES_NOTHING)
        if not position.quantity:
            for algo in self.books.live_algos(account_id, symbol):
                if algo.status == "NEW" and algo.time_in_force == "GTE_GTC":
                    self.state.end_algo(algo, "EXPIRED", at_ms, "position closed")

    # -- conditional orders

    def _trigger_last(self, algo: AlgoOrder, touch: Touch) -> None:
        self._trigger(algo, touch, self.state.on_tick(self.state.contracts[algo.symbol], touch.price))

    def _trigger_mark(self, algo: AlgoOrder, touch: Touch) -> None:
        self._trigger(algo, touch, ZERO)

    def _trigger(self, algo: AlgoOrder, touch: Touch, last: Decimal) -> None:
        algo.status = "TRIGGERING"
        algo.trigger_ms = algo.update_ms = touch.at_ms
        algo.due_ms = touch.at_ms + self.trigger_delay_ms
        self.books.save_algo(algo)
        if not self.trigger_delay_ms:
            self._place(algo, last)

    def _place(self, algo: AlgoOrder, last: Decimal = ZERO) -> None:
        """Make a triggered conditional order an order, or REJECTED: nothing to reduce, no margin."""
        contract, at_ms = self.state.contracts[algo.symbol], algo.due_ms
        position = self.ledger.position(algo.account_id, contract)
        reduces = algo.reduce_only or algo.close_position
        quantity = abs(position.quantity) if algo.close_position else algo.quantity
        if reduces:
            quantity = min(quantity, abs(position.quantity))
        is_market = algo.type.endswith("_MARKET")
        force = "GTC" if is_market or algo.time_in_force == "GTE_GTC" else algo.time_in_force
        kind = "MARKET" if is_market else "LIMIT"
        new = NewFutures(contract, algo.side, kind, algo.client_id, force, quantity, algo.price, reduces)
        try:
            takes = self.state.takes(contract, algo.side, quantity, algo.price, at_ms, last)
            self._check_triggered(position, new, takes, at_ms)
        except ApiError as error:
            self.state.end_algo(algo, "REJECTED", at_ms, error.message)
            return
        self.take(self.state.create(algo.account_id, new, quantity, at_ms, algo), takes, at_ms)

    def _check_triggered(self, position: Position, new: NewFutures, takes: Takes, at_ms: int) -> None:
        closes = position.quantity * (1 if new.side == "SELL" else -1) > 0
        if new.reduce_only:
            if not closes:
                raise refused(-2022)
            return
        opening = new.quantity - (min(new.quantity, abs(position.quantity)) if closes else ZERO)
        price = takes[-1][0] if takes else new.price
        need = opening * price / position.leverage + new.quantity * price * self.ledger.taker_rate
        if opening and need > self.state.available(position.account_id, at_ms):
            raise refused(-2019)
        taken = sum((share for _, share in takes), ZERO)
        if (new.time_in_force == "FOK" and taken < new.quantity) or (new.time_in_force == "GTX" and takes):
            raise refused(-5021 if new.time_in_force == "FOK" else -5022)

    # -- funding and liquidation

    def _fund(self, contract: Contract, at_ms: int) -> None:
        """Longs pay rate x notional at the mark price when the rate is positive, shorts receive it."""
        rate = self.rates.rate(contract.symbol, at_ms)
        for position in self.books.held(contract.symbol):
            mark = self.state.mark_of(position, at_ms)
            amount = -rounded(position.quantity * mark * rate)
            if position.is_isolated:
                position.isolated_wallet += amount
                self.books.save_position(position)
            self.ledger.pay(position.account_id, "FUNDING_FEE", amount, at_ms, contract.symbol)
            moved = position if position.is_isolated else None
            self.ledger.tell_account(position.account_id, "FUNDING_FEE", at_ms, moved, amount)

    def _crossed(self, position: Position, touch: Touch) -> None:
        self.liquidate(position, touch.at_ms)

    def liquidate(self, position: Position, at_ms: int, *, by_adl: bool = False) -> FuturesOrder:
        """Take a position over at its bankruptcy price, after cancelling the account's orders in it.

        No fee is taken. Rounding to the tick is in favour of the account. Auto-deleveraging closes at the
        mark price instead.
        """
        contract = self.state.contracts[position.symbol]
        is_long = position.quantity > 0
        if by_adl:
            return self._force_closed(position, self.state.mark_of(position, at_ms), "adl_autoclose", at_ms)
        exact = self.state.bankruptcy_price(position, at_ms)
        tick = contract.spec.tick
        price = (exact / tick).to_integral_value(ROUND_CEILING if is_long else ROUND_FLOOR) * tick
        return self._force_closed(position, price, "autoclose-", at_ms)

    def settle_position(self, position: Position, at_ms: int) -> FuturesOrder:
        """Close a position of a contract that ends, at the mark price."""
        price = self.state.mark_of(position, at_ms)
        return self._force_closed(position, price, "settlement_autoclose-", at_ms)

    def _force_closed(self, position: Position, price: Decimal, name: str, at_ms: int) -> FuturesOrder:
        contract = self.state.contracts[position.symbol]
        for order in self.books.open_orders(position.account_id, position.symbol):
            self.state.end_order(order, "CANCELED", at_ms, LIQUIDATED)
        side, quantity = "SELL" if position.quantity > 0 else "BUY", abs(position.quantity)
        new = NewFutures(contract, side, "LIMIT", "", "IOC", quantity, price, reduce_only=False)
        order = self.state.create(position.account_id, new, quantity, at_ms)
        order.client_id = f"{name}{order.order_id}" if name.endswith("-") else name
        tell_order(self.books.feed, order, "NEW", at_ms)
        self.ledger.fill(contract, order, price, quantity, at_ms, rate=ZERO)
        self._settle(order, at_ms)
        return order
