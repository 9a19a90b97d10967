"""The matching engine: places, cancels and matches orders against the market's price path.

Resting orders are matched lazily: whoever asks about a symbol makes the engine look at the path since the
last look. A look finds the earliest touch, books it at its own time and goes on from there, so that the
result does not depend on how often somebody looks.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from trading.paper.books import Account, Books
from trading.paper.conditions import Conditions
from trading.paper.errors import CLOSED, DUPLICATE, INSUFFICIENT, cancel_rejected, rejected
from trading.paper.faults import FaultSwitch
from trading.paper.filters import NewOrder, check_counts, check_order, check_position
from trading.paper.ids import made_up_id
from trading.paper.klines import MINUTE_MS
from trading.paper.ledger import EIGHT, Ledger
from trading.paper.limits import OrderCounts
from trading.paper.market import Market, Touch
from trading.paper.matching import reached, target_of, thresholds, why_expired
from trading.paper.order_lists import OrderLists
from trading.paper.orderbook import OrderBook, floor_to
from trading.paper.orders import LIMIT_TYPES, STOP_TYPES, ZERO, Fill, Order
from trading.paper.spot_events import tell_order

AVERAGE_MINUTES = 5
NO_LIQUIDITY = "Order book liquidity is less than symbol minimum quantity."


class Engine:
    """One engine per exchange. Methods are synchronous, so a request is atomic; `now_ms` is server time."""

    def __init__(
        self,
        market: Market,
        books: Books,
        ledger: Ledger,
        book: OrderBook,
        counts: OrderCounts,
        faults: FaultSwitch,
        conditions: Conditions,
    ) -> None:
        self.market = market
        self.books = books
        self.ledger = ledger
        self.book = book
        self.counts = counts
        self.faults = faults
        self.conditions = conditions
        self.lists = OrderLists(self)
        states = books.symbol_states()
        self._status = {symbol: status for symbol, (status, _) in states.items() if status}
        self._looked = {symbol: looked for symbol, (_, looked) in states.items() if looked}
        self.resting_off: set[str] = set()  # symbols whose resting orders are not matched, by hand
        self._averages: dict[str, tuple[int, Decimal]] = {}

    # -- prices and status

    def status(self, symbol: str) -> str:
        """TRADING, or why it does not trade: as listed, as set by hand, or by a condition."""
        return self.conditions.status("spot", symbol) or self._status.get(
            symbol, self.market.specs[symbol].status
        )

    def set_status(self, symbol: str, status: str, now_ms: int) -> None:
        """Halt or resume a symbol. Orders that rest are matched up to now, and not while it is halted."""
        self.advance(symbol, now_ms)
        self._status[symbol] = status
        with self.books.transaction():
            self.books.save_symbol(symbol, status, now_ms)

    def last_price(self, symbol: str, now_ms: int) -> Decimal | None:
        """The last traded price as an exact decimal on the symbol's tick; None if it never traded."""
        spec = self.market.specs.get(symbol)
        price = None if spec is None else self.market.price(symbol, now_ms)
        if spec is None or price is None:
            return None
        return Decimal(price).quantize(spec.tick, ROUND_HALF_EVEN)

    def average_price(self, symbol: str, now_ms: int) -> Decimal:
        """Volume-weighted average over the last five closed minutes; the last price where there are none."""
        minute = now_ms // MINUTE_MS
        cached = self._averages.get(symbol)
        if cached is not None and cached[0] == minute:
            return cached[1]
        end = minute * MINUTE_MS
        bars = self.market.bars(symbol, end - AVERAGE_MINUTES * MINUTE_MS, end)
        volume = float(bars.volume.sum()) if len(bars) else 0.0
        if not volume:
            return self.last_price(symbol, now_ms) or ZERO
        average = Decimal(float((bars.close * bars.volume).sum()) / volume).quantize(EIGHT)
        self._averages[symbol] = (minute, average)
        return average

    # -- placing

    def check(self, account: Account, new: NewOrder, now_ms: int) -> Decimal:
        """Everything that can refuse an order but money; the last price if nothing does. Raises ApiError."""
        symbol = new.spec.symbol
        self.advance(symbol, now_ms)
        price = self.last_price(symbol, now_ms)
        if price is None or self.status(symbol) != "TRADING":
            raise rejected(CLOSED)
        check_order(new, self.average_price(symbol, now_ms), price)
        open_orders = self.books.open_orders(account, symbol)
        if new.type != "MARKET":
            check_counts(new.spec, open_orders, [new.type])
        if "MAX_POSITION" in new.spec.filters:
            held = account.balance(new.spec.base)
            buying = sum((order.remaining for order in open_orders if order.side == "BUY"), ZERO)
            check_position(new, held.free + held.locked, buying)
        self.refuse_type(new)
        if any(order.client_id == new.client_id for order in open_orders):
            raise rejected(DUPLICATE)
        self.refuse_price(new, price)
        return price

    @staticmethod
    def refuse_type(new: NewOrder) -> None:
        """-2010 for a type that the symbol does not have."""
        if new.type not in new.spec.order_types:
            name = new.type.replace("_", " ").capitalize()
            raise rejected(f"{name} orders are not supported for this symbol.")

    def refuse_price(self, new: NewOrder, price: Decimal) -> None:
        """-2010 for a stop that would trigger at once, and for a maker that would take."""
        if new.type in STOP_TYPES:
            waits_for_rise = (new.side == "BUY") == new.type.startswith("STOP_LOSS")
            if price >= new.stop_price if waits_for_rise else price <= new.stop_price:
                raise rejected("Order would trigger immediately.")
        if new.type == "LIMIT_MAKER":
            bid, ask = self.book.best(new.spec, price)
            if new.price >= ask if new.side == "BUY" else new.price <= bid:
                raise rejected("Order would immediately match and take.")

    def place(self, account: Account, new: NewOrder, now_ms: int) -> tuple[Order, list[Fill]]:
        """Accept an order and match it at once as far as it goes. Raises ApiError and changes nothing."""
        price = self.check(account, new, now_ms)
        takes = self.takes(new, price, now_ms)
        if new.quote_quantity and not takes:
            raise rejected(NO_LIQUIDITY)
        self.refuse_poor(account, new, takes)
        with self.books.transaction():
            order = self.create(account, new, now_ms)
            self.counts.add(account.id, now_ms)
            if new.type == "MARKET" and new.quote_quantity:
                order.quantity = sum((quantity for _, quantity in takes), ZERO)
            if new.type != "MARKET":
                self.ledger.lock(account, new.spec, order, self.ledger.needed(order))
            tell_order(self.books.feed, order, "NEW", now_ms)
            fills = self.take(account, order, takes, now_ms)
            self.after_taking(account, order, now_ms)
            self.save_looked(order.symbol, now_ms)
        return order, fills

    def save_looked(self, symbol: str, at_ms: int) -> None:
        """Keep up to when a symbol was looked at; inside a transaction."""
        self.books.save_symbol(symbol, self._status.get(symbol), at_ms)
        self._looked[symbol] = at_ms

    def create(self, account: Account, new: NewOrder, now_ms: int, list_id: int = -1) -> Order:
        """A new order, not saved yet."""
        return Order(
            symbol=new.spec.symbol,
            order_id=self.books.next_id("order", new.spec.symbol),
            account_id=account.id,
            client_id=new.client_id,
            side=new.side,
            type=new.type,
            time_in_force=new.time_in_force,
            quantity=new.quantity,
            price=new.price,
            stop_price=new.stop_price,
            quote_quantity=new.quote_quantity,
            iceberg_quantity=new.iceberg_quantity,
            time_ms=now_ms,
            update_ms=now_ms,
            list_id=list_id,
            working_ms=-1 if new.type in STOP_TYPES else now_ms,
        )

    def takes(self, new: NewOrder | Order, price: Decimal, now_ms: int) -> list[tuple[Decimal, Decimal]]:
        """(price, quantity) of what the order would take from the book now."""
        if new.type == "LIMIT_MAKER" or (isinstance(new, NewOrder) and new.type in STOP_TYPES):
            return []
        spec = new.spec if isinstance(new, NewOrder) else self.market.specs[new.symbol]
        wanted = new.quantity if isinstance(new, NewOrder) else new.remaining
        money = new.quote_quantity if new.type == "MARKET" else ZERO
        limit = new.price if new.type in LIMIT_TYPES else None
        takes: list[tuple[Decimal, Decimal]] = []
        for level, available in self.book.levels(spec, new.side, price, now_ms):
            if limit is not None and (level > limit if new.side == "BUY" else level < limit):
                break
            share = floor_to(money / level, spec.lot) if money else wanted
            quantity = min(share, available)
            if quantity <= 0:
                break
            takes.append((level, quantity))
            wanted -= quantity
            money -= quantity * level if money else ZERO
            if not money and wanted <= 0:
                break
        if new.time_in_force == "FOK" and wanted > 0:
            return []
        return takes

    def refuse_poor(self, account: Account, new: NewOrder, takes: list[tuple[Decimal, Decimal]]) -> None:
        """-2010 without the money for the order."""
        spec = new.spec
        if new.side == "SELL":
            quantity = new.quantity or sum((quantity for _, quantity in takes), ZERO)
            enough = account.balance(spec.base).free >= quantity
        elif new.type == "MARKET":
            cost = new.quote_quantity or sum((price * quantity for price, quantity in takes), ZERO)
            enough = account.balance(spec.quote).free >= cost
        else:
            price = new.price if new.type in LIMIT_TYPES else new.stop_price
            enough = account.balance(spec.quote).free >= price * new.quantity
        if not enough:
            raise rejected(INSUFFICIENT)

    def take(
        self, account: Account, order: Order, takes: list[tuple[Decimal, Decimal]], at_ms: int
    ) -> list[Fill]:
        """Fill an order at these prices, or as a fault has it; inside a transaction."""
        return self._fill(account, order, takes, at_ms, is_maker=False)

    def _fill(
        self,
        account: Account,
        order: Order,
        takes: list[tuple[Decimal, Decimal]],
        at_ms: int,
        *,
        is_maker: bool,
    ) -> list[Fill]:
        spec = self.market.specs[order.symbol]
        takes = self.faults.shape(order, target_of(order, account.api_key), takes, spec.lot)
        self._count_filled(order, takes)
        fills: list[Fill] = []
        for price, quantity in takes:
            fill = self.ledger.fill(account, spec, order, price, quantity, at_ms, is_maker=is_maker)
            self.lists.filled(account, order, fill)
            fills.append(fill)
        return fills

    def _count_filled(self, order: Order, takes: list[tuple[Decimal, Decimal]]) -> None:
        if takes and not order.executed:
            self.counts.filled(order.account_id, order.time_ms)

    def after_taking(self, account: Account, order: Order, at_ms: int) -> None:
        """End what cannot rest, keep back for the rest, save."""
        rests = order.type in LIMIT_TYPES and order.time_in_force == "GTC"
        if order.is_open and not rests and not order.waits_for_stop:
            self.end(account, order, "EXPIRED", at_ms, why_expired(order))
        else:
            self._settle(account, order, at_ms)

    def end(
        self, account: Account, order: Order, status: str, at_ms: int, reason: str = "", cancel_id: str = ""
    ) -> None:
        """End an open order: CANCELED, or EXPIRED for a reason; inside a transaction."""
        order.status, order.expiry_reason, order.update_ms = status, reason, at_ms
        tell_order(self.books.feed, order, status, at_ms, cancel_id=cancel_id)
        self._settle(account, order, at_ms)

    def _settle(self, account: Account, order: Order, at_ms: int) -> None:
        """Adjust what the order keeps back to what it needs, save it, and see to its list."""
        keep = self.ledger.needed(order) if order.is_open else ZERO
        self.ledger.release(account, self.market.specs[order.symbol], order, keep)
        order.update_ms = at_ms
        self.books.save_order(order)
        self.lists.working_ended(account, order, at_ms)
        self.lists.settle(order, at_ms)

    def fill_now(self, account: Account, order: Order, quantity: Decimal, now_ms: int) -> list[Fill]:
        """Fill so much of an open order at once: at its price, a stop at the last price."""
        has_price = order.type in LIMIT_TYPES
        price = order.price if has_price else self.last_price(order.symbol, now_ms) or order.stop_price
        with self.books.transaction():
            self.lists.started(account, order, now_ms)
            order.working_ms = now_ms if order.waits_for_stop else order.working_ms
            fills = self._fill(account, order, [(price, quantity)], now_ms, is_maker=has_price)
            self.after_taking(account, order, now_ms)
        return fills

    # -- cancelling

    def cancel(
        self, account: Account, order: Order, now_ms: int, restriction: str = "", cancel_id: str = ""
    ) -> list[Order]:
        """Cancel an open order and whatever shares its list; -2011 if it is not open."""
        self.advance(order.symbol, now_ms)
        self._race(account, order, now_ms)
        if not order.is_open:
            raise cancel_rejected()
        wanted = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}.get(restriction)
        if wanted is not None and order.status != wanted:
            raise cancel_rejected("Order was not canceled due to cancel restrictions.")
        orders, cancel_id = self._of_list(order), cancel_id or made_up_id()
        with self.books.transaction():
            # those that wait first: the end of a working order would expire them
            for each in sorted(orders, key=lambda one: not one.is_pending):
                self.end(account, each, "CANCELED", now_ms, cancel_id=cancel_id)
        return orders

    def _of_list(self, order: Order) -> list[Order]:
        one = self.books.lists.get(order.list_id)
        live = self.books.open.get(order.symbol, {})
        ids = [order.order_id] if one is None else one.order_ids
        return [live[order_id] for order_id in ids if order_id in live]

    def _race(self, account: Account, order: Order, now_ms: int) -> None:
        """Let a fault fill the order just before its cancel."""
        if not order.is_open or order.is_pending:
            return
        share = self.faults.race(target_of(order, account.api_key))
        if share:
            lot = self.market.specs[order.symbol].lot
            self.fill_now(account, order, max(lot, floor_to(order.remaining * share, lot)), now_ms)

    def expire_all(self, symbol: str, now_ms: int, reason: str) -> None:
        """The exchange ends everybody's orders of a symbol."""
        with self.books.transaction():
            for order in sorted(self.books.open.get(symbol, {}).values(), key=lambda one: not one.is_pending):
                if order.is_open:
                    self.end(self.books.by_id[order.account_id], order, "EXPIRED", now_ms, reason)

    # -- matching what rests

    def advance_all(self, now_ms: int) -> None:
        """Match every symbol that has resting orders up to `now_ms`."""
        for symbol in [symbol for symbol, live in self.books.open.items() if live]:
            self.advance(symbol, now_ms)

    def advance(self, symbol: str, now_ms: int) -> None:
        """Match the symbol's resting orders against the price path since the last look."""
        live = self.books.open.get(symbol)
        if not live:
            self._looked[symbol] = now_ms
            return
        since = self._looked.get(symbol, min(order.time_ms for order in live.values()))
        is_matched = self.status(symbol) == "TRADING" and symbol not in self.resting_off
        if is_matched and since < now_ms:
            while live:
                down, up = thresholds(self._matched(symbol))
                touch = self.market.first_touch(symbol, since, now_ms, down, up)
                if touch is None:
                    break
                since = touch.at_ms
                self._touched(symbol, touch)
        self._looked[symbol] = max(since, now_ms)

    def _matched(self, symbol: str) -> list[Order]:
        """The open orders that can trigger or fill, by id."""
        live = self.books.open.get(symbol, {})
        return [
            order
            for _, order in sorted(live.items())
            if not order.is_pending and not self.faults.is_held("spot", symbol, order.order_id)
        ]

    def _touched(self, symbol: str, touch: Touch) -> None:
        orders = self._matched(symbol)
        hit = [order for order in orders if reached(order, touch.price)]
        assert hit  # or the same touch would be found for ever
        with self.books.transaction():
            for order in hit:
                if order.is_open:  # not ended by one before it
                    self._hit(order, touch)
            self.books.save_symbol(symbol, self._status.get(symbol), touch.at_ms)

    def _hit(self, order: Order, touch: Touch) -> None:
        account, spec = self.books.by_id[order.account_id], self.market.specs[order.symbol]
        self.lists.started(account, order, touch.at_ms)
        if not order.waits_for_stop:
            takes = [(order.price, order.remaining)]
            self._fill(account, order, takes, touch.at_ms, is_maker=True)
            self._settle(account, order, touch.at_ms)
            return
        order.working_ms = touch.at_ms
        tell_order(self.books.feed, order, "NEW", touch.at_ms)
        price = Decimal(touch.price).quantize(spec.tick, ROUND_HALF_EVEN)
        takes = self.takes(order, price, touch.at_ms)
        cost = sum((level * quantity for level, quantity in takes), ZERO)
        if order.side == "BUY" and cost > order.locked + account.balance(spec.quote).free:
            takes = []  # a market stop whose price has run away from the money that it kept back
        self.take(account, order, takes, touch.at_ms)
        self.after_taking(account, order, touch.at_ms)
