"""What one look at an account carries along: whom it is about, what was found, what must not count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from marketdata import symbols
from marketdata.types import SymbolRules
from tradebot.binance.client import ExchangeClient
from tradebot.errors import BotBusy
from trading import outbox
from trading.assets import assets_of
from trading.locks import lock_state
from trading.models import AccountSweep, BotState, ExchangeAccount, Order, OrderRequest, Orphan, SymbolClaim
from trading.models.journal import OPEN_STATES

LOCK_SECONDS = 2
ZERO = Decimal(0)


@dataclass(slots=True)
class Swept:
    """What came of a look: sentences, bots to wake (with the id of what woke them), bots that were held."""

    account_id: int
    market: str
    findings: list[str] = field(default_factory=list)
    wakes: dict[int, str] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    booked: int = 0  # fills and adjustments
    look_again_at: datetime | None = None
    is_busy: bool = False  # somebody else is at it
    error: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether the look went through and found nothing."""
        return not (self.findings or self.error or self.is_busy or self.look_again_at)


@dataclass(slots=True)
class Scope:
    """One account in one market, at one moment. `asked_ms` is the exchange's clock just before asking."""

    account: ExchangeAccount
    market: str
    client: ExchangeClient
    row: AccountSweep
    now: datetime
    asked_ms: int
    swept: Swept
    totals: Mapping[str, Decimal] = field(default_factory=dict)  # the exchange's balances, locked ones too
    kept_suspects: set[str] = field(default_factory=set)
    unbooked_symbols: set[str] = field(default_factory=set)  # trades of ours that a run is to book
    _rules: dict[str, SymbolRules | None] = field(default_factory=dict)

    @property
    def where(self) -> dict[str, Any]:
        """The columns that name the account and the market."""
        return {"account_id": self.account.pk, "market": self.market}

    def rules(self, symbol: str) -> SymbolRules | None:
        """The symbol's rules, None where the cache has none."""
        if symbol not in self._rules:
            self._rules[symbol] = symbols.many(self.client.source, [symbol]).get(symbol)
        return self._rules[symbol]

    def assets_of(self, symbol: str) -> tuple[str, str]:
        """Base and quote asset."""
        return assets_of(symbol, self.rules(symbol))

    def find(self, sentence: str) -> None:
        """Note what was found, once."""
        if sentence not in self.swept.findings:
            self.swept.findings.append(sentence)

    def wake(self, bot_id: int, what: str) -> None:
        """Have the bot's run ask for its orders; again each minute while it is so."""
        self.swept.wakes.setdefault(bot_id, f"sweep:{what}:{self.asked_ms // 60_000}"[:80])

    def look_again(self, seconds: float) -> None:
        """Have the account looked at again after this many seconds."""
        at = self.now + timedelta(seconds=seconds)
        self.swept.look_again_at = min(self.swept.look_again_at or at, at)

    def is_second(self, key: str, value: str) -> bool:
        """Whether this difference was seen before, the same to the digit, at least 10 s ago.

        What was under way while one answer was given is no difference ten seconds later.
        """
        gap = settings.TIMINGS.not_found_gap_seconds
        seen = self.row.suspects.get(key)
        if seen and seen["value"] == value:
            since = datetime.fromisoformat(seen["since"])
            if self.now - since >= timedelta(seconds=gap):
                self.row.suspects.pop(key)
                return True
        else:
            self.row.suspects[key] = {"value": value, "since": self.now.isoformat()}
        self.kept_suspects.add(key)
        self.look_again(gap)
        return False

    def holder(self, symbol: str) -> int | None:
        """The bot that a symbol of the account belongs to, if any."""
        return (
            SymbolClaim.objects.filter(**self.where, symbol=symbol).values_list("bot_id", flat=True).first()
        )

    def hold(self, bot_ids: Iterable[int], reason: str) -> None:
        """Pause the bots (drift) and tell their owner. A busy one is tried again soon."""
        for bot_id in bot_ids:
            try:
                if hold_drift(bot_id, reason, self.now):
                    self.swept.held.add(bot_id)
            except BotBusy:
                self.look_again(1)

    def all_bots(self) -> list[int]:
        """The account's bots that may trade."""
        states = BotState.objects.filter(bot__account_id=self.account.pk, bot__market=self.market)
        may_trade = states.filter(Q(bot__is_active=True) | Q(in_position=True), bot__deleted_at__isnull=True)
        return list(may_trade.order_by("bot_id").values_list("bot_id", flat=True))

    def moving_symbols(self) -> set[str]:
        """Symbols in which something is, or since the question was, under way: they prove nothing now."""
        requests = OrderRequest.objects.filter(**self.where).filter(
            Q(state__in=OPEN_STATES) | Q(resolved_at__gte=self.now)
        )
        orders = Order.objects.filter(**self.where).filter(
            Q(fills_complete=False, executed_quantity__gt=0) | Q(updated_at__gte=self.now)
        )
        orphans = Orphan.objects.filter(**self.where, resolved_at__isnull=True, executed__gt=0)
        found = set(self.unbooked_symbols)
        for rows in (requests, orders, orphans):
            found |= set(rows.order_by().values_list("symbol", flat=True).distinct())
        return found


def hold_drift(bot_id: int, reason: str, now: datetime) -> bool:
    """Pause one bot because its books and the exchange part; False if it was paused so already.

    Raises BotBusy.
    """
    with transaction.atomic(durable=True):
        return hold_locked(lock_state(bot_id, wait_seconds=LOCK_SECONDS), reason, now)


def hold_locked(state: BotState, reason: str, now: datetime) -> bool:
    """The same for a state row that is locked already. A pause for another reason stays what it is."""
    if state.hold:
        return False
    state.hold = "drift"
    state.status, state.status_reason, state.last_error_message = "paused (drift)", reason, reason
    state.save(update_fields=["hold", "status", "status_reason", "last_error_message"])
    outbox.held(state.bot, "drift", reason, now)
    return True
