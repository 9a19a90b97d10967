"""A futures account on handmade candles and a stepped clock, so that a test knows every price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading.paper.books import Account
from trading.paper.exchange import Exchange, Options, build
from trading.paper.futures_contracts import Contract
from trading.paper.futures_engine import FuturesEngine
from trading.paper.futures_ordering import NewAlgo, NewFutures
from trading.paper.futures_orders import AlgoOrder, FuturesFill, FuturesOrder, Income, Position

SYMBOL = "XYZUSDT"
D = Decimal
ASK, BID = D("100.01"), D("99.99")  # around a price of 100


@dataclass
class FuturesRig:
    """The exchange, one account with 10,000 USDT in its futures wallet, and shortcuts."""

    exchange: Exchange
    account: Account
    start_ms: int

    @property
    def futures(self) -> FuturesEngine:
        return self.exchange.futures

    @property
    def contract(self) -> Contract:
        return self.futures.state.contracts[SYMBOL]

    @property
    def now_ms(self) -> int:
        return self.exchange.clock.now_ms()

    @property
    def position(self) -> Position:
        return self.futures.ledger.position(self.account.id, self.contract)

    @property
    def wallet(self) -> Decimal:
        return self.futures.books.wallets[self.account.id].balance

    @property
    def available(self) -> Decimal:
        return self.futures.state.available(self.account.id, self.now_ms)

    def step(self, seconds: float) -> None:
        """Set the clock to so many seconds after the first candle's open, and look."""
        self.exchange.clock.set_now(self.start_ms + int(seconds * 1000))
        self.futures.advance_all(self.now_ms)

    def place(
        self, side: str, type_: str = "MARKET", quantity: str = "1", **values: Any
    ) -> tuple[FuturesOrder, list[FuturesFill]]:
        if "price" in values:
            values["price"] = Decimal(values["price"])
        client_id = values.pop("client_id", f"id-{side}-{type_}-{quantity}-{values.get('price', '')}")
        new = NewFutures(self.contract, side, type_, client_id, quantity=Decimal(quantity), **values)
        return self.futures.place(self.account, new, self.now_ms)

    def algo(self, side: str, type_: str, trigger: str, quantity: str = "1", **values: Any) -> AlgoOrder:
        if "price" in values:
            values["price"] = Decimal(values["price"])
        client_id = values.pop("client_id", f"algo-{side}-{type_}-{trigger}")
        closes = values.get("close_position", False)
        amount = Decimal(0) if closes else Decimal(quantity)
        new = NewAlgo(self.contract, side, type_, client_id, Decimal(trigger), quantity=amount, **values)
        return self.futures.place_algo(self.account, new, self.now_ms)

    def leverage(self, leverage: int) -> None:
        self.futures.set_leverage(self.account, self.contract, leverage, self.now_ms)

    def fills(self) -> list[FuturesFill]:
        return self.futures.books.fills("account_id = ? ORDER BY trade_id", (self.account.id,))

    def orders(self) -> list[FuturesOrder]:
        return self.futures.books.orders("account_id = ? ORDER BY order_id", (self.account.id,))

    def income(self, kind: str | None = None) -> list[Income]:
        found = self.futures.books.income("account_id = ? ORDER BY tran_id", (self.account.id,))
        return [one for one in found if kind in (None, one.kind)]


def make_futures_rig(folder: Path, **options: Any) -> FuturesRig:
    """A rig on the candles of `folder`; its clock stands at the first candle's open."""
    exchange = build(Options(candles=folder, clock="stepped", shift_days=0, **options))
    account = exchange.books.accounts.get("paper-rig") or exchange.account_of("paper-rig")
    exchange.futures_wallet(account)
    return FuturesRig(exchange, account, exchange.clock.now_ms())
