"""The matching engine: places, cancels and matches orders against the market's price path.

Resting orders are matched lazily: whoever asks about a symbol makes the engine look at the path since the
last look. A look finds the earliest touch, books it at its own time and goes on from there, so that the
result does not depend on how often somebody looks.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from trading.paper.books import Account, Books
from trading.paper.errors import CLOSED, DUPLICATE, INSUFFICIENT, ApiError, cancel_rejected, rejected
from trading.paper.filters import NewOrder, check_counts, check_order
from trading.paper.klines import MINUTE_MS
from trading.paper.ledger import EIGHT, Ledger
from trading.paper.limits import OrderCounts
from trading.paper.market import Market, Touch
from trading.paper.orderbook import OrderBook, floor_to
from trading.paper.orders import LIMIT_TYPES, STOP_TYPES, ZERO, Fill, Order, OrderList

AVERAGE_MINUTES = 5
NEVER_DOWN, NEVER_UP = float("-inf"), float("inf")
WRONG_PRICES = "The relationship of the prices for the orders is not correct."


class Engine:
    """One engine per exchange. Methods are synchronous, so a request is atomic; `now_ms` is server time."""

    def __init__(
        self, market: Market, books: Books, ledger: Ledger, book: OrderBook, counts: OrderCounts
    ) -> None:
        self.market = market
        self.books = books
        self.ledger = ledger
        self.book = book
        self.counts = counts
        states = books.symbol_states()
        self._status = {symbol: status for symbol, (status, _) in states.items() if status}
        self._looked = {symbol: looked for symbol, (_, looked) in states.items() if looked}
        self.resting_off: set[str] = set()  # symbols whose resting orders are not matched, by hand
        self._averages: dict[str, tuple[int, Decimal]] = {}

    # -- prices and status

    def status(self, symbol: str) -> str:
        """TRADING, or why it does not trade: as listed, or as set by hand."""
        return self._status.get(symbol, self.market.specs[symbol].status)

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
        self._refuse_type(new)
        if any(order.client_id == new.client_id for order in open_orders):
            raise rejected(DUPLICATE)
        self._refuse_price(new, price)
        return price

    @staticmethod
    def _refuse_type(new: NewOrder) -> None:
        if new.type not in new.spec.order_types:
            name = new.type.replace("_", " ").capitalize()
            raise rejected(f"{name} orders are not supported for this symbol.")

    def _refuse_price(self, new: NewOrder, price: Decimal) -> None:
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
        takes = self._takes(new, price, now_ms)
        self._refuse_poor(account, new, takes)
        with self.books.transaction():
            order = self._create(account, new, now_ms)
            self.counts.add(account.id, now_ms)
            if new.type == "MARKET" and new.quote_quantity:
                order.quantity = sum((quantity for _, quantity in takes), ZERO)
            if new.type != "MARKET":
                self.ledger.lock(account, new.spec, order, self.ledger.needed(order))
            fills = self._take(account, order, takes, now_ms)
            self._after_taking(account, order, now_ms)
            self.books.save_symbol(order.symbol, self._status.get(order.symbol), now_ms)
        self._looked[order.symbol] = now_ms
        return order, fills

    def _create(self, account: Account, new: NewOrder, now_ms: int, list_id: int = -1) -> Order:
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

    def _takes(self, new: NewOrder | Order, price: Decimal, now_ms: int) -> list[tuple[Decimal, Decimal]]:
        """(price, quantity) of what the order would take from the book now."""
        if new.type in ("LIMIT_MAKER",) or (isinstance(new, NewOrder) and new.type in STOP_TYPES):
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

    def _refuse_poor(self, account: Account, new: NewOrder, takes: list[tuple[Decimal, Decimal]]) -> None:
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

    def _take(
        self, account: Account, order: Order, takes: list[tuple[Decimal, Decimal]], at_ms: int
    ) -> list[Fill]:
        spec = self.market.specs[order.symbol]
        self._count_filled(order, takes)
        return [
            self.ledger.fill(account, spec, order, price, quantity, at_ms, is_maker=False)
            for price, quantity in takes
        ]

    def _count_filled(self, order: Order, takes: list[tuple[Decimal, Decimal]]) -> None:
        if takes and not order.executed:
            self.counts.filled(order.account_id, order.time_ms)

    def _after_taking(self, account: Account, order: Order, at_ms: int) -> None:
        """End what cannot rest, keep back for the rest, save."""
        rests = order.type in LIMIT_TYPES and order.time_in_force == "GTC"
        if order.is_open and not rests and not order.waits_for_stop:
            order.status = "EXPIRED"
        self._settle(account, order, at_ms)

    def _settle(self, account: Account, order: Order, at_ms: int) -> None:
        """Adjust what the order keeps back to what it needs, save it, and close its list with it."""
        keep = self.ledger.needed(order) if order.is_open else ZERO
        self.ledger.release(account, self.market.specs[order.symbol], order, keep)
        order.update_ms = at_ms
        self.books.save_order(order)
        one = self.books.lists.get(order.list_id)
        if one is not None and not any(
            other in self.books.open.get(order.symbol, {}) for other in one.order_ids
        ):
            one.status = "ALL_DONE"
            one.time_ms = at_ms
            self.books.save_list(one)

    def place_oco(
        self, account: Account, above: NewOrder, below: NewOrder, list_client_id: str, now_ms: int
    ) -> tuple[OrderList, list[Order]]:
        """Accept two orders of which one cancels the other. Raises ApiError and changes nothing."""
        spec = above.spec
        try:
            prices = {self.check(account, leg, now_ms) for leg in (above, below)}
        except ApiError as error:
            if error.message.startswith("Order would"):
                raise rejected(WRONG_PRICES) from error
            raise
        check_counts(spec, self.books.open_orders(account, spec.symbol), [above.type, below.type])
        if not _is_above(above, max(prices)) or _is_above(below, min(prices)):
            raise rejected(WRONG_PRICES)
        if above.client_id == below.client_id or any(
            one.client_id == list_client_id and one.account_id == account.id
            for one in self.books.lists.values()
        ):
            raise rejected(DUPLICATE)
        for new in (above, below):
            self._refuse_poor(account, new, [])
        with self.books.transaction():
            list_id = self.books.next_id("list")
            legs = [self._create(account, new, now_ms, list_id) for new in (below, above)]
            one = OrderList(list_id, account.id, spec.symbol, list_client_id, now_ms)
            one.order_ids = [leg.order_id for leg in legs]
            self.counts.add(account.id, now_ms, 2)
            # both legs stand for the same money: the first one holds what the dearer of them needs
            self.ledger.lock(account, spec, legs[0], max(map(self.ledger.needed, legs)))
            for order in legs:
                self.books.save_order(order)
            self.books.save_list(one)
            self.books.save_symbol(spec.symbol, self._status.get(spec.symbol), now_ms)
        self._looked[spec.symbol] = now_ms
        return one, legs

    # -- cancelling

    def cancel(self, account: Account, order: Order, now_ms: int, restriction: str = "") -> list[Order]:
        """Cancel an open order and whatever shares its list; -2011 if it is not open."""
        self.advance(order.symbol, now_ms)
        if not order.is_open:
            raise cancel_rejected()
        wanted = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}.get(restriction)
        if wanted is not None and order.status != wanted:
            raise cancel_rejected("Order was not canceled due to cancel restrictions.")
        one = self.books.lists.get(order.list_id)
        ids = [order.order_id] if one is None else one.order_ids
        live = self.books.open.get(order.symbol, {})
        orders = [live[order_id] for order_id in ids if order_id in live]
        with self.books.transaction():
            for each in orders:
                each.status = "CANCELED"
                self._settle(account, each, now_ms)
        return orders

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
                down, up = thresholds(live)
                touch = self.market.first_touch(symbol, since, now_ms, down, up)
                if touch is None:
                    break
                since = touch.at_ms
                self._touched(symbol, touch)
        self._looked[symbol] = max(since, now_ms)

    def _touched(self, symbol: str, touch: Touch) -> None:
        orders = sorted(self.books.open[symbol].values(), key=lambda order: order.order_id)
        hit = [order for order in orders if reached(order, touch.price)]
        assert hit  # or the same touch would be found for ever
        with self.books.transaction():
            for order in hit:
                if order.is_open:  # not ended by one before it
                    self._hit(order, touch)
            self.books.save_symbol(symbol, self._status.get(symbol), touch.at_ms)

    def _hit(self, order: Order, touch: Touch) -> None:
        account, spec = self.books.by_id[order.account_id], self.market.specs[order.symbol]
        self._expire_sibling(account, order, touch.at_ms)
        if not order.waits_for_stop:
            self._count_filled(order, [(order.price, order.remaining)])
            self.ledger.fill(account, spec, order, order.price, order.remaining, touch.at_ms, is_maker=True)
            self._settle(account, order, touch.at_ms)
            return
        order.working_ms = touch.at_ms
        price = Decimal(touch.price).quantize(spec.tick, ROUND_HALF_EVEN)
        takes = self._takes(order, price, touch.at_ms)
        cost = sum((level * quantity for level, quantity in takes), ZERO)
        if order.side == "BUY" and cost > order.locked + account.balance(spec.quote).free:
            takes = []  # a market stop whose price has run away from the money that it kept back
        self._take(account, order, takes, touch.at_ms)
        self._after_taking(account, order, touch.at_ms)

    def _expire_sibling(self, account: Account, order: Order, at_ms: int) -> None:
        one = self.books.lists.get(order.list_id)
        live = self.books.open[order.symbol]
        for order_id in [] if one is None else one.order_ids:
            sibling = live.get(order_id)
            if sibling is None or sibling is order:
                continue
            order.locked, sibling.locked = order.locked + sibling.locked, ZERO
            sibling.status = "EXPIRED"
            self._settle(account, sibling, at_ms)
            self.ledger.release(account, self.market.specs[order.symbol], order, self.ledger.needed(order))


def _is_above(leg: NewOrder, price: Decimal) -> bool:
    return (leg.price if leg.type == "LIMIT_MAKER" else leg.stop_price) > price


def waits_for_fall(order: Order) -> bool:
    """Whether a falling price triggers or fills this open order."""
    if order.waits_for_stop:
        return (order.side == "SELL") == order.type.startswith("STOP_LOSS")
    return order.side == "BUY"


def threshold(order: Order) -> float:
    """The price at which this open order triggers or fills."""
    return float(order.stop_price if order.waits_for_stop else order.price)


def reached(order: Order, price: float) -> bool:
    """Whether `price` triggers or fills this open order."""
    return price <= threshold(order) if waits_for_fall(order) else price >= threshold(order)


def thresholds(live: dict[int, Order]) -> tuple[float, float]:
    """The highest price that something waits to fall to, and the lowest that something waits to rise to."""
    down = [threshold(order) for order in live.values() if waits_for_fall(order)]
    up = [threshold(order) for order in live.values() if not waits_for_fall(order)]
    return max(down, default=NEVER_DOWN), min(up, default=NEVER_UP)
