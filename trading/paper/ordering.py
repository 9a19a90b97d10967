"""Order parameters: which type takes which, and the order that they make."""

from __future__ import annotations

from decimal import Decimal

from trading.paper.errors import ApiError, missing, not_required, one_of_missing, rejected
from trading.paper.filters import NewOrder, check_precision
from trading.paper.ids import made_up_id
from trading.paper.orders import ZERO
from trading.paper.params import Params
from trading.paper.symbols import SymbolSpec

SIDES = ("BUY", "SELL")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK")
RESPONSES = ("ACK", "RESULT", "FULL")
# what each type must have; MARKET takes quantity or quoteOrderQty (rest-api.md, "New order")
NEEDS: dict[str, tuple[str, ...]] = {
    "LIMIT": ("timeInForce", "quantity", "price"),
    "MARKET": (),
    "STOP_LOSS": ("quantity", "stopPrice"),
    "STOP_LOSS_LIMIT": ("timeInForce", "quantity", "price", "stopPrice"),
    "TAKE_PROFIT": ("quantity", "stopPrice"),
    "TAKE_PROFIT_LIMIT": ("timeInForce", "quantity", "price", "stopPrice"),
    "LIMIT_MAKER": ("quantity", "price"),
}
MAY_HAVE: dict[str, tuple[str, ...]] = {
    "LIMIT": ("icebergQty",),
    "MARKET": ("quantity", "quoteOrderQty"),
    "STOP_LOSS": (),
    "STOP_LOSS_LIMIT": ("icebergQty",),
    "TAKE_PROFIT": (),
    "TAKE_PROFIT_LIMIT": ("icebergQty",),
    "LIMIT_MAKER": ("icebergQty",),
}
NUMBERS = ("quantity", "quoteOrderQty", "price", "stopPrice", "icebergQty")
OCO_TYPES = ("STOP_LOSS", "STOP_LOSS_LIMIT", "LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
WORKING_TYPES = ("LIMIT", "LIMIT_MAKER")
# of which parameter the pair of a list with a working order has its quantity
PENDING_NAMES: dict[str, dict[str, str | None]] = {
    "OTOCO": {"quantity_name": "pendingQuantity"},
    "OPOCO": {"quantity_name": None},
}


def _wrong_type() -> ApiError:
    return ApiError(-1116, "Invalid orderType.")


def read_side(params: Params, name: str = "side") -> str:
    """side; -1102 or -1117."""
    params.needed(name)
    side = params.choice(name, SIDES, ApiError(-1117, "Invalid side."))
    assert side is not None
    return side


def read_stp(params: Params) -> None:
    """selfTradePreventionMode: taken, and without effect, for nobody trades with himself here."""
    params.choice(
        "selfTradePreventionMode",
        ("NONE", "EXPIRE_MAKER"),
        ApiError(-1013, "This symbol does not allow the specified self-trade prevention mode."),
    )


def read_order(params: Params, spec: SymbolSpec) -> NewOrder:
    """The order of POST /api/v3/order. Raises -1100 .. -1117, -1013 for what is not an order at all."""
    side = read_side(params)
    params.needed("type")
    type_ = params.choice("type", NEEDS, _wrong_type())
    assert type_ is not None
    client_id = params.client_id("newClientOrderId") or made_up_id()
    if "trailingDelta" in params:
        raise rejected("Trailing stop orders are not supported for this symbol.")
    read_stp(params)
    for name in ("strategyId", "strategyType"):
        params.integer(name)
    return _compose(params, spec, side, type_, client_id)


def read_leg(
    params: Params,
    spec: SymbolSpec,
    side: str,
    leg: str,
    quantity_name: str | None = "quantity",
) -> NewOrder:
    """A leg of an order list: above or below of an OCO, pendingAbove or pendingBelow of the others.

    `quantity_name` is None where the quantity is not known yet.
    """
    type_ = params.needed(f"{leg}Type")
    if type_ not in OCO_TYPES:
        raise ApiError(-1158, "Order type not supported in OCO.")
    return _read_part(params, spec, side, type_, leg, quantity_name)


def read_working(params: Params, spec: SymbolSpec) -> NewOrder:
    """The working order of an OTOCO or OPOCO: LIMIT or LIMIT_MAKER."""
    type_ = params.needed("workingType")
    if type_ not in WORKING_TYPES:
        raise _wrong_type()
    side = read_side(params, "workingSide")
    return _read_part(params, spec, side, type_, "working", "workingQuantity")


def _read_part(
    params: Params, spec: SymbolSpec, side: str, type_: str, part: str, quantity_name: str | None
) -> NewOrder:
    client_id = params.client_id(f"{part}ClientOrderId") or made_up_id()
    if f"{part}TrailingDelta" in params:
        raise rejected("Trailing stop orders are not supported for this symbol.")
    for name in (f"{part}StrategyId", f"{part}StrategyType"):
        params.integer(name)
    return _compose(params, spec, side, type_, client_id, part, quantity_name)


def _compose(
    params: Params,
    spec: SymbolSpec,
    side: str,
    type_: str,
    client_id: str,
    part: str = "",
    quantity_name: str | None = "quantity",
) -> NewOrder:
    def named(name: str) -> str:
        if name == "quantity" and quantity_name is not None:
            return quantity_name
        return name if not part else f"{part}{name[0].upper()}{name[1:]}"

    read = [name for name in NUMBERS if name != "quantity" or quantity_name is not None]
    numbers = {name: params.decimal(named(name)) for name in read}
    time_in_force = params.choice(
        named("timeInForce"), TIMES_IN_FORCE, ApiError(-1115, "Invalid timeInForce.")
    )
    given = {name for name, value in numbers.items() if value is not None}
    given |= {"timeInForce"} if time_in_force else set()
    needs = [name for name in NEEDS[type_] if name != "quantity" or quantity_name is not None]
    for name in needs:
        if name not in given:
            raise missing(named(name))
    for name in sorted(given - set(needs) - set(MAY_HAVE[type_])):
        raise not_required(named(name))
    if type_ == "MARKET":
        _check_market(given)
    _check_numbers({named(name): value for name, value in numbers.items() if value is not None})
    if numbers["icebergQty"] and type_ != "LIMIT_MAKER" and time_in_force != "GTC":
        raise ApiError(-1013, "Unsupported order combination.")
    return NewOrder(
        spec=spec,
        side=side,
        type=type_,
        time_in_force=time_in_force or "GTC",
        client_id=client_id,
        quantity=numbers.get("quantity") or ZERO,
        quote_quantity=numbers["quoteOrderQty"] or ZERO,
        price=numbers["price"] or ZERO,
        stop_price=numbers["stopPrice"] or ZERO,
        iceberg_quantity=numbers["icebergQty"] or ZERO,
    )


def _check_market(given: set[str]) -> None:
    if not given & {"quantity", "quoteOrderQty"}:
        raise one_of_missing("origQty", "quoteOrderQty")
    if {"quantity", "quoteOrderQty"} <= given:
        raise not_required("quoteOrderQty")


def _check_numbers(numbers: dict[str, Decimal]) -> None:
    for name, value in numbers.items():
        check_precision(name, value)
        if value == 0 and "iceberg" not in name.lower():
            raise ApiError(-1013, f"Invalid {'quantity' if 'uantity' in name else name}.")
