"""What the journal adds up to: an account's balances by asset, and its futures positions by symbol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

from django.db.models import Case, F, Sum, Value, When

from trading.models import Adjustment, BotState, Fill, FundingPayment
from trading.wire import Amounts

ZERO = Decimal(0)
DUST = "dust"  # the kind of adjustment that changes a bot's position and no balance
Assets = Callable[[str], tuple[str, str]]  # base and quote of a symbol


def balances(account_id: int, market: str, assets_of: Assets) -> Amounts:
    """What all fills, payments and adjustments of the account changed of its balances, by asset.

    The exchange's balance less this is constant, but for what came from outside.
    """
    found: Amounts = defaultdict(Decimal)
    fills = Fill.objects.filter(account_id=account_id, market=market).order_by()
    if market == "spot":
        rows = fills.values_list("symbol", "side").annotate(
            base=Sum("quantity"), worth=Sum(F("quantity") * F("price"))
        )
        for symbol, side, base, worth in rows:
            sign = 1 if side == "BUY" else -1
            base_asset, quote_asset = assets_of(symbol)
            found[base_asset] += sign * base
            found[quote_asset] -= sign * worth
    else:
        for symbol, gained in fills.values_list("symbol").annotate(gained=Sum("exchange_pnl")):
            found[assets_of(symbol)[1]] += gained or ZERO
        paid = FundingPayment.objects.filter(account_id=account_id, market=market).order_by()
        for asset, total in paid.values_list("asset").annotate(total=Sum("amount")):
            found[asset] += total
    for asset, total in fills.values_list("commission_asset").annotate(total=Sum("commission")):
        if total:
            found[asset] -= total
    moved = Adjustment.objects.filter(account_id=account_id, market=market).exclude(kind=DUST).order_by()
    for asset, total in moved.values_list("asset").annotate(total=Sum("quantity")):
        found[asset] += total
    return dict(found)


def positions(account_id: int) -> Amounts:
    """The signed futures positions by symbol that the account's fills add up to; flat ones are left out."""
    sign = Case(When(side="BUY", then=Value(1)), default=Value(-1))
    rows = (
        Fill.objects.filter(account_id=account_id, market="futures")
        .order_by()
        .values_list("symbol")
        .annotate(total=Sum(F("quantity") * sign))
    )
    return {symbol: total for symbol, total in rows if total}


def held_by_bots(account_id: int, market: str) -> Amounts:
    """The signed positions by symbol that the account's bots say they hold."""
    found: Amounts = defaultdict(Decimal)
    states = BotState.objects.filter(bot__account_id=account_id, bot__market=market, in_position=True)
    rows = states.values_list("bot__symbol", "bot__position_type", "current_position_size_coins")
    for symbol, side, size in rows:
        found[symbol] += -size if side == "short" else size
    return dict(found)
