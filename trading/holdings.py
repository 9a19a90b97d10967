"""What an account should hold of a symbol by the journal, and whether the exchange agrees."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import Case, F, Q, Sum, Value, When

from marketdata.types import SymbolRules
from tradebot.binance.client import ExchangeClient
from trading.models import AccountState, Fill, Order, OrderRequest
from trading.wire import position_of, wire_of

ZERO = Decimal(0)
FEES = Decimal("0.002")  # of an order's quantity: what fees that are not visible yet may make of it


def expected_position(account_id: int, market: str, symbol: str) -> Decimal:
    """The signed futures position in base units that the journal's fills add up to, negative when short.

    Orders whose fills are not all booked count by what they executed.
    """
    sign = Case(When(side="BUY", then=Value(1)), default=Value(-1))
    where = {"account_id": account_id, "market": market, "symbol": symbol}
    total: Decimal = Fill.objects.filter(**where).aggregate(total=Sum(F("quantity") * sign))["total"] or ZERO
    for order in Order.objects.filter(**where, fills_complete=False, executed_quantity__gt=0):
        booked = order.fills.aggregate(total=Sum("quantity"))["total"] or ZERO
        missing = order.executed_quantity - booked
        total += missing if order.side == "BUY" else -missing
    return total


def differs(row: OrderRequest, rules: SymbolRules | None, client: ExchangeClient) -> str | None:
    """How the account's coins (futures: position) of the request's symbol differ from the journal, or None.

    Proves something only on an account that is TradeBot's alone; on others nothing is asked.
    """
    if not row.account.is_exclusive:
        return None
    if row.market == "futures":
        return _position_differs(row, client)
    return None if rules is None else _coins_differ(row, rules.base, client)


def _position_differs(row: OrderRequest, client: ExchangeClient) -> str | None:
    there = position_of(client.position_risk(row.symbol), row.symbol)
    here = expected_position(row.account_id, row.market, row.symbol)
    return None if there == here else f"the account's position is {there}, the journal expects {here}"


def base_known(account_id: int, symbol: str, base: str) -> Decimal | None:
    """Coins that a spot account is known to have, those held by our own resting sales too; None if unknown.

    A sale that rested when the balance was asked for had left it, and counts even if it ended since then:
    rather too much than too little.
    """
    row = AccountState.objects.filter(
        account_id=account_id, market="spot", asset=base, asked_at__isnull=False
    ).first()
    if row is None or row.asked_at is None:
        return None
    resting = Order.objects.filter(
        Q(live=True) | Q(updated_at__gte=row.asked_at),
        account_id=account_id,
        market="spot",
        symbol=symbol,
        side="SELL",
        created_at__lt=row.asked_at,
    ).exclude(type="MARKET")
    by_request: dict[int, Decimal] = {}
    for order in resting:  # the legs of a list hold the same coins
        rest = order.quantity - order.executed_quantity
        by_request[order.request_id] = max(rest, by_request.get(order.request_id, ZERO))
    return row.free + sum(by_request.values(), ZERO)


def _coins_differ(row: OrderRequest, base: str, client: ExchangeClient) -> str | None:
    """The coins against the journal's balance; what resting sales hold may count in it or not."""
    expected = AccountState.objects.filter(
        account_id=row.account_id, market=row.market, asset=base, asked_at__isnull=False
    ).first()
    if expected is None:
        return None
    wire, account = wire_of(row.market), client.account()
    free, total = wire.free(account).get(base, ZERO), wire.total(account).get(base, ZERO)
    resting = Order.objects.filter(
        account_id=row.account_id, market=row.market, symbol=row.symbol, side="SELL", live=True
    ).exclude(request=row)
    least = free if resting.exists() else total
    allowed = max((order.quantity for order in row.orders.all()), default=ZERO) * FEES
    if least - allowed <= expected.free <= total + allowed:
        return None
    return f"the account has {total} {base}, the journal expects {expected.free}"
