"""Orders, fills and lists as the books hold them, and as the API shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)
OPEN_STATUSES = frozenset({"NEW", "PARTIALLY_FILLED", "PENDING_NEW"})
PENDING = "PENDING_NEW"  # waits in a list for its working order
STOP_TYPES = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
LIMIT_TYPES = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})


@dataclass(slots=True)
class Order:
    """One order. Quantities are base units, prices and money quote units, times server milliseconds.

    `locked` is what this order keeps back of the account's balance: quote for a buy, base for a sell.
    `working_ms` is -1 until the order is on the book (a stop that has not triggered is not).
    `expiry_reason` says why an order EXPIRED.
    """

    symbol: str
    order_id: int
    account_id: int
    client_id: str
    side: str
    type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    stop_price: Decimal
    quote_quantity: Decimal
    iceberg_quantity: Decimal
    time_ms: int
    update_ms: int
    list_id: int = -1
    executed: Decimal = ZERO
    quote_executed: Decimal = ZERO
    status: str = "NEW"
    working_ms: int = -1
    locked: Decimal = ZERO
    expiry_reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the order can still trade."""
        return self.status in OPEN_STATUSES

    @property
    def remaining(self) -> Decimal:
        """The quantity that is not filled, in base units."""
        return self.quantity - self.executed

    @property
    def waits_for_stop(self) -> bool:
        """Whether this is a stop that has not triggered."""
        return self.type in STOP_TYPES and self.working_ms < 0

    @property
    def is_pending(self) -> bool:
        """Whether it waits for the working order of its list, and is not on the book."""
        return self.status == PENDING


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of one order."""

    symbol: str
    trade_id: int
    order_id: int
    account_id: int
    list_id: int
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    commission: Decimal
    commission_asset: str
    time_ms: int
    is_buyer: bool
    is_maker: bool


@dataclass(slots=True)
class OrderList:
    """Two orders of which one cancels the other (OCO); or a working order and two that wait for it.

    `kind` is OCO, OTOCO or OPOCO; the working order of the latter two is the first of `order_ids`.
    """

    list_id: int
    account_id: int
    symbol: str
    client_id: str
    time_ms: int
    status: str = "EXECUTING"  # listOrderStatus: EXECUTING or ALL_DONE
    kind: str = "OCO"
    order_ids: list[int] = field(default_factory=list)

    @property
    def contingency(self) -> str:
        """contingencyType: OCO, or OTO for whatever has a working order."""
        return "OCO" if self.kind == "OCO" else "OTO"

    @property
    def working_id(self) -> int | None:
        """The order that the others wait for; None for an OCO."""
        return None if self.kind == "OCO" else self.order_ids[0]

    @property
    def pair_ids(self) -> list[int]:
        """The two orders of which one cancels the other."""
        return self.order_ids if self.kind == "OCO" else self.order_ids[1:]


def number(value: Decimal) -> str:
    """A decimal as the API writes it: eight decimals, never an exponent."""
    return f"{value:.8f}"


def order_query(order: Order) -> dict[str, Any]:
    """The order as GET /api/v3/order and its relatives show it."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "price": number(order.price),
        "origQty": number(order.quantity),
        "executedQty": number(order.executed),
        "cummulativeQuoteQty": number(order.quote_executed),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "stopPrice": number(order.stop_price),
        "icebergQty": number(order.iceberg_quantity),
        "time": order.time_ms,
        "updateTime": order.update_ms,
        "isWorking": order.working_ms >= 0,
        "workingTime": order.working_ms,
        "origQuoteOrderQty": number(order.quote_quantity),
        "selfTradePreventionMode": "EXPIRE_MAKER",
        **_expiry(order),
    }


def _expiry(order: Order) -> dict[str, str]:
    return {"expiryReason": order.expiry_reason} if order.expiry_reason else {}


def order_ack(order: Order) -> dict[str, Any]:
    """newOrderRespType=ACK."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "transactTime": order.update_ms,
    }


def order_result(order: Order) -> dict[str, Any]:
    """newOrderRespType=RESULT."""
    body = {
        **order_ack(order),
        "price": number(order.price),
        "origQty": number(order.quantity),
        "executedQty": number(order.executed),
        "origQuoteOrderQty": number(order.quote_quantity),
        "cummulativeQuoteQty": number(order.quote_executed),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "workingTime": order.working_ms,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }
    if order.stop_price:
        body["stopPrice"] = number(order.stop_price)
    if order.iceberg_quantity:
        body["icebergQty"] = number(order.iceberg_quantity)
    if order.is_pending and not order.quantity:
        del body["origQty"]  # of an OPO order it is not known yet (rest-api.md, "OPOCO")
    return body | _expiry(order)


def order_full(order: Order, fills: list[Fill]) -> dict[str, Any]:
    """newOrderRespType=FULL: the result and its fills."""
    return {
        **order_result(order),
        "fills": [
            {
                "price": number(fill.price),
                "qty": number(fill.quantity),
                "commission": number(fill.commission),
                "commissionAsset": fill.commission_asset,
                "tradeId": fill.trade_id,
            }
            for fill in fills
        ],
    }


def cancel_report(order: Order, cancel_id: str) -> dict[str, Any]:
    """What DELETE answers: clientOrderId is the cancel's own id, origClientOrderId the order's."""
    body = order_result(order)
    del body["workingTime"]
    return (
        {"symbol": order.symbol, "origClientOrderId": order.client_id} | body | {"clientOrderId": cancel_id}
    )


def trade(fill: Fill) -> dict[str, Any]:
    """The fill as GET /api/v3/myTrades shows it."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": fill.list_id,
        "price": number(fill.price),
        "qty": number(fill.quantity),
        "quoteQty": number(fill.quote_quantity),
        "commission": number(fill.commission),
        "commissionAsset": fill.commission_asset,
        "time": fill.time_ms,
        "isBuyer": fill.is_buyer,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def list_summary(one: OrderList, orders: list[Order]) -> dict[str, Any]:
    """The order list as GET /api/v3/orderList shows it."""
    return {
        "orderListId": one.list_id,
        "contingencyType": one.contingency,
        "listStatusType": "EXEC_STARTED" if one.status == "EXECUTING" else "ALL_DONE",
        "listOrderStatus": one.status,
        "listClientOrderId": one.client_id,
        "transactionTime": one.time_ms,
        "symbol": one.symbol,
        "orders": [
            {"symbol": order.symbol, "orderId": order.order_id, "clientOrderId": order.client_id}
            for order in orders
        ],
    }
