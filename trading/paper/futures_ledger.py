"""Futures money: what a fill does to position, wallet and income. Exact decimals, eight places."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from trading.paper.futures_books import FuturesBooks
from trading.paper.futures_contracts import Contract
from trading.paper.futures_orders import FuturesFill, FuturesOrder, Income, Position, Wallet
from trading.paper.futures_user_events import account_update, tell_order
from trading.paper.ledger import EIGHT
from trading.paper.orders import ZERO

DEFAULT_LEVERAGE = 20


def rounded(value: Decimal) -> Decimal:
    """Money has eight decimals."""
    return value.quantize(EIGHT, ROUND_HALF_UP)


class FuturesLedger:
    """Moves money. Every method that changes something is called inside a transaction and saves it."""

    def __init__(self, books: FuturesBooks, taker_rate: Decimal, maker_rate: Decimal) -> None:
        self.books = books
        self.taker_rate = taker_rate
        self.maker_rate = maker_rate

    def position(self, account_id: int, contract: Contract) -> Position:
        """The account's position in a contract; a flat, isolated one with the usual leverage if none."""
        found = self.books.positions.get((account_id, contract.symbol))
        if found is None:
            found = Position(account_id, contract.symbol, min(DEFAULT_LEVERAGE, contract.most_leverage))
        return found

    def cross_wallet(self, account_id: int) -> Decimal:
        """The money that belongs to no isolated position."""
        isolated = sum((one.isolated_wallet for one in self.books.positions_of(account_id)), ZERO)
        return self.books.wallets[account_id].balance - isolated

    def pay(
        self, account_id: int, kind: str, amount: Decimal, at_ms: int, symbol: str = "", trade_id: str = ""
    ) -> None:
        """Change a wallet, and say why in its income. An amount of zero is nothing."""
        if not amount:
            return
        wallet = self.books.wallets[account_id]
        wallet.balance += amount
        self.books.save_wallet(wallet)
        tran_id = self.books.next_id("tran")
        self.books.add_income(Income(tran_id, account_id, symbol, kind, amount, at_ms, trade_id))

    def open_wallet(self, account_id: int, balance: Decimal, at_ms: int) -> None:
        """A wallet and the transfer that it begins with."""
        self.books.save_wallet(Wallet(account_id, ZERO, at_ms))
        self.pay(account_id, "TRANSFER", balance, at_ms)

    def fill(
        self,
        contract: Contract,
        order: FuturesOrder,
        price: Decimal,
        quantity: Decimal,
        at_ms: int,
        *,
        is_maker: bool = False,
        rate: Decimal | None = None,
    ) -> FuturesFill:
        """Book one trade: order, position, realised profit, fee at `rate` (the usual one if None)."""
        position = self.position(order.account_id, contract)
        realized = self._move(position, order.side, price, quantity)
        position.update_ms = at_ms
        self.books.save_position(position)
        worth = rounded(price * quantity)
        order.executed += quantity
        order.quote_executed += worth
        order.status = "FILLED" if order.remaining == 0 else "PARTIALLY_FILLED"
        order.update_ms = at_ms
        if rate is None:
            rate = self.maker_rate if is_maker else self.taker_rate
        fill = FuturesFill(
            trade_id=self.books.next_id("trade"),
            order_id=order.order_id,
            symbol=order.symbol,
            account_id=order.account_id,
            side=order.side,
            price=price,
            quantity=quantity,
            quote_quantity=worth,
            realized=realized,
            commission=rounded(worth * rate),
            time_ms=at_ms,
            is_maker=is_maker,
        )
        self.books.save_fill(fill)
        named = (order.symbol, str(fill.trade_id))
        self.pay(order.account_id, "REALIZED_PNL", realized, at_ms, *named)
        self.pay(order.account_id, "COMMISSION", -fill.commission, at_ms, *named)
        tell_order(self.books.feed, order, "TRADE", at_ms, fill)
        self.tell_account(order.account_id, "ORDER", at_ms, position, profit=position.profit(price))
        return fill

    def tell_account(
        self,
        account_id: int,
        reason: str,
        at_ms: int,
        position: Position | None = None,
        change: Decimal = ZERO,
        profit: Decimal = ZERO,
    ) -> None:
        """Tell what a wallet and a position are now."""
        if self.books.feed.listens("futures", account_id):
            wallet, cross = self.books.wallets[account_id].balance, self.cross_wallet(account_id)
            event = account_update(reason, wallet, cross, at_ms, position, change, profit)
            self.books.feed.tell("futures", account_id, event)

    @staticmethod
    def _move(position: Position, side: str, price: Decimal, quantity: Decimal) -> Decimal:
        """Close what is against the side, then open; the realised profit.

        The isolated wallet shrinks in proportion to what is closed, and grows by the initial margin of what
        is opened. Profit goes to the wallet that all positions share.
        """
        signed = quantity if side == "BUY" else -quantity
        closing = min(quantity, abs(position.quantity)) if position.quantity * signed < 0 else ZERO
        realized = rounded(closing * (price - position.entry_price) * position.sign)
        if closing:
            share = closing / abs(position.quantity)
            position.isolated_wallet -= rounded(position.isolated_wallet * share)
            position.quantity += closing if side == "BUY" else -closing
        opening = quantity - closing
        if opening:
            before = abs(position.quantity)
            position.entry_price = (before * position.entry_price + opening * price) / (before + opening)
            position.quantity += opening if side == "BUY" else -opening
            if position.is_isolated:
                position.isolated_wallet += rounded(opening * price / position.leverage)
        if not position.quantity:
            position.quantity = position.entry_price = position.isolated_wallet = ZERO
        return realized
