"""Reads what people ask of kill switches: which scope, how far, why, and whether the scope is theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model

from bots.models import BotConfig
from tradebot.errors import InvalidInput
from tradebot.inputs import clean_name, shown
from trading import kill
from trading.models import ExchangeAccount, KillSwitch
from trading.models.fields import Market

FIELDS = ("scope", "user", "account", "bot", "market", "symbol", "level", "reason")
SCOPES, LEVELS = tuple(KillSwitch.Scope.values), tuple(KillSwitch.Level.values)
NEEDS = {
    "all": (),
    "owner": ("user",),
    "account": ("account",),
    "bot": ("bot",),
    "symbol": ("market", "symbol", "account"),
}


def check(*, by: Any, values: Mapping[str, Any]) -> KillSwitch:
    """The switch that `values` describe, not saved. Raises InvalidInput with every field at fault."""
    scope = _one_of(values, "scope", SCOPES, "")
    level = _one_of(values, "level", LEVELS, LEVELS[0])
    switch = KillSwitch(scope=scope, level=level, reason=text_of("reason", values.get("reason")))
    given = {
        name for name in ("user", "account", "bot", "market", "symbol") if values.get(name) not in (None, "")
    }
    if surplus := sorted(given - set(NEEDS[scope])):
        raise InvalidInput(f"A switch for {scope} takes no {surplus[0]}; leave it out.", surplus[0])
    if scope == "all" and not is_operator(by):
        raise InvalidInput("Only a superuser can switch off everything; choose a scope of your own.", "scope")
    if scope == "owner":
        switch.user = by if "user" not in given and by is not None else _user(values.get("user"), by)
    elif scope == "bot":
        switch.bot = _own(BotConfig, values.get("bot"), by, "bot", deleted_at__isnull=True)
        switch.user = switch.bot.user
    elif scope == "account" or "account" in given:
        switch.account = _own(ExchangeAccount, values.get("account"), by, "account")
        switch.user = switch.account.user
    if scope == "symbol":
        _add_symbol(switch, by, values)
    switch.key = kill.key_of(switch)
    return switch


def _add_symbol(switch: KillSwitch, by: Any, values: Mapping[str, Any]) -> None:
    switch.market = _one_of(values, "market", tuple(Market.values), "spot")
    symbol = text_of("symbol", values.get("symbol"))
    if not symbol.isalnum() or symbol != symbol.upper() or len(symbol) > 40:
        raise InvalidInput(
            f"Symbol must be written as the exchange does, like BTCUSDT; not {shown(symbol)}.", "symbol"
        )
    switch.symbol = symbol
    if switch.account is None and not is_operator(by):
        raise InvalidInput(
            "Only a superuser can switch off a symbol everywhere; name one of your accounts.", "account"
        )


def _one_of(values: Mapping[str, Any], name: str, known: tuple[str, ...], default: str) -> str:
    value = values.get(name)
    if value in (None, "") and default:
        return default
    if not isinstance(value, str) or value not in known:
        raise InvalidInput(
            f"{name.capitalize()} must be one of {', '.join(known)}; not {shown(value)}.", name
        )
    return value


def text_of(name: str, value: object) -> str:
    try:
        return clean_name("" if value is None else value)
    except InvalidInput as error:
        text = str(error).replace("give it a name", "say it in a few words")
        raise InvalidInput(f"{name.capitalize()} {text}", name) from None


def _user(value: object, by: Any) -> Any:
    if value in (None, ""):
        raise InvalidInput("User is missing: name the owner whose bots are to stop.", "user")
    number = _number(value)
    users = get_user_model().objects.all()
    if not is_operator(by):
        users = users.filter(pk=by.pk)
    user = users.filter(pk=number).first() if number else None
    if user is None:
        raise InvalidInput(f"There is no such user {shown(value)}; name an owner of bots.", "user")
    return user


def _own(model: type[Model], value: object, by: Any, noun: str, **where: Any) -> Any:
    number = _number(value)
    rows = model._default_manager.filter(**where).select_related("user")
    if not is_operator(by):
        rows = rows.filter(user=by)
    row = rows.filter(pk=number).first() if number else None
    if row is None:
        raise InvalidInput(f"There is no such {noun}; choose one of your own.", noun)
    return row


def _number(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**18
    return int(value) if is_number else None  # type: ignore[call-overload,no-any-return]


def is_operator(by: Any) -> bool:
    return by is None or bool(by.is_superuser)
