"""An account's money: reserved before an entry is sent, corrected when it is settled, asked for when old."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from marketdata.types import SymbolRules
from tradebot.binance.client import ExchangeClient
from tradebot.errors import RiskVeto
from tradebot.redis import redis_client
from trading.locks import lock_balances
from trading.models import AccountState, OrderRequest
from trading.models.journal import OPEN_STATES

REFRESH_PAUSE_MS = 5000
RESERVE_FACTOR = Decimal("1.01")  # a MARKET order may cost more than the price said


class Owner(Protocol):
    """What a reservation needs to know of the order's owner."""

    @property
    def account_id(self) -> int: ...
    @property
    def market(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside for one entry request."""

    asset: str
    amount: Decimal


def reserve(target: Owner, rules: SymbolRules, cost: Decimal) -> Reservation:
    """Set cost * 1.01 of the quote asset aside; the account's row is locked until the caller commits.

    Raises RiskVeto with the figures when the account has less, or when its balance is not known.
    """
    wanted = (cost * RESERVE_FACTOR).quantize(Decimal("1e-8"))
    row = lock_balances(target.account_id, target.market, {rules.quote})[rules.quote]
    if row.asked_at is None:
        raise RiskVeto("not buying: the account's balance is not known yet")
    available = row.free - row.reserved
    if available < wanted:
        raise RiskVeto(
            f"not buying: the account has {available:.2f} {rules.quote} free, the entry needs {wanted:.2f} "
            "(with 1 % reserve)"
        )
    row.reserved += wanted
    row.save(update_fields=["reserved"])
    return Reservation(rules.quote, wanted)


def release(request: OrderRequest) -> None:
    """Give back what the request had reserved, in the commit that ends it."""
    if not request.reserved_amount:
        return
    row = lock_balances(request.account_id, request.market, {request.reserved_asset})[request.reserved_asset]
    row.reserved = max(Decimal(0), row.reserved - request.reserved_amount)
    row.save(update_fields=["reserved"])


def settle(account_id: int, market: str, changes: dict[str, Decimal]) -> None:
    """Book what fills changed of the account's free balances, by asset."""
    asked_at = (
        AccountState.objects.filter(account_id=account_id, market=market, asked_at__isnull=False)
        .order_by("-asked_at")
        .values_list("asked_at", flat=True)
        .first()
    )
    for asset, row in lock_balances(account_id, market, set(changes)).items():
        row.free += changes[asset]
        row.asked_at = row.asked_at or asked_at  # what the last snapshot lacked was zero then
        row.save(update_fields=["free", "asked_at"])


def is_fresh(account_id: int, market: str, asset: str, now: datetime) -> bool:
    """Whether the asset's balance was asked for within the last 60 s."""
    oldest = now - timedelta(seconds=settings.TIMINGS.account_max_age_seconds)
    return AccountState.objects.filter(
        account_id=account_id, market=market, asset=asset, asked_at__gte=oldest
    ).exists()


def refresh(account_id: int, market: str, quote: str, client: ExchangeClient, now: datetime) -> bool:
    """Ask the exchange for the balances, every 5 s at most for an account; True when they were applied.

    A snapshot that a request of the account was open or settled beside is dropped: it may hold half of it.
    Raises the client's errors.
    """
    gate = f"account-refresh:{account_id}:{market}"
    is_known = AccountState.objects.filter(
        account_id=account_id, market=market, asset=quote, asked_at__isnull=False
    ).exists()
    if is_known and not redis_client().set(gate, b"1", nx=True, px=REFRESH_PAUSE_MS):
        return False
    return apply_snapshot(account_id, market, quote, client.account()["balances"], now)


def apply_snapshot(
    account_id: int, market: str, quote: str, balances: Iterable[dict[str, Any]], asked_at: datetime
) -> bool:
    """Write the exchange's free balances, as asked for at `asked_at`, unless they may be torn."""
    free = {row["asset"]: Decimal(row["free"]) for row in balances}
    known = set(
        AccountState.objects.filter(account_id=account_id, market=market).values_list("asset", flat=True)
    )
    wanted = {asset for asset, amount in free.items() if amount} | known | {quote}
    with transaction.atomic():
        rows = lock_balances(account_id, market, wanted)
        torn = OrderRequest.objects.filter(
            Q(state__in=OPEN_STATES) | Q(resolved_at__gte=asked_at), account_id=account_id, market=market
        )
        if torn.exists():
            return False
        for asset, row in rows.items():
            row.free, row.asked_at = free.get(asset, Decimal(0)), asked_at
            row.save(update_fields=["free", "asked_at"])
    return True
