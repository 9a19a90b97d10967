"""Leverage, isolated margin and one-way mode: made sure of before an entry, remembered for a day."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from tradebot.binance.client import ExchangeClient
from tradebot.errors import ExchangeError, KeyRefused, RateLimited, Rejected
from trading import brackets
from trading.models import SymbolSetup

logger = logging.getLogger(__name__)

REMEMBERED = timedelta(hours=24)
PAUSE_AFTER_REFUSAL = timedelta(minutes=5)  # a refusal does not pass by itself: no storm of requests
ISOLATED, ONE_WAY = "ISOLATED", "one-way"


class _NotSet(Exception):
    """What could not be made sure of, as a sentence."""


def missing(account_id: int, symbol: str, leverage: int, now: datetime) -> str:
    """Why an entry can't be made yet: "" when the exchange is known to have what the bot wants."""
    row = SymbolSetup.objects.filter(account_id=account_id, market="futures", symbol=symbol).first()
    if _is_good(row, leverage, now):
        return ""
    if row is not None and row.leverage == leverage and row.error:
        return row.error
    return f"leverage {leverage}, isolated margin and one-way mode of {symbol} are not confirmed yet"


def ensure(account_id: int, symbol: str, leverage: int, client: ExchangeClient, now: datetime) -> str:
    """Ask for what the exchange has, set what differs, and remember it; "" or why it could not be done.

    Never inside a transaction: it may take several requests. A refusal is remembered and not tried again for
    five minutes. Raises KeyRefused.
    """
    row = SymbolSetup.objects.filter(account_id=account_id, market="futures", symbol=symbol).first()
    if _is_good(row, leverage, now):
        return ""
    if row is not None and row.leverage == leverage and row.next_try_at and now < row.next_try_at:
        return row.error
    values: dict[str, object] = {"leverage": leverage, "error": "", "next_try_at": None}
    try:
        _one_way(account_id, client, now)
        _isolated(symbol, client)
        _leverage(symbol, leverage, client)
    except KeyRefused:
        raise
    except (_NotSet, ExchangeError) as error:
        values |= {"checked_at": None, "error": str(error) if isinstance(error, _NotSet) else _unasked(error)}
        values["next_try_at"] = now + PAUSE_AFTER_REFUSAL if isinstance(error, _NotSet) else None
    else:
        values |= {"checked_at": now, "margin_type": ISOLATED, "position_mode": ONE_WAY}
    SymbolSetup.objects.update_or_create(
        account_id=account_id, market="futures", symbol=symbol, defaults=values
    )
    _note_brackets(symbol, client)
    if values["error"]:
        logger.warning("setup of %s, account %s: %s", symbol, account_id, values["error"])
    return str(values["error"])


def forget(account_id: int, symbol: str) -> None:
    """Have it asked for again: the exchange's answer to an order said that it is not so."""
    SymbolSetup.objects.filter(account_id=account_id, market="futures").filter(symbol=symbol).delete()


def _is_good(row: SymbolSetup | None, leverage: int, now: datetime) -> bool:
    if row is None or row.checked_at is None or row.leverage != leverage:
        return False
    return now - row.checked_at < REMEMBERED


def _unasked(error: ExchangeError) -> str:
    return f"leverage and margin type could not be asked for: {error}"


def _one_way(account_id: int, client: ExchangeClient, now: datetime) -> None:
    """The mode is the account's, and asking costs a weight of 30: any fresh setup of the account counts."""
    known = SymbolSetup.objects.filter(
        account_id=account_id, market="futures", position_mode=ONE_WAY, checked_at__gt=now - REMEMBERED
    )
    if not known.exists():
        _make(
            "one-way mode",
            is_so=lambda: not client.position_mode(),
            set_it=lambda: client.set_position_mode(hedge=False),
        )


def _isolated(symbol: str, client: ExchangeClient) -> None:
    _make(
        "isolated margin",
        is_so=lambda: _config(symbol, client)[0] == ISOLATED,
        set_it=lambda: client.set_margin_type(symbol, ISOLATED),
    )


def _leverage(symbol: str, leverage: int, client: ExchangeClient) -> None:
    _make(
        f"leverage {leverage}",
        is_so=lambda: _config(symbol, client)[1] == leverage,
        set_it=lambda: client.set_leverage(symbol, leverage),
    )


def _make(what: str, *, is_so: Callable[[], bool], set_it: Callable[[], object]) -> None:
    """Ask first, for the answers to a change of nothing vary (-4046, -4059, and -4067 for days in 2026).

    A refusal counts only if it is not so afterwards.
    """
    if is_so():
        return
    try:
        set_it()
    except (KeyRefused, RateLimited):
        raise
    except Rejected as error:
        if is_so():
            return
        raise _NotSet(f"{what} could not be set: {error} ({error.code})") from None


def _config(symbol: str, client: ExchangeClient) -> tuple[str, int]:
    """Margin type and leverage of a symbol. CROSSED is called "cross" in places."""
    for row in client.symbol_config(symbol):
        if row.get("symbol") == symbol:
            return str(row.get("marginType", "")).upper(), int(row.get("leverage", 0))
    return "", 0


def _note_brackets(symbol: str, client: ExchangeClient) -> None:
    """Beside the setup: how far leverage may go and what margin must stay. An entry does not need them."""
    if symbol in brackets.load_many(client.source, [symbol]):
        return
    try:
        brackets.refresh(client)
    except ExchangeError as error:
        logger.warning("leverage brackets of %s can't be had: %s", client.source.name, error)
