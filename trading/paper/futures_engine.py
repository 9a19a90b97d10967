"""The futures engine: orders and conditional orders against the price path, funding and liquidation.

What rests is looked at lazily, like on spot: whoever asks about a contract makes the engine go along the path
since the last look. The earliest event is booked at its own time (`futures_events`), then the search goes on
from there, so that the result does not depend on how often somebody looks.
"""

from __future__ import annotations

from decimal import Decimal

from trading.paper.books import Account
from trading.paper.errors import ApiError
from trading.paper.futures_books import FuturesBooks
from trading.paper.futures_contracts import Contract
from trading.paper.futures_errors import refused
from trading.paper.futures_events import Events
from trading.paper.futures_funding import FundingRates
from trading.paper.futures_ledger import FuturesLedger, rounded
from trading.paper.futures_margin import open_sides
from trading.paper.futures_ordering import (
    NewAlgo,
    NewFutures,
    check_notional,
    check_percent,
    check_price,
    check_quantity,
    check_taking,
)
from trading.paper.futures_orders import AlgoOrder, FuturesFill, FuturesOrder, Position
from trading.paper.futures_state import FuturesState
from trading.paper.futures_user_events import DELISTED, leverage_update
from trading.paper.limits import OrderCounts
from trading.paper.orderbook import floor_to
from trading.paper.orders import ZERO

MOST_ALGOS = 200  # conditional orders of an account over all symbols
Takes = list[tuple[Decimal, Decimal]]


class FuturesEngine:
    """One per exchange. Methods are synchronous, so a request is atomic; `now_ms` is server time."""

    def __init__(
        self, state: FuturesState, ledger: FuturesLedger, rates: FundingRates, counts: OrderCounts
    ) -> None:
        self.state = state
        self.ledger = ledger
        self.rates = rates
        self.counts = counts
        self.books: FuturesBooks = state.books
        self.events = Events(state, ledger, rates)

    def advance(self, symbol: str, now_ms: int) -> None:
        """Book everything that happened to a contract up to now."""
        self.events.advance(symbol, now_ms)

    def advance_all(self, now_ms: int) -> None:
        """Book everything that happened to every contract in which there is something."""
        self.events.advance_all(now_ms)

    # -- placing

    def check(self, account: Account, new: NewFutures, now_ms: int) -> tuple[Decimal, Takes]:
        """Everything that can refuse an order; (quantity, what it takes at once) if nothing does.

        A reduce-only order is cut to what there is to reduce. Raises ApiError and changes nothing.
        """
        contract = new.contract
        self.advance(contract.symbol, now_ms)
        mark = self.state.mark_price(contract, now_ms)
        if mark is None or self.state.status(contract.symbol) != "TRADING":
            raise refused(-4140)
        self._check_filters(new, mark)
        orders = self.books.open_orders(account.id, contract.symbol)
        if any(order.client_id == new.client_id for order in orders):
            raise refused(-4116)
        most = contract.spec.filters.get("MAX_NUM_ORDERS", {}).get("limit")
        if most is not None and not new.is_market and len(orders) >= int(most):
            raise refused(-2025)
        position = self.ledger.position(account.id, contract)
        quantity = new.quantity
        if new.reduce_only:
            quantity = self._reducible(position, new, orders, now_ms)
        takes = self.state.takes(contract, new.side, quantity, new.price, now_ms)
        self._check_force(new, quantity, takes)
        if new.is_market and takes:
            check_taking(contract, new.side, takes[0][0], mark)
        if not new.reduce_only:
            self._check_margin(account, new, position, takes, mark, now_ms)
        return quantity, takes

    @staticmethod
    def _check_filters(new: NewFutures, mark: Decimal) -> None:
        check_quantity(new.contract, new.quantity, is_market=new.is_market)
        if not new.is_market:
            check_price(new.contract, new.price)
            check_percent(new.contract, new.side, new.price, mark)
        if not new.reduce_only:
            check_notional(new.contract, new.quantity, mark if new.is_market else new.price)

    def _reducible(
        self, position: Position, new: NewFutures, orders: list[FuturesOrder], now_ms: int
    ) -> Decimal:
        """How much of a reduce-only order there is to reduce: -2022 if nothing, -4118 if others open more."""
        if position.quantity == 0 or (position.quantity > 0) == (new.side == "BUY"):
            raise refused(-2022)
        size = abs(position.quantity)
        mine = [order for order in orders if order.side == new.side]
        reducing = sum((order.remaining for order in mine if order.reduce_only), ZERO)
        if not new.is_market and reducing >= size:
            raise refused(-2022)
        others = sum((order.remaining for order in mine if not order.reduce_only), ZERO)
        quantity = min(new.quantity, size)
        if others and others + quantity > size:
            excess = (others + quantity - size) * max(order.price for order in mine)
            if excess / position.leverage > self.state.available(position.account_id, now_ms):
                raise refused(-4118)
        return quantity

    def _check_force(self, new: NewFutures, quantity: Decimal, takes: Takes) -> None:
        if new.time_in_force == "GTX" and takes:
            raise refused(-5022)
        taken = sum((share for _, share in takes), ZERO)
        if new.time_in_force == "FOK" and taken < quantity:
            raise refused(-5021)

    def _check_margin(
        self,
        account: Account,
        new: NewFutures,
        position: Position,
        takes: Takes,
        mark: Decimal,
        now_ms: int,
    ) -> None:
        """-2027 beyond the bracket's notional, -2019 without the money for margin and fee."""
        orders = self.books.open_orders(account.id, new.contract.symbol)
        taken = sum((share for _, share in takes), ZERO)
        worth = sum((price * share for price, share in takes), ZERO)
        price = new.price if not new.is_market else worth / taken if taken else mark
        before = open_sides(position, orders)
        after = open_sides(position, orders, (new.side, new.quantity, price))
        signed = 1 if new.side == "BUY" else -1
        resting = after.buy_quantity if new.side == "BUY" else after.sell_quantity
        size = abs(position.quantity + signed * resting)
        opens = after.buy_notional if new.side == "BUY" else after.sell_notional
        if opens and size * mark > new.contract.most_notional(position.leverage):
            raise refused(-2027)
        need = after.margin(position.leverage) - before.margin(position.leverage)
        if need <= 0:
            return
        freed = ZERO
        if new.is_market and position.quantity * signed < 0:  # it closes the position before it opens
            freed = position.isolated_wallet + position.profit(price)
        need += rounded(new.quantity * price * self.ledger.taker_rate)
        if need > self.state.available(account.id, now_ms) + freed:
            raise refused(-2019)

    def place(self, account: Account, new: NewFutures, now_ms: int) -> tuple[FuturesOrder, list[FuturesFill]]:
        """Accept an order and match it at once as far as it goes. Raises ApiError and changes nothing."""
        quantity, takes = self.check(account, new, now_ms)
        with self.books.transaction():
            self.counts.add(account.id, now_ms)
            order = self.state.create(account.id, new, quantity, now_ms)
            fills = self.events.take(order, takes, now_ms)
        self.events.seen(order.symbol, now_ms)
        return order, fills

    # -- conditional orders

    def place_algo(self, account: Account, new: NewAlgo, now_ms: int) -> AlgoOrder:
        """Accept a conditional order; margin is looked at when it triggers. Raises ApiError."""
        contract = new.contract
        self.advance(contract.symbol, now_ms)
        self._check_algo(account, new, now_ms)
        with self.books.transaction():
            self.counts.add(account.id, now_ms)
            algo = AlgoOrder(
                algo_id=self.books.next_id("algo"),
                symbol=contract.symbol,
                account_id=account.id,
                client_id=new.client_id,
                side=new.side,
                type=new.type,
                time_in_force=new.time_in_force,
                quantity=new.quantity,
                price=new.price,
                trigger_price=new.trigger_price,
                working_type=new.working_type,
                close_position=new.close_position,
                reduce_only=new.reduce_only,
                price_protect=new.price_protect,
                time_ms=now_ms,
                update_ms=now_ms,
            )
            self.books.save_algo(algo)
            self.state.save_looked(contract.symbol, now_ms)
        return algo

    def _check_algo(self, account: Account, new: NewAlgo, now_ms: int) -> None:
        contract = new.contract
        if self.state.status(contract.symbol) != "TRADING":
            raise refused(-4140)
        check_price(contract, new.trigger_price, is_trigger=True)
        if not new.close_position:
            check_quantity(contract, new.quantity, is_market=new.type.endswith("_MARKET"))
        if not new.type.endswith("_MARKET"):
            check_price(contract, new.price)
        live = self.books.live_algos(account.id)
        if len(live) >= MOST_ALGOS:
            raise refused(-4045)
        if any(one.client_id == new.client_id for one in live):
            raise refused(-4116)
        same = (one for one in live if one.symbol == contract.symbol and one.close_position)
        if new.close_position and any((one.side, one.type) == (new.side, new.type) for one in same):
            raise refused(-4130)
        watched = self.state.watched_price(contract, new.working_type, now_ms)
        if watched is None:
            raise refused(-4140)
        waits_for_fall = (new.side == "SELL") == new.type.startswith("STOP")
        if watched <= new.trigger_price if waits_for_fall else watched >= new.trigger_price:
            raise refused(-2021)

    def cancel_algo(self, algo: AlgoOrder, now_ms: int) -> AlgoOrder:
        """Cancel a conditional order that has not triggered; -2011 if it has, or has ended."""
        self.advance(algo.symbol, now_ms)
        if algo.status != "NEW":
            raise refused(-2011)
        with self.books.transaction():
            self.state.end_algo(algo, "CANCELED", now_ms)
        return algo

    # -- cancelling

    def cancel(self, order: FuturesOrder, now_ms: int) -> FuturesOrder:
        """Cancel an open order; -2011 if it is not open."""
        self.advance(order.symbol, now_ms)
        share = self.state.faults.race(self.state.target_of(order)) if order.is_open else ZERO
        if share:
            lot = self.state.contracts[order.symbol].spec.lot
            self.events.fill_now(order, max(lot, floor_to(order.remaining * share, lot)), now_ms)
        if not order.is_open:
            raise refused(-2011)
        with self.books.transaction():
            self.state.end_order(order, "CANCELED", now_ms)
        return order

    def settle_all(self, symbol: str, now_ms: int) -> None:
        """A contract ends: its orders expire, and its positions are closed at the mark price."""
        with self.books.transaction():
            for order in list(self.books.open.get(symbol, {}).values()):
                self.state.end_order(order, "EXPIRED", now_ms, DELISTED)
            for algo in list(self.books.live.get(symbol, {}).values()):
                self.state.end_algo(algo, "EXPIRED", now_ms, "symbol delisted")
            for position in self.books.held(symbol):
                self.events.settle_position(position, now_ms)

    # -- settings

    def set_leverage(self, account: Account, contract: Contract, leverage: int, now_ms: int) -> Position:
        """Change the leverage: -4028 beyond the brackets, -2027 for a large position, -4161 isolated."""
        self.advance(contract.symbol, now_ms)
        position = self.ledger.position(account.id, contract)
        if not 1 <= leverage <= contract.most_leverage:
            raise ApiError(-4028, f"Leverage {leverage} is not valid")
        mark = self.state.mark_price(contract, now_ms) or ZERO
        if position.quantity and position.is_isolated and leverage < position.leverage:
            raise refused(-4161)
        if abs(position.quantity) * mark > contract.most_notional(leverage):
            raise refused(-2027)
        before = position.leverage
        position.leverage = leverage
        if leverage < before and self.state.available(account.id, now_ms, allow_negative=True) < 0:
            position.leverage = before
            raise ApiError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
        with self.books.transaction():
            self.books.save_position(position)
            event = leverage_update(contract.symbol, leverage, now_ms)
            self.books.feed.tell("futures", account.id, event)
        return position

    def set_margin_type(self, account: Account, contract: Contract, kind: str, now_ms: int) -> None:
        """Change the margin type: -4046 already so, -4047 with open orders, -4048 with a position."""
        self.advance(contract.symbol, now_ms)
        position = self.ledger.position(account.id, contract)
        if position.margin_type == kind:
            raise refused(-4046)
        if self.books.open_orders(account.id, contract.symbol):
            raise refused(-4047)
        if position.quantity:
            raise refused(-4048)
        position.margin_type = kind
        with self.books.transaction():
            self.books.save_position(position)
            self.ledger.tell_account(account.id, "MARGIN_TYPE_CHANGE", now_ms, position)

    def set_dual(self, account: Account, is_dual: bool, now_ms: int) -> None:
        """Change the position mode: -4059 already so, -4067 with open orders, -4068 with a position."""
        self.advance_all(now_ms)
        wallet = self.books.wallets[account.id]
        if wallet.is_dual == is_dual:
            raise refused(-4059)
        if self.books.open_orders(account.id) or self.books.live_algos(account.id):
            raise refused(-4067)
        if any(one.quantity for one in self.books.positions_of(account.id)):
            raise refused(-4068)
        wallet.is_dual = is_dual
        with self.books.transaction():
            self.books.save_wallet(wallet)
