"""The bytes of an order's request, and where they are posted, for each market."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

from trading.filters import format_decimal

ORDER_PATHS = {"spot": "/api/v3/order", "futures": "/fapi/v1/order"}


@dataclass(frozen=True, slots=True)
class OrderForm:
    """What an order says, apart from its time. `lane` is entry or exit; quantities are in base units."""

    market: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    client_id: str
    lane: str


def order_request(form: OrderForm, *, ts_ms: int, recv_window_ms: int) -> tuple[str, str]:
    """The path and the urlencoded parameters of an order, without the signature.

    Spot answers FULL, with the fills; futures know ACK and RESULT only (USDS-M "New Order"). On futures
    whatever leaves a position is reduce-only, so that it can never open one the other way.
    """
    params: dict[str, str | int] = {
        "symbol": form.symbol,
        "side": form.side,
        "type": form.type,
        "quantity": format_decimal(form.quantity),
        "newClientOrderId": form.client_id,
        "newOrderRespType": "RESULT" if form.market == "futures" else "FULL",
    }
    if form.market == "futures":
        params["positionSide"] = "BOTH"
        if form.lane == "exit":
            params["reduceOnly"] = "true"
    params |= {"recvWindow": recv_window_ms, "timestamp": ts_ms}
    return ORDER_PATHS[form.market], urlencode(params)
