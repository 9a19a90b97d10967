"""Funding and fees of liquidations: asked for, and booked to the wallet and to the bot they belong to."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Max, Min

from tradebot.binance.client import ExchangeClient
from tradebot.clock import from_ms, to_ms
from tradebot.errors import BotBusy
from trading import money
from trading.books import count_payment
from trading.locks import lock_state
from trading.models import AccountState, BotState, ExchangeAccount, Fill, FundingPayment

logger = logging.getLogger(__name__)

PAGE = 1000
OVERLAP = timedelta(hours=1)  # asked for again: what the exchange was slow to list
WALLET_ASSET = "USDT"  # the row that remembers when an account's income was asked for
LOCK_SECONDS = 2


@dataclass(frozen=True, slots=True)
class _Payment:
    kind: str
    tran_id: int
    symbol: str
    asset: str
    amount: Decimal
    paid_at: datetime


def accounts_due() -> list[ExchangeAccount]:
    """Accounts that have a futures position, or traded futures since they were last asked about."""
    in_position = set(
        BotState.objects.filter(bot__market="futures", in_position=True).values_list(
            "bot__account_id", flat=True
        )
    )
    asked = dict(
        AccountState.objects.filter(market="futures", asset=WALLET_ASSET, income_asked_at__isnull=False)
        .values_list("account_id", "income_asked_at")
    )  # fmt: skip
    newest = (
        Fill.objects.filter(market="futures").order_by().values("account_id").annotate(at=Max("traded_at"))
    )
    traded = {row["account_id"]: row["at"] for row in newest}
    due = {one for one, at in traded.items() if one in in_position or one not in asked or at >= asked[one]}
    return list(ExchangeAccount.objects.filter(pk__in=due).order_by("pk"))


def book_income(account: ExchangeAccount, client: ExchangeClient, now: datetime) -> int:
    """Ask for the account's funding and liquidation fees since the last time and book what is new.

    Gives how many payments were booked. Twice is once: each has a number. What belongs to a bot that is being
    run is left for the next time. Costs a weight of 60. Raises the client's errors.
    """
    since = _since(account)
    if since is None:
        return 0
    booked, complete = 0, True
    for payment in _ask(client, since):
        bot_id = _bot_of(account, payment)
        try:
            booked += _book(account, bot_id, payment, now)
        except BotBusy:
            complete = False
    if complete:
        AccountState.objects.filter(account=account, market="futures", asset=WALLET_ASSET).update(
            income_asked_at=now
        )
    return booked


def _since(account: ExchangeAccount) -> datetime | None:
    asked: datetime | None = (
        AccountState.objects.filter(account=account, market="futures", asset=WALLET_ASSET)
        .values_list("income_asked_at", flat=True)
        .first()
    )
    if asked is None:
        fills = Fill.objects.filter(account=account, market="futures")
        asked = fills.aggregate(first=Min("traded_at"))["first"]
    return None if asked is None else asked - OVERLAP


def _ask(client: ExchangeClient, since: datetime) -> Iterable[_Payment]:
    for kind in FundingPayment.Kind.values:
        start_ms = to_ms(since)
        while True:
            page = client.income(income_type=kind, start_ms=start_ms, limit=PAGE)
            for row in page:
                yield _payment(kind, row)
            if len(page) < PAGE or int(page[-1]["time"]) <= start_ms:
                break
            start_ms = int(page[-1]["time"])


def _payment(kind: str, row: dict[str, Any]) -> _Payment:
    return _Payment(
        kind=kind,
        tran_id=int(row["tranId"]),
        symbol=row["symbol"],
        asset=row["asset"],
        amount=Decimal(row["income"]),
        paid_at=from_ms(int(row["time"])),
    )


def _bot_of(account: ExchangeAccount, payment: _Payment) -> int | None:
    """The bot that traded the symbol last by then: a symbol of an account has one bot at a time."""
    fills = Fill.objects.filter(
        account=account,
        market="futures",
        symbol=payment.symbol,
        traded_at__lte=payment.paid_at,
        bot__isnull=False,
    )
    return fills.order_by("-traded_at", "-trade_id").values_list("bot_id", flat=True).first()


def _book(account: ExchangeAccount, bot_id: int | None, payment: _Payment, now: datetime) -> int:
    known = FundingPayment.objects.filter(
        account=account, market="futures", kind=payment.kind, tran_id=payment.tran_id
    )
    if known.exists():
        return 0
    with transaction.atomic(durable=True):
        state = None if bot_id is None else lock_state(bot_id, wait_seconds=LOCK_SECONDS)
        _, is_new = FundingPayment.objects.get_or_create(
            account=account,
            market="futures",
            kind=payment.kind,
            tran_id=payment.tran_id,
            defaults={
                "bot_id": bot_id,
                "symbol": payment.symbol,
                "asset": payment.asset,
                "amount": payment.amount,
                "paid_at": payment.paid_at,
            },
        )
        if not is_new:
            return 0
        money.settle_payment(account.pk, "futures", {payment.asset: payment.amount}, payment.paid_at)
        if state is not None:
            count_payment(state, payment.amount, now)
        return 1
