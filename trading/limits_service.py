"""What owners do with limits across bots, for admin and API: set them, and remove them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from tradebot.errors import InvalidInput
from tradebot.inputs import parse_decimal, parse_whole, shown
from trading.models import ExchangeAccount, RiskLimits

AMOUNTS = {
    "max_daily_loss": "Max daily loss",
    "max_exposure_per_coin": "Max exposure per coin",
    "max_exposure": "Max exposure",
}
COUNTS = {"max_open_positions": "Max open positions", "max_orders_per_minute": "Max orders per minute"}
FIELDS = (*AMOUNTS, *COUNTS)
MOST_USDT = Decimal(10**12)
MOST_COUNT = 100_000


def limits_create(*, user: Any, account: ExchangeAccount | None, values: Mapping[str, Any]) -> RiskLimits:
    """The limits of one of the user's accounts, or of the user over all accounts where `account` is None.

    Raises InvalidInput that names the field; there is one row for each.
    """
    if account is not None and account.user_id != user.pk:
        raise InvalidInput("There is no such account; choose one of your own.", "account")
    cleaned = limits_check(values)
    try:
        with transaction.atomic():
            return RiskLimits.objects.create(user=user, account=account, **cleaned)
    except IntegrityError:
        raise already_set(account) from None


def limits_change(*, limits: RiskLimits, by: Any, values: Mapping[str, Any]) -> RiskLimits:
    """Other limits, which count from the next entry on; what `values` leaves out stays. Raises InvalidInput.

    Another daily loss is judged anew: that the old one was reached today is forgotten.
    """
    with transaction.atomic():
        return _change(_own(limits, by, for_update=True), values)


def _change(limits: RiskLimits, values: Mapping[str, Any]) -> RiskLimits:
    cleaned = limits_check({name: getattr(limits, name) for name in FIELDS} | dict(values))
    if cleaned["max_daily_loss"] != limits.max_daily_loss:
        limits.loss_reached_on = None
    for name, value in cleaned.items():
        setattr(limits, name, value)
    limits.save()
    return limits


def limits_delete(*, limits: RiskLimits, by: Any) -> None:
    """Remove the limits. Raises InvalidInput for somebody else's."""
    _own(limits, by).delete()


def limits_check(values: Mapping[str, Any]) -> dict[str, Any]:
    """The cleaned limits; None and "" mean no limit. Raises InvalidInput with every field at fault."""
    unknown = sorted(set(values) - set(FIELDS))
    if unknown:
        raise InvalidInput(f"There is no limit {shown(unknown[0])}.", unknown[0])
    cleaned: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, label in (AMOUNTS | COUNTS).items():
        value = values.get(name)
        try:
            cleaned[name] = None if value in (None, "") else _number(name, value)
        except InvalidInput as error:
            wrong[name] = f"{label} {error}"
    if wrong:
        raise InvalidInput(" ".join(wrong.values()), fields=wrong)
    return cleaned


def already_set(account: ExchangeAccount | None) -> InvalidInput:
    """The answer to a second row for the same."""
    whose = f"account {account.name}" if account else "all your accounts together"
    return InvalidInput(f"There are limits for {whose} already; change those.", "account")


def _number(name: str, value: object) -> Decimal | int:
    if name in COUNTS:
        return parse_whole(value, minimum=1, maximum=MOST_COUNT)
    return parse_decimal(value, minimum=Decimal(0), maximum=MOST_USDT, places=8, above=True)


def _own(limits: RiskLimits, by: Any, *, for_update: bool = False) -> RiskLimits:
    rows = RiskLimits.objects.select_related("user", "account")
    if for_update:
        rows = rows.select_for_update(no_key=True, of=("self",))
    fresh = rows.filter(pk=limits.pk).first()
    if fresh is None or not (by.is_superuser or fresh.user_id == by.pk):
        raise InvalidInput("There are no such limits; look at the list of your limits.", "limits")
    return fresh
