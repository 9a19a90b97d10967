"""Parameters of futures orders, and the filters that they must pass (USDS-M documentation, "New Order")."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from trading.paper.errors import ApiError, illegal_characters, missing, not_required
from trading.paper.futures_contracts import Contract
from trading.paper.futures_errors import notional_too_small, price_too_far, refused
from trading.paper.futures_orders import LAST, MARK
from trading.paper.ordering import SIDES, made_up_id
from trading.paper.orders import ZERO
from trading.paper.params import Params

CLIENT_ID_RANGE = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")
ALGO_ONLY = (*CONDITIONAL, "TRAILING_STOP_MARKET")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX")
ALGO_TIMES_IN_FORCE = (*TIMES_IN_FORCE, "GTE_GTC")
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class NewFutures:
    """An order as asked for: parameters read and well-formed, nothing else checked."""

    contract: Contract
    side: str
    type: str
    client_id: str
    time_in_force: str = "GTC"
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    reduce_only: bool = False

    @property
    def is_market(self) -> bool:
        """Whether it takes whatever there is."""
        return self.type == "MARKET"


@dataclass(frozen=True, slots=True)
class NewAlgo:
    """A conditional order as asked for."""

    contract: Contract
    side: str
    type: str
    client_id: str
    trigger_price: Decimal
    time_in_force: str = "GTC"
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    working_type: str = LAST
    reduce_only: bool = False
    close_position: bool = False
    price_protect: bool = False


def client_id_of(params: Params, name: str) -> str:
    """A client id or one made up; -4015 for a long one, -1100 for other characters."""
    value = params.text(name)
    if value is None:
        return made_up_id()
    if len(value) > 36:
        raise refused(-4015)
    if not _CLIENT_ID.fullmatch(value):
        raise illegal_characters(name, CLIENT_ID_RANGE)
    return value


def _choice(params: Params, name: str, allowed: Iterable[str], error: ApiError, default: str = "") -> str:
    if not default:
        params.needed(name)
    return params.choice(name, tuple(allowed), error) or default


def _common(params: Params, *, is_dual: bool) -> str:
    """side and positionSide; the account's mode must fit the latter (-4061)."""
    side = _choice(params, "side", SIDES, ApiError(-1117, "Invalid side."))
    named = _choice(params, "positionSide", ("BOTH", "LONG", "SHORT"), refused(-4060), "BOTH")
    if is_dual != (named != "BOTH"):
        raise refused(-4061)
    if is_dual:
        raise ApiError(-4084, "Method is not allowed currently. The paper exchange trades in one-way mode.")
    return side


def response_type(params: Params) -> str:
    """newOrderRespType: ACK unless RESULT is asked for; there is no FULL."""
    return _choice(params, "newOrderRespType", ("ACK", "RESULT"), refused(-1136), "ACK")


def read_order(params: Params, contract: Contract, *, is_dual: bool) -> NewFutures:
    """The order of POST /fapi/v1/order. Conditional types belong to the algo endpoint (-4120)."""
    side = _common(params, is_dual=is_dual)
    type_ = _choice(params, "type", ("LIMIT", "MARKET", *ALGO_ONLY), refused(-1116))
    if type_ in ALGO_ONLY:
        raise refused(-4120)
    if params.boolean("closePosition", False):
        raise refused(-4136, type_)
    client_id = client_id_of(params, "newClientOrderId")
    force = params.choice("timeInForce", TIMES_IN_FORCE, ApiError(-1115, "Invalid timeInForce."))
    quantity, price = params.decimal("quantity"), params.decimal("price")
    if quantity is None:
        raise missing("quantity")
    if type_ == "MARKET":
        if force is not None:
            raise ApiError(-1114, "TimeInForce parameter sent when not required.")
        if price is not None:
            raise not_required("price")
    elif force is None or price is None:
        raise missing("timeInForce" if force is None else "price")
    return NewFutures(
        contract,
        side,
        type_,
        client_id,
        force or "GTC",
        quantity,
        price or ZERO,
        params.boolean("reduceOnly", False),
    )


def read_algo(params: Params, contract: Contract, *, is_dual: bool) -> NewAlgo:
    """The conditional order of POST /fapi/v1/algoOrder. Trailing stops are not simulated (-1116)."""
    _choice(
        params,
        "algoType",
        ("CONDITIONAL",),
        ApiError(-1130, "Data sent for parameter 'algoType' is not valid."),
    )
    side = _common(params, is_dual=is_dual)
    type_ = _choice(params, "type", CONDITIONAL, refused(-1116))
    trigger = params.decimal("triggerPrice")
    if trigger is None:
        raise missing("triggerPrice")
    working = _choice(
        params, "workingType", (LAST, MARK), ApiError(-4031, "Invalid parameter working type"), LAST
    )
    force = _choice(
        params, "timeInForce", ALGO_TIMES_IN_FORCE, ApiError(-1115, "Invalid timeInForce."), "GTC"
    )
    quantity, price = params.decimal("quantity"), params.decimal("price")
    closes, reduces = params.boolean("closePosition", False), params.boolean("reduceOnly", False)
    is_market = type_.endswith("_MARKET")
    if closes:
        _check_close(type_, quantity, reduce_sent="reduceOnly" in params)
    elif quantity is None:
        raise missing("quantity")
    if is_market and price:
        raise not_required("price")
    if not is_market and price is None:
        raise missing("price")
    return NewAlgo(
        contract,
        side,
        type_,
        client_id_of(params, "clientAlgoId"),
        trigger,
        force,
        quantity or ZERO,
        price or ZERO,
        working,
        reduces,
        closes,
        params.boolean("priceProtect", False),
    )


def _check_close(type_: str, quantity: Decimal | None, *, reduce_sent: bool) -> None:
    if not type_.endswith("_MARKET"):
        raise refused(-4136, type_)
    if quantity:
        raise refused(-4137)
    if reduce_sent:
        raise not_required("reduceOnly")


def check_quantity(contract: Contract, quantity: Decimal, *, is_market: bool) -> None:
    """LOT_SIZE, and MARKET_LOT_SIZE for a market order; a zero switches its part off."""
    if quantity <= 0:
        raise refused(-4003)
    _check_precision(quantity, int(contract.info["quantityPrecision"]))
    for name in ("LOT_SIZE", "MARKET_LOT_SIZE") if is_market else ("LOT_SIZE",):
        row = contract.spec.filters.get(name)
        if row is None:
            continue
        least, most, step = (Decimal(row[key]) for key in ("minQty", "maxQty", "stepSize"))
        if least and quantity < least:
            raise refused(-4004)
        if most and quantity > most:
            raise refused(-4005)
        if step and (quantity - least) % step:
            raise refused(-4023)


def check_price(contract: Contract, price: Decimal, *, is_trigger: bool = False) -> None:
    """PRICE_FILTER of a limit or trigger price; a zero switches its part off."""
    if price <= 0:
        raise refused(-4006) if is_trigger else ApiError(-4001, "Price less than 0.")
    _check_precision(price, int(contract.info["pricePrecision"]))
    row = contract.spec.filters.get("PRICE_FILTER")
    if row is None:
        return
    least, most, tick = (Decimal(row[key]) for key in ("minPrice", "maxPrice", "tickSize"))
    if least and price < least:
        raise refused(-4013)
    if most and price > most:
        raise refused(-4002)
    if tick and (price - least) % tick:
        raise refused(-4014)


def check_percent(contract: Contract, side: str, price: Decimal, mark: Decimal) -> None:
    """PERCENT_PRICE of a limit price: a buy not far above the mark, a sell not far below it."""
    row = contract.spec.filters.get("PERCENT_PRICE")
    if row is None:
        return
    highest, lowest = mark * Decimal(row["multiplierUp"]), mark * Decimal(row["multiplierDown"])
    if side == "BUY" and price > highest:
        raise price_too_far(-4016, highest)
    if side == "SELL" and price < lowest:
        raise price_too_far(-4024, lowest)


def check_taking(contract: Contract, side: str, best: Decimal, mark: Decimal) -> None:
    """PERCENT_PRICE of a market order, whose price is the best one of the other side (-4131)."""
    try:
        check_percent(contract, side, best, mark)
    except ApiError as error:
        raise refused(-4131) from error


def check_notional(contract: Contract, quantity: Decimal, price: Decimal) -> None:
    """MIN_NOTIONAL of an order that is not reduce-only; a market order's price is the mark price."""
    row = contract.spec.filters.get("MIN_NOTIONAL")
    if row is not None and quantity * price < Decimal(row["notional"]):
        raise notional_too_small(Decimal(row["notional"]))


def _check_precision(value: Decimal, decimals: int) -> None:
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > decimals:
        raise refused(-1111)
