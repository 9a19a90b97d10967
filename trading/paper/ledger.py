"""Money: what orders keep back, what fills move, and what they cost. Exact decimals, eight places."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from trading.paper.books import Account, Books
from trading.paper.orders import LIMIT_TYPES, ZERO, Fill, Order
from trading.paper.spot_events import tell_order
from trading.paper.symbols import SymbolSpec

EIGHT = Decimal("0.00000001")
BNB_DISCOUNT = Decimal("0.75")  # fees paid in BNB are a quarter lower
PriceOf = Callable[[str, int], Decimal | None]


class Ledger:
    """Moves balances. Every method is called inside a transaction of the books and saves what it changes."""

    def __init__(self, books: Books, fee_rate: Decimal, price_of: PriceOf) -> None:
        self.books = books
        self.fee_rate = fee_rate
        self._price_of = price_of

    @staticmethod
    def needed(order: Order) -> Decimal:
        """What an open order must keep back: base units for a sell, quote units for a buy."""
        if order.side == "SELL":
            return order.remaining
        price = order.price if order.type in LIMIT_TYPES else order.stop_price
        return (order.remaining * price).quantize(EIGHT, ROUND_HALF_UP)

    def lock(self, account: Account, spec: SymbolSpec, order: Order, amount: Decimal) -> None:
        """Keep `amount` back for the order. The caller has checked that it is there."""
        asset = spec.base if order.side == "SELL" else spec.quote
        balance = account.balance(asset)
        balance.free -= amount
        balance.locked += amount
        order.locked += amount
        self.books.save_balance(account, asset)

    def release(self, account: Account, spec: SymbolSpec, order: Order, keep: Decimal = ZERO) -> None:
        """Give back what the order holds beyond `keep`."""
        excess = order.locked - keep
        if excess > 0:
            self.lock(account, spec, order, -excess)

    def fill(
        self,
        account: Account,
        spec: SymbolSpec,
        order: Order,
        price: Decimal,
        quantity: Decimal,
        at_ms: int,
        *,
        is_maker: bool,
    ) -> Fill:
        """Book one trade: the order, both balances, the fee (0.1 % of what was received, or BNB)."""
        quote_quantity = (price * quantity).quantize(EIGHT, ROUND_HALF_UP)
        is_buyer = order.side == "BUY"
        paid = (spec.quote, quote_quantity) if is_buyer else (spec.base, quantity)
        received = (spec.base, quantity) if is_buyer else (spec.quote, quote_quantity)
        order.executed += quantity
        order.quote_executed += quote_quantity
        order.status = "FILLED" if order.remaining == 0 else "PARTIALLY_FILLED"
        order.update_ms = at_ms
        self._pay(account, order, *paid)
        account.balance(received[0]).free += received[1]
        commission, asset = self._commission(account, spec, received, quote_quantity, at_ms)
        account.balance(asset).free -= commission
        for name in {paid[0], received[0], asset}:
            self.books.save_balance(account, name)
        fill = Fill(
            symbol=order.symbol,
            trade_id=self.books.next_id("trade", order.symbol),
            order_id=order.order_id,
            account_id=account.id,
            list_id=order.list_id,
            price=price,
            quantity=quantity,
            quote_quantity=quote_quantity,
            commission=commission,
            commission_asset=asset,
            time_ms=at_ms,
            is_buyer=is_buyer,
            is_maker=is_maker,
        )
        self.books.save_fill(fill)
        tell_order(self.books.feed, order, "TRADE", at_ms, fill)
        return fill

    @staticmethod
    def _pay(account: Account, order: Order, asset: str, amount: Decimal) -> None:
        balance = account.balance(asset)
        from_lock = min(order.locked, amount)
        order.locked -= from_lock
        balance.locked -= from_lock
        balance.free -= amount - from_lock

    def _commission(
        self,
        account: Account,
        spec: SymbolSpec,
        received: tuple[str, Decimal],
        quote_quantity: Decimal,
        at_ms: int,
    ) -> tuple[Decimal, str]:
        if account.fees_in_bnb:
            worth = Decimal(1) if spec.quote == "BNB" else self._price_of(f"BNB{spec.quote}", at_ms)
            if worth:
                in_bnb = quote_quantity * self.fee_rate * BNB_DISCOUNT / worth
                in_bnb = in_bnb.quantize(EIGHT, ROUND_DOWN)
                if account.balance("BNB").free >= in_bnb:
                    return in_bnb, "BNB"
        return (received[1] * self.fee_rate).quantize(EIGHT, ROUND_DOWN), received[0]
