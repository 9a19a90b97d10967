"""I14: balances and positions of the exchange against the journal's, on an account that is ours alone."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tradebot.binance.client import ExchangeClient
from trading.findings import Finding
from trading.holdings import expected_position
from trading.models import AccountState, BotState, ExchangeAccount, Order
from trading.models.journal import DOUBT_STATES
from trading.wire import position_of, wire_of

ZERO = Decimal(0)


def is_moving(account: ExchangeAccount, market: str) -> bool:
    """Whether an order's outcome or its fills are not known: then balances prove nothing yet."""
    if account.requests.filter(market=market, state__in=DOUBT_STATES).exists():
        return True
    unbooked = Order.objects.filter(account=account, market=market, fills_complete=False)
    return unbooked.filter(executed_quantity__gt=0).exists()


def balances(account: ExchangeAccount, market: str, client: ExchangeClient) -> list[Finding]:
    """Every balance that was ever asked for; what rests on the exchange is in neither side."""
    theirs = wire_of(market).free(client.account())
    found = []
    for state in AccountState.objects.filter(account=account, market=market, asked_at__isnull=False):
        there = theirs.get(state.asset, ZERO)
        if state.free != there:
            sentence = f"balance of {state.asset}: {text(state.free)} here, {text(there)} there"
            about = f"account {account.pk} {market} {state.asset}"
            found.append(Finding("I14", about, sentence, account_id=account.pk))
    return found


def positions(account: ExchangeAccount, rows: list[dict[str, Any]], symbols: Iterable[str]) -> list[Finding]:
    """Positions of the exchange, of the journal's fills and of the bots' states: all three equal."""
    found = []
    for symbol in sorted({*symbols, *(row["symbol"] for row in rows)}):
        there, here = position_of(rows, symbol), expected_position(account.pk, "futures", symbol)
        states = BotState.objects.filter(
            bot__account=account, bot__market="futures", bot__symbol=symbol, in_position=True
        ).values_list("current_position_size_coins", "bot__position_type")
        held = sum((-size if side == "short" else size for size, side in states), ZERO)
        if not there == here == held:
            sentence = (
                f"{symbol}: position {text(there)} there, {text(here)} by the fills here, "
                f"{text(held)} by the bots"
            )
            found.append(Finding("I14", f"account {account.pk} {symbol}", sentence, account_id=account.pk))
    return found


def text(value: object) -> str:
    """A value as it stands in a sentence."""
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
