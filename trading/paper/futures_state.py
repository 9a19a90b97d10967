"""What futures look like now: contracts and their prices and status, and the margin of an account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from trading.paper.engine import Engine
from trading.paper.fault_model import Target
from trading.paper.futures_books import FuturesBooks
from trading.paper.futures_contracts import Contract
from trading.paper.futures_ledger import FuturesLedger, rounded
from trading.paper.futures_margin import OpenSides, bankruptcy_price, liquidation_price, open_sides
from trading.paper.futures_ordering import NewFutures
from trading.paper.futures_orders import ALGO_LIVE, LAST, AlgoOrder, FuturesOrder, Position
from trading.paper.futures_user_events import NO_REASON, tell_order
from trading.paper.market import Market
from trading.paper.orders import ZERO
from trading.paper.overlay import OverlayMarket

Takes = list[tuple[Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class Margin:
    """One account's money at one moment, in USDT."""

    wallet: Decimal
    cross_wallet: Decimal
    profit: Decimal
    cross_profit: Decimal
    position_margin: Decimal  # initial margin of all positions at the mark price
    cross_margin: Decimal  # the part of it that cross positions need
    order_margin: Decimal
    maintenance: Decimal

    @property
    def available(self) -> Decimal:
        """What new positions can be opened with; below zero when the account has lost it."""
        return self.cross_wallet + self.cross_profit - self.cross_margin - self.order_margin


class FuturesState:
    """Contracts, prices and margins. `markets` are those of traded prices and of mark prices.

    Book, switches, faults and conditions are those of the `spot` engine.
    """

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        markets: tuple[OverlayMarket, OverlayMarket],
        books: FuturesBooks,
        ledger: FuturesLedger,
        spot: Engine,
    ) -> None:
        self.contracts = contracts
        self.market, self.marks = markets
        self.books = books
        self.ledger = ledger
        self.book = spot.book
        self.resting_off = spot.resting_off
        self.faults, self.conditions = spot.faults, spot.conditions
        states = books.symbol_states()
        self._status = {symbol: status for symbol, (status, _) in states.items() if status}
        self.looked = {symbol: looked for symbol, (_, looked) in states.items() if looked}

    def unlisted(self) -> list[str]:
        """Symbols in which the books have something and that are no contracts here."""
        held = {one.symbol for one in self.books.positions.values() if one.quantity}
        busy = {symbol for symbol, rows in self.books.open.items() if rows}
        busy |= {symbol for symbol, rows in self.books.live.items() if rows}
        return sorted((held | busy) - set(self.contracts))

    # -- prices and status

    def status(self, symbol: str) -> str:
        """TRADING or SETTLING: as listed, as set by hand, or by a condition."""
        if self.conditions.status("futures", symbol) is not None:
            return "SETTLING"
        listed = self.contracts[symbol].spec.status
        return "TRADING" if self._status.get(symbol, listed) == "TRADING" else "SETTLING"

    def set_status(self, symbol: str, status: str, now_ms: int) -> None:
        """Halt or resume a contract, in the words of spot. The caller has looked at it up to now."""
        self._status[symbol] = status
        with self.books.transaction():
            self.save_looked(symbol, now_ms)

    def save_looked(self, symbol: str, at_ms: int) -> None:
        """Keep up to when a contract was looked at; inside a transaction."""
        self.looked[symbol] = at_ms
        self.books.save_symbol(symbol, self._status.get(symbol), at_ms)

    def _price(self, market: Market, contract: Contract, at_ms: int) -> Decimal | None:
        price = market.price(contract.underlying, at_ms)
        return None if price is None else self.on_tick(contract, price)

    @staticmethod
    def on_tick(contract: Contract, price: float) -> Decimal:
        """A price as an exact decimal on the contract's tick."""
        return Decimal(price).quantize(contract.spec.tick, ROUND_HALF_EVEN)

    def last_price(self, contract: Contract, at_ms: int) -> Decimal | None:
        """The last traded price; None before the first trade."""
        return self._price(self.market, contract, at_ms)

    def mark_price(self, contract: Contract, at_ms: int) -> Decimal | None:
        """The mark price: the last price, unless one was set by hand."""
        return self._price(self.marks, contract, at_ms)

    def watched_price(self, contract: Contract, working_type: str, at_ms: int) -> Decimal | None:
        """The price that triggers a conditional order of this working type."""
        return self.last_price(contract, at_ms) if working_type == LAST else self.mark_price(contract, at_ms)

    def takes(
        self,
        contract: Contract,
        side: str,
        quantity: Decimal,
        limit: Decimal,
        at_ms: int,
        last: Decimal = ZERO,
    ) -> Takes:
        """(price, quantity) of what an order would take. `limit` 0 is none, `last` 0 the price as it is."""
        price = last or self.last_price(contract, at_ms)
        found: Takes = []
        if not price:
            return found
        for level, available in self.book.levels(contract.spec, side, price, at_ms):
            if limit and (level > limit if side == "BUY" else level < limit):
                break
            share = min(quantity, available)
            if share <= 0:
                break
            found.append((level, share))
            quantity -= share
        return found

    # -- orders

    def create(
        self,
        account_id: int,
        new: NewFutures,
        quantity: Decimal,
        now_ms: int,
        algo: AlgoOrder | None = None,
    ) -> FuturesOrder:
        """A new order, not saved yet: `events.take` does that with what it gets."""
        return FuturesOrder(
            order_id=self.books.next_id("order"),
            symbol=new.contract.symbol,
            account_id=account_id,
            client_id=new.client_id,
            side=new.side,
            type=new.type,
            time_in_force=new.time_in_force,
            quantity=quantity,
            price=new.price,
            reduce_only=new.reduce_only,
            time_ms=now_ms,
            update_ms=now_ms,
            original_type=new.type if algo is None else algo.type,
            close_position=algo is not None and algo.close_position,
            stop_price=ZERO if algo is None else algo.trigger_price,
            working_type=LAST if algo is None else algo.working_type,
            algo_id=0 if algo is None else algo.algo_id,
        )

    def end_order(self, order: FuturesOrder, status: str, at_ms: int, expired: str = NO_REASON) -> None:
        """End an open order, and the conditional order that it came from."""
        order.status = status
        order.update_ms = at_ms
        self.books.save_order(order)
        tell_order(self.books.feed, order, status, at_ms, expired=expired)
        self.follow_algo(order, at_ms)

    def follow_algo(self, order: FuturesOrder, at_ms: int) -> None:
        """A conditional order is TRIGGERED as long as its order is open, and FINISHED then."""
        algo = self.books.live.get(order.symbol, {}).get(order.algo_id)
        if algo is None:
            return
        before = (algo.status, algo.actual_order_id, algo.actual_quantity)
        algo.actual_order_id = order.order_id
        algo.actual_price, algo.actual_quantity = order.average_price, order.executed
        algo.status = "TRIGGERED" if order.is_open else "FINISHED"
        if before != (algo.status, algo.actual_order_id, algo.actual_quantity):
            algo.update_ms = at_ms
            self.books.save_algo(algo)

    def end_algo(self, algo: AlgoOrder, status: str, at_ms: int, reason: str = "") -> None:
        """End a conditional order that became no order."""
        assert status not in ALGO_LIVE
        algo.status, algo.update_ms, algo.reason = status, at_ms, reason
        self.books.save_algo(algo)

    # -- margin

    def sides(self, position: Position) -> OpenSides:
        """What the account's resting orders in the position's contract would open."""
        return open_sides(position, self.books.open_orders(position.account_id, position.symbol))

    def mark_of(self, position: Position, at_ms: int) -> Decimal:
        """The mark price of a position's contract, its entry price where there is none."""
        return self.mark_price(self.contracts[position.symbol], at_ms) or position.entry_price

    def margin(self, account_id: int, at_ms: int) -> Margin:
        """The account's money at the mark prices of a moment."""
        profit = cross_profit = margin = cross_margin = orders = maintenance = ZERO
        for position in self.books.positions_of(account_id):
            orders += self.sides(position).margin(position.leverage)
            if not position.quantity:
                continue
            mark = self.mark_of(position, at_ms)
            notional = abs(position.quantity) * mark
            profit += position.profit(mark)
            margin += notional / position.leverage
            maintenance += self.contracts[position.symbol].maintenance(notional)
            if not position.is_isolated:
                cross_profit += position.profit(mark)
                cross_margin += notional / position.leverage
        orders += self._order_margin_elsewhere(account_id)
        wallet = self.books.wallets[account_id].balance
        cross = self.ledger.cross_wallet(account_id)
        parts = (profit, cross_profit, margin, cross_margin, orders, maintenance)
        return Margin(wallet, cross, *(rounded(part) for part in parts))

    def _order_margin_elsewhere(self, account_id: int) -> Decimal:
        """Of orders in contracts for which there is no row of the account's yet."""
        total = ZERO
        for symbol in self.books.open:
            orders = self.books.open_orders(account_id, symbol)
            if orders and (account_id, symbol) not in self.books.positions:
                position = self.ledger.position(account_id, self.contracts[symbol])
                total += open_sides(position, orders).margin(position.leverage)
        return total

    def available(self, account_id: int, at_ms: int, *, allow_negative: bool = False) -> Decimal:
        """What new positions can be opened with."""
        found = self.margin(account_id, at_ms).available
        return found if allow_negative else max(ZERO, found)

    def _backing(self, position: Position, at_ms: int, *, less_maintenance: bool) -> Decimal:
        """The money behind a position: its own, or for a cross one what the rest of the account adds."""
        if position.is_isolated:
            return position.isolated_wallet
        money = self.ledger.cross_wallet(position.account_id)
        for other in self.books.positions_of(position.account_id):
            if other is position or other.is_isolated or not other.quantity:
                continue
            mark = self.mark_of(other, at_ms)
            money += other.profit(mark)
            if less_maintenance:
                money -= self.contracts[other.symbol].maintenance(abs(other.quantity) * mark)
        return money

    def liquidation_price(self, position: Position, at_ms: int) -> Decimal:
        """The mark price that liquidates a position; 0 for none."""
        wallet = self._backing(position, at_ms, less_maintenance=True)
        return liquidation_price(self.contracts[position.symbol], position, wallet)

    def target_of(self, order: FuturesOrder) -> Target:
        """An order in the words that faults select by."""
        key = self.books.books.by_id[order.account_id].api_key
        return Target(market="futures", symbol=order.symbol, side=order.side, type=order.type, apiKey=key)

    def shaped(self, order: FuturesOrder, takes: Takes) -> Takes:
        """What an order gets instead of `takes` when a fault has it so."""
        return self.faults.shape(order, self.target_of(order), takes, self.contracts[order.symbol].spec.lot)

    def bankruptcy_price(self, position: Position, at_ms: int) -> Decimal:
        """The price at which a liquidated position is closed."""
        return bankruptcy_price(position, self._backing(position, at_ms, less_maintenance=False))
