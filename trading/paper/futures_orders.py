"""Futures orders, fills, conditional orders, positions and income, in the books and in the API."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trading.paper.orders import OPEN_STATUSES, ZERO, number

ISOLATED, CROSSED = "ISOLATED", "CROSSED"
MARK, LAST = "MARK_PRICE", "CONTRACT_PRICE"
ALGO_LIVE = frozenset({"NEW", "TRIGGERING", "TRIGGERED"})


@dataclass(slots=True)
class FuturesOrder:
    """One order of one-way mode. Quantities are base units, prices and money quote units, times server ms."""

    order_id: int
    symbol: str
    account_id: int
    client_id: str
    side: str
    type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    reduce_only: bool
    time_ms: int
    update_ms: int
    original_type: str
    close_position: bool = False
    stop_price: Decimal = ZERO
    working_type: str = LAST
    executed: Decimal = ZERO
    quote_executed: Decimal = ZERO
    status: str = "NEW"
    algo_id: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the order can still trade."""
        return self.status in OPEN_STATUSES

    @property
    def remaining(self) -> Decimal:
        """The quantity that is not filled, in base units."""
        return self.quantity - self.executed

    @property
    def average_price(self) -> Decimal:
        """Quote units per base unit of what was filled, 0 before."""
        return self.quote_executed / self.executed if self.executed else ZERO


@dataclass(slots=True)
class FuturesFill:
    """One trade of one order. `realized` is the profit of the part that closed a position, before fees."""

    trade_id: int
    order_id: int
    symbol: str
    account_id: int
    side: str
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    realized: Decimal
    commission: Decimal
    time_ms: int
    is_maker: bool


@dataclass(slots=True)
class AlgoOrder:
    """One conditional order: NEW, TRIGGERING, TRIGGERED while its order is open, FINISHED; or it ends early.

    `due_ms` is when a TRIGGERING one becomes an order.
    """

    algo_id: int
    symbol: str
    account_id: int
    client_id: str
    side: str
    type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    trigger_price: Decimal
    working_type: str
    close_position: bool
    reduce_only: bool
    price_protect: bool
    time_ms: int
    update_ms: int
    status: str = "NEW"
    trigger_ms: int = 0
    due_ms: int = 0
    actual_order_id: int = 0
    actual_price: Decimal = ZERO
    actual_quantity: Decimal = ZERO
    reason: str = ""

    @property
    def is_live(self) -> bool:
        """Whether something of it can still trade."""
        return self.status in ALGO_LIVE

    @property
    def waits_for_fall(self) -> bool:
        """Whether a falling price triggers it."""
        return (self.side == "SELL") == self.type.startswith("STOP")


@dataclass(slots=True)
class Position:
    """One account's position in one contract, and the leverage and margin type chosen for it.

    `quantity` is negative for a short. `isolated_wallet` is the money that belongs to an isolated position.
    """

    account_id: int
    symbol: str
    leverage: int
    margin_type: str = ISOLATED
    quantity: Decimal = ZERO
    entry_price: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    update_ms: int = 0

    @property
    def sign(self) -> int:
        """1 long, -1 short, 0 flat."""
        return (self.quantity > 0) - (self.quantity < 0)

    @property
    def is_isolated(self) -> bool:
        """Whether the position has money of its own."""
        return self.margin_type == ISOLATED

    def profit(self, price: Decimal) -> Decimal:
        """Unrealised profit at a price, in quote units."""
        return self.quantity * (price - self.entry_price)


@dataclass(slots=True)
class Wallet:
    """An account's futures money: `balance` is all of it in USDT, what isolated positions have included."""

    account_id: int
    balance: Decimal
    opened_ms: int
    is_dual: bool = False


@dataclass(slots=True)
class Income:
    """One change of a wallet."""

    tran_id: int
    account_id: int
    symbol: str
    kind: str  # TRANSFER, REALIZED_PNL, COMMISSION, FUNDING_FEE
    amount: Decimal
    time_ms: int
    trade_id: str = ""


def plain(value: Decimal) -> str:
    """A decimal without an exponent and without zeros at its end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def order_json(order: FuturesOrder) -> dict[str, Any]:
    """The order as GET /fapi/v1/order shows it."""
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": plain(order.price),
        "avgPrice": number(order.average_price),
        "origQty": plain(order.quantity),
        "executedQty": plain(order.executed),
        "cumQuote": number(order.quote_executed),
        "timeInForce": order.time_in_force,
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": plain(order.stop_price),
        "workingType": order.working_type,
        "priceProtect": False,
        "origType": order.original_type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.time_ms,
        "updateTime": order.update_ms,
    }


def new_order_json(order: FuturesOrder, kind: str) -> dict[str, Any]:
    """What POST /fapi/v1/order answers: ACK knows nothing of what was filled, RESULT is the final state."""
    body = order_json(order)
    del body["time"]
    body["cumQty"] = body["executedQty"]
    if kind == "ACK":
        body |= {"status": "NEW", "avgPrice": "0.00", "executedQty": "0", "cumQty": "0", "cumQuote": "0"}
    return body


def fill_json(fill: FuturesFill) -> dict[str, Any]:
    """The fill as GET /fapi/v1/userTrades shows it."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": fill.side,
        "price": plain(fill.price),
        "qty": plain(fill.quantity),
        "realizedPnl": number(fill.realized),
        "marginAsset": "USDT",
        "quoteQty": number(fill.quote_quantity),
        "commission": number(fill.commission),
        "commissionAsset": "USDT",
        "time": fill.time_ms,
        "positionSide": "BOTH",
        "buyer": fill.side == "BUY",
        "maker": fill.is_maker,
    }


def new_algo_json(algo: AlgoOrder) -> dict[str, Any]:
    """What POST /fapi/v1/algoOrder answers."""
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": algo.symbol,
        "side": algo.side,
        "positionSide": "BOTH",
        "timeInForce": algo.time_in_force,
        "quantity": plain(algo.quantity),
        "algoStatus": algo.status,
        "triggerPrice": plain(algo.trigger_price),
        "price": plain(algo.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
        "activatePrice": "",
        "callbackRate": "",
        "createTime": algo.time_ms,
        "updateTime": algo.update_ms,
        "triggerTime": algo.trigger_ms,
        "goodTillDate": 0,
    }


def algo_json(algo: AlgoOrder) -> dict[str, Any]:
    """The conditional order as GET /fapi/v1/algoOrder shows it: with the order that it became."""
    return new_algo_json(algo) | {
        "actualOrderId": str(algo.actual_order_id) if algo.actual_order_id else "",
        "actualPrice": number(algo.actual_price),
        "actualQty": plain(algo.actual_quantity),
        "tpTriggerPrice": "0.000",
        "tpPrice": "0.000",
        "slTriggerPrice": "0.000",
        "slPrice": "0.000",
        "tpOrderType": "",
    }


def income_json(income: Income) -> dict[str, Any]:
    """The change as GET /fapi/v1/income shows it."""
    return {
        "symbol": income.symbol,
        "incomeType": income.kind,
        "income": number(income.amount),
        "asset": "USDT",
        "info": income.kind,
        "time": income.time_ms,
        "tranId": income.tran_id,
        "tradeId": income.trade_id,
    }
