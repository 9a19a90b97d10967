"""Reading the bodies of control requests, with a sentence for what is wrong."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from trading.paper.params import Params

if TYPE_CHECKING:
    from trading.paper.books import Account
    from trading.paper.exchange import Exchange

Body = dict[str, Any]


class ControlRefused(ValueError):
    """Raised for a control request that cannot be done; the text is answered with 400."""


def account_of(exchange: Exchange, body: Body) -> Account:
    """The account of `apiKey`."""
    account = exchange.books.accounts.get(str(body.get("apiKey")))
    if account is None:
        raise ControlRefused("no account has this apiKey")
    return account


def amount(body: Body, name: str) -> Decimal:
    """A number above zero."""
    try:
        value = Decimal(str(body.get(name)))
    except InvalidOperation as error:
        raise ControlRefused(f"{name} must be a number") from error
    if not value.is_finite() or value <= 0:
        raise ControlRefused(f"{name} must be a number above zero")
    return value


def as_params(body: Body, *leave_out: str) -> Params:
    """A body as the parameters of a request."""
    sent = {
        name: f"{value:f}"
        if isinstance(value, Decimal)
        else str(value).lower()
        if value is True
        else str(value)
        for name, value in body.items()
        if name not in leave_out and value is not None
    }
    return Params(urlencode(sent), "")
