"""An exchange in this process on handmade candles and a stepped clock, so that a test knows the prices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading.paper.books import Account
from trading.paper.exchange import Exchange, Options, build
from trading.paper.filters import NewOrder
from trading.paper.orders import Fill, Order

SYMBOL = "XYZUSDT"


@dataclass
class Rig:
    """The exchange, one account with 10,000 USDT and 10 XYZ, and shortcuts."""

    exchange: Exchange
    account: Account
    start_ms: int

    @property
    def now_ms(self) -> int:
        return self.exchange.clock.now_ms()

    def step(self, seconds: float) -> None:
        """Set the clock to so many seconds after the first candle's open, and look."""
        self.exchange.clock.set_now(self.start_ms + int(seconds * 1000))
        self.exchange.engine.advance_all(self.now_ms)

    def new(self, side: str, type_: str, quantity: str = "1", **values: Any) -> NewOrder:
        number = {
            name: Decimal(value) if isinstance(value, str) and name not in ("tif", "client_id") else value
            for name, value in values.items()
        }
        return NewOrder(
            spec=self.exchange.market.specs[SYMBOL],
            side=side,
            type=type_,
            time_in_force=number.pop("tif", "GTC"),
            client_id=number.pop("client_id", f"id-{side}-{type_}-{quantity}"),
            quantity=Decimal(quantity),
            **number,
        )

    def place(self, side: str, type_: str, quantity: str = "1", **values: Any) -> tuple[Order, list[Fill]]:
        order = self.new(side, type_, quantity, **values)
        return self.exchange.engine.place(self.account, order, self.now_ms)

    def free(self, asset: str) -> Decimal:
        return self.account.balance(asset).free

    def locked(self, asset: str) -> Decimal:
        return self.account.balance(asset).locked

    def fills(self) -> list[Fill]:
        return self.exchange.books.fills("account_id = ? ORDER BY trade_id", (self.account.id,))


def make_rig(folder: Path, **options: Any) -> Rig:
    """A rig on the candles of `folder`; its clock stands at the first candle's open."""
    exchange = build(Options(candles=folder, clock="stepped", shift_days=0, **options))
    account = exchange.open_account(
        "rig", "secret", {"USDT": Decimal(10_000), "XYZ": Decimal(10), "BNB": Decimal(0)}
    )
    return Rig(exchange, account, exchange.clock.now_ms())
