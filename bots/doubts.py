"""What owners do about doubts: end a quarantined request, clear a bot's hold. Then the bot is looked at."""

from __future__ import annotations

from typing import Any

from bots import inbox, services
from bots.models import BotConfig, BotInbox
from marketdata import symbols
from marketdata.types import SymbolRules
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import source_for
from tradebot.clock import now
from tradebot.errors import ClientInitFailed, InvalidInput, KeyDecryptFailed, Refused, StaleData
from trading import quarantine
from trading.accounts import client_for
from trading.models import ExchangeAccount, OrderRequest


def doubt_resolve(
    *, request: OrderRequest, outcome: str, reason: str, by: Any
) -> tuple[OrderRequest, BotInbox]:
    """End a quarantined request as trading.quarantine does; gives it, and an inbox entry to wake the bot by.

    Raises InvalidInput, and Refused with a sentence; nothing is changed then.
    """
    _check_owner(request.account, by, f"There is no doubt {request.pk}.", "doubt")
    row = quarantine.resolve(
        request=request,
        outcome=outcome,
        by=by,
        reason=reason,
        client=_client(request.account, request.market),
        rules=_rules(request.account, request.market, request.symbol),
        now=now(),
    )
    return row, inbox.put(row.bot_id, BotInbox.Kind.RUN, now())


def hold_clear(*, bot: BotConfig, reason: str, by: Any) -> BotInbox:
    """End the bot's hold as trading.quarantine does; gives the inbox entry to wake it by.

    Raises InvalidInput, and Refused with a sentence; nothing is changed then.
    """
    if not (by.is_superuser or bot.user_id == by.pk) or bot.deleted_at is not None:
        raise services.no_such_bot(bot.pk)
    quarantine.clear_hold(
        bot=bot,
        by=by,
        reason=reason,
        client=_client(bot.account, bot.market),
        rules=_rules(bot.account, bot.market, bot.symbol),
        now=now(),
    )
    return inbox.put(bot.pk, BotInbox.Kind.RUN, now())


def _check_owner(account: ExchangeAccount, by: Any, text: str, field: str) -> None:
    if not (by.is_superuser or account.user_id == by.pk):
        raise InvalidInput(text, field)


def _client(account: ExchangeAccount, market: str) -> ExchangeClient:
    try:
        return client_for(account, market, "exit")
    except (KeyDecryptFailed, ClientInitFailed) as error:
        raise Refused(f"The exchange can't be asked: {error}") from None


def _rules(account: ExchangeAccount, market: str, symbol: str) -> SymbolRules | None:
    try:
        return symbols.many(source_for(account.environment, market), [symbol]).get(symbol)
    except StaleData:
        return None
