"""The bytes of an order's request, and where they are posted, for each market."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

from trading.filters import format_decimal

PATHS = {
    ("spot", "order"): "/api/v3/order",
    ("spot", "order_list"): "/api/v3/orderList/oco",
    ("futures", "order"): "/fapi/v1/order",
    ("futures", "algo"): "/fapi/v1/algoOrder",
}
CONDITIONAL = frozenset({"STOP_MARKET", "TAKE_PROFIT_MARKET"})  # futures: -4120 on /fapi/v1/order
RESTS_UNTIL_CANCELED = frozenset({"LIMIT", "STOP_LOSS_LIMIT"})


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
    price: Decimal | None = None  # of an order that has a limit
    stop_price: Decimal | None = None


def order_request(form: OrderForm, *, ts_ms: int, recv_window_ms: int) -> tuple[str, str]:
    """The path and the urlencoded parameters of an order, without the signature.

    Spot answers FULL, with the fills; futures know ACK and RESULT only (USDS-M "New Order"). On futures
    whatever leaves a position is reduce-only, so that it can never open one the other way. Conditional
    futures orders go to their own endpoint with their own names ("New Algo Order").
    """
    params = _common(form)
    kind = "algo" if form.market == "futures" and form.type in CONDITIONAL else "order"
    if kind == "algo":
        params |= {"algoType": "CONDITIONAL", "clientAlgoId": form.client_id}
        params |= {"triggerPrice": format_decimal(form.stop_price or Decimal(0))}
    else:
        params |= {"newClientOrderId": form.client_id, **_prices(form)}
        params["newOrderRespType"] = "RESULT" if form.market == "futures" else "FULL"
    if form.market == "futures":
        params["positionSide"] = "BOTH"
        if form.lane == "exit":
            params["reduceOnly"] = "true"
    params |= {"recvWindow": recv_window_ms, "timestamp": ts_ms}
    return PATHS[form.market, kind], urlencode(params)


def oco_request(
    list_id: str, stop: OrderForm, target: OrderForm, *, ts_ms: int, recv_window_ms: int
) -> tuple[str, str]:
    """The path and parameters of a spot sell of which one leg cancels the other (rest-api.md, "OCO").

    The target is the leg above the price, the stop the one below. Both forms are of one quantity.
    """
    params: dict[str, str | int] = {
        "symbol": stop.symbol,
        "listClientOrderId": list_id,
        "side": stop.side,
        "quantity": format_decimal(stop.quantity),
    }
    for leg, form in (("above", target), ("below", stop)):
        params |= {f"{leg}Type": form.type, f"{leg}ClientOrderId": form.client_id}
        params |= {f"{leg}{name[0].upper()}{name[1:]}": value for name, value in _prices(form).items()}
    params |= {"newOrderRespType": "RESULT", "recvWindow": recv_window_ms, "timestamp": ts_ms}
    return PATHS["spot", "order_list"], urlencode(params)


def _common(form: OrderForm) -> dict[str, str | int]:
    return {
        "symbol": form.symbol,
        "side": form.side,
        "type": form.type,
        "quantity": format_decimal(form.quantity),
    }


def _prices(form: OrderForm) -> dict[str, str]:
    found = {}
    if form.price is not None:
        found["price"] = format_decimal(form.price)
    if form.stop_price is not None:
        found["stopPrice"] = format_decimal(form.stop_price)
    if form.type in RESTS_UNTIL_CANCELED:
        found["timeInForce"] = "GTC"
    return found
