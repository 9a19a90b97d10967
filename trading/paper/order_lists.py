"""Order lists of spot: OCO, and OTOCO and OPOCO, whose pair waits for a working order."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

from trading.paper.books import Account
from trading.paper.errors import DUPLICATE, INSUFFICIENT, ApiError, rejected
from trading.paper.filters import NewOrder, check_counts, check_lists, check_order, check_prices
from trading.paper.orders import LIMIT_TYPES, PENDING, STOP_TYPES, ZERO, Fill, Order, OrderList
from trading.paper.spot_events import tell_list, tell_order
from trading.paper.symbols import SymbolSpec

if TYPE_CHECKING:
    from trading.paper.engine import Engine

WRONG_PRICES = "The relationship of the prices for the orders is not correct."
OCO_TRIGGER, PHASE_ONE, REJECTED = "OCO_TRIGGER", "OTO_PHASE_ONE_EXPIRED", "REJECTED"


class OrderLists:
    """The part of the engine that knows lists. Methods that change something run inside a transaction."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.books = engine.books
        self.ledger = engine.ledger

    # -- placing

    def place_oco(
        self, account: Account, above: NewOrder, below: NewOrder, list_client_id: str, now_ms: int
    ) -> tuple[OrderList, list[Order]]:
        """Accept two orders of which one cancels the other. Raises ApiError and changes nothing."""
        spec = above.spec
        prices = self._check_pair(account, above, below, now_ms)
        self._check_ids(account, [above, below], list_client_id)
        self._check_counts(account, [above, below])
        if not _is_above(above, max(prices)) or _is_above(below, min(prices)):
            raise rejected(WRONG_PRICES)
        for new in (above, below):
            self.engine.refuse_poor(account, new, [])
        with self.books.transaction():
            one = self._open_list(account, "OCO", list_client_id, spec.symbol, now_ms)
            legs = [self.engine.create(account, new, now_ms, one.list_id) for new in (below, above)]
            one.order_ids = [leg.order_id for leg in legs]
            self.engine.counts.add(account.id, now_ms, 2)
            # both legs stand for the same money: the first one holds what the dearer of them needs
            self.ledger.lock(account, spec, legs[0], max(map(self.ledger.needed, legs)))
            self._announce(one, legs, now_ms)
            self.engine.save_looked(spec.symbol, now_ms)
        return one, legs

    def place_contingent(
        self,
        account: Account,
        kind: str,
        working: NewOrder,
        pair: tuple[NewOrder, NewOrder],
        list_client_id: str,
        now_ms: int,
    ) -> tuple[OrderList, list[Order], list[Fill]]:
        """Accept an OTOCO or OPOCO: `pair` is (above, below). Raises ApiError and changes nothing."""
        spec, engine = working.spec, self.engine
        price = engine.check(account, working, now_ms)
        for leg in pair:
            engine.refuse_type(leg)
            check_prices(leg)
        self._check_ids(account, [working, *pair], list_client_id)
        self._check_counts(account, [working, *pair])
        if not _limit_of(pair[0]) > _limit_of(pair[1]):
            raise rejected(WRONG_PRICES)
        takes = engine.takes(working, price, now_ms)
        engine.refuse_poor(account, working, takes)
        with self.books.transaction():
            one = self._open_list(account, kind, list_client_id, spec.symbol, now_ms)
            order = engine.create(account, working, now_ms, one.list_id)
            legs = [engine.create(account, new, now_ms, one.list_id) for new in reversed(pair)]
            for waiting in legs:
                waiting.status, waiting.working_ms = PENDING, -1
            one.order_ids = [order.order_id, *(leg.order_id for leg in legs)]
            engine.counts.add(account.id, now_ms, 3)
            self.ledger.lock(account, spec, order, self.ledger.needed(order))
            self._announce(one, [order, *legs], now_ms)
            fills = engine.take(account, order, takes, now_ms)
            engine.after_taking(account, order, now_ms)
            engine.save_looked(spec.symbol, now_ms)
        return one, [order, *legs], fills

    def _check_pair(self, account: Account, above: NewOrder, below: NewOrder, now_ms: int) -> set[Decimal]:
        try:
            return {self.engine.check(account, leg, now_ms) for leg in (above, below)}
        except ApiError as error:
            if error.message.startswith("Order would"):
                raise rejected(WRONG_PRICES) from error
            raise

    def _check_ids(self, account: Account, news: list[NewOrder], list_client_id: str) -> None:
        """Every id is unique among the open orders, the list's among the open lists."""
        ids = [new.client_id for new in news]
        taken = {order.client_id for order in self.books.open_orders(account, news[0].spec.symbol)}
        lists = {one.client_id for one in self.books.lists.values() if one.account_id == account.id}
        if len(set(ids)) < len(ids) or taken & set(ids) or list_client_id in lists:
            raise rejected(DUPLICATE)

    def _check_counts(self, account: Account, news: list[NewOrder]) -> None:
        spec = news[0].spec
        check_counts(spec, self.books.open_orders(account, spec.symbol), [new.type for new in news])
        mine = [
            one
            for one in self.books.lists.values()
            if (one.account_id, one.symbol) == (account.id, spec.symbol)
        ]
        check_lists(spec, len(mine) + 1)

    def _open_list(self, account: Account, kind: str, client_id: str, symbol: str, now_ms: int) -> OrderList:
        return OrderList(self.books.next_id("list"), account.id, symbol, client_id, now_ms, kind=kind)

    def _announce(self, one: OrderList, orders: list[Order], now_ms: int) -> None:
        for order in orders:
            self.books.save_order(order)
            tell_order(self.books.feed, order, "NEW", now_ms)
        self.books.save_list(one)
        tell_list(self.books.feed, one, orders, now_ms)

    # -- while it lives

    def _live(self, one: OrderList, ids: list[int]) -> list[Order]:
        live = self.books.open.get(one.symbol, {})
        return [live[order_id] for order_id in ids if order_id in live]

    def started(self, account: Account, order: Order, at_ms: int) -> None:
        """An order of a pair fills or triggers: the other one expires, and leaves it what both kept back."""
        one = self.books.lists.get(order.list_id)
        if one is None or order.order_id not in one.pair_ids:
            return
        for sibling in self._live(one, one.pair_ids):
            if sibling is order:
                continue
            order.locked, sibling.locked = order.locked + sibling.locked, ZERO
            self.engine.end(account, sibling, "EXPIRED", at_ms, OCO_TRIGGER)
            spec = self.engine.market.specs[order.symbol]
            self.ledger.release(account, spec, order, self.ledger.needed(order))

    def filled(self, account: Account, order: Order, fill: Fill) -> None:
        """A working order of an OPOCO received something: it is kept back for the pair.

        The commission comes out of what is free where there is enough of it, otherwise out of what was
        received (opo.md).
        """
        one = self.books.lists.get(order.list_id)
        if one is None or one.kind != "OPOCO" or order.order_id != one.working_id:
            return
        spec = self.engine.market.specs[order.symbol]
        holder = self._live(one, one.pair_ids)[0]
        cost = fill.commission if fill.commission_asset == spec.base else ZERO
        free = account.balance(spec.base).free
        keep = fill.quantity if free >= fill.quantity else fill.quantity - cost
        self.ledger.lock(account, spec, holder, keep)
        self.books.save_order(holder)

    def working_ended(self, account: Account, order: Order, at_ms: int) -> None:
        """A working order is done: filled, its pair goes onto the book; otherwise the pair expires."""
        one = self.books.lists.get(order.list_id)
        if one is None or order.order_id != one.working_id or order.is_open:
            return
        legs = self._live(one, one.pair_ids)
        if order.status != "FILLED":
            for leg in legs:
                self.engine.end(account, leg, "EXPIRED", at_ms, PHASE_ONE)
            return
        try:
            self._activate(account, one, legs, at_ms)
        except ApiError:
            for leg in legs:
                self.engine.end(account, leg, "EXPIRED", at_ms, REJECTED)

    def _activate(self, account: Account, one: OrderList, legs: list[Order], at_ms: int) -> None:
        """Put a pair onto the book with its final quantity. Raises ApiError when the engine refuses it."""
        spec = self.engine.market.specs[one.symbol]
        holder = legs[0]
        for leg in legs:
            if one.kind == "OPOCO":
                leg.quantity = _fitting(holder.locked, leg, spec.filters)
        price = self.engine.last_price(one.symbol, at_ms) or ZERO
        average = self.engine.average_price(one.symbol, at_ms)
        news = [_as_new(leg, spec) for leg in legs]
        for new in news:
            if new.quantity <= 0:
                raise rejected("Price * QTY is zero or less.")
            check_order(new, average, price)
            self.engine.refuse_price(new, price)
        below, above = news
        if not _is_above(above, price) or _is_above(below, price):
            raise rejected(WRONG_PRICES)
        need = max(map(self.ledger.needed, legs))
        if holder.locked < need:
            self._lock_more(account, holder, need - holder.locked)
        for leg in legs:
            leg.status, leg.update_ms = "NEW", at_ms
            leg.working_ms = -1 if leg.type in STOP_TYPES else at_ms
            if leg is holder:
                self.ledger.release(account, spec, holder, need)
            self.books.save_order(leg)
            tell_order(self.books.feed, leg, "NEW", at_ms)

    def _lock_more(self, account: Account, holder: Order, amount: Decimal) -> None:
        spec = self.engine.market.specs[holder.symbol]
        asset = spec.base if holder.side == "SELL" else spec.quote
        if account.balance(asset).free < amount:
            raise rejected(INSUFFICIENT)
        self.ledger.lock(account, spec, holder, amount)

    def settle(self, order: Order, at_ms: int) -> None:
        """Close a list when nothing of it is open."""
        one = self.books.lists.get(order.list_id)
        if one is None or self._live(one, one.order_ids):
            return
        one.status, one.time_ms = "ALL_DONE", at_ms
        self.books.save_list(one)
        if self.books.feed.listens("spot", one.account_id):
            ids = ", ".join(str(order_id) for order_id in one.order_ids)
            orders = self.books.orders(f"symbol = ? AND order_id IN ({ids}) ORDER BY order_id", (one.symbol,))
            tell_list(self.books.feed, one, orders, at_ms)


def _is_above(leg: NewOrder, price: Decimal) -> bool:
    return _limit_of(leg) > price


def _limit_of(leg: NewOrder) -> Decimal:
    """The price that counts in the relationship of a pair (rest-api.md, OCO, "Price restrictions")."""
    by_price = leg.type in ("LIMIT_MAKER", "TAKE_PROFIT_LIMIT")
    return leg.price if by_price else leg.stop_price


def _as_new(order: Order, spec: SymbolSpec) -> NewOrder:
    return NewOrder(
        spec=spec,
        side=order.side,
        type=order.type,
        time_in_force=order.time_in_force,
        client_id=order.client_id,
        quantity=order.quantity,
        price=order.price,
        stop_price=order.stop_price,
        iceberg_quantity=order.iceberg_quantity,
    )


def _fitting(quantity: Decimal, leg: Order, filters: dict[str, dict[str, Any]]) -> Decimal:
    """A quantity adjusted to LOT_SIZE, and to MARKET_LOT_SIZE for what trades at the market."""
    names = ["LOT_SIZE"] if leg.type in LIMIT_TYPES else ["LOT_SIZE", "MARKET_LOT_SIZE"]
    for name in names:
        row = filters.get(name)
        if row is None:
            continue
        most, step = Decimal(str(row["maxQty"])), Decimal(str(row["stepSize"]))
        if most:
            quantity = min(quantity, most)
        if step:
            quantity = (quantity / step).to_integral_value(ROUND_FLOOR) * step
    return quantity
