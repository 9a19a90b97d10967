"""What an account should hold of a symbol by the journal, and whether the exchange agrees."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import Case, F, Sum, Value, When

from marketdata.types import SymbolRules
from tradebot import rows
from tradebot.binance.client import ExchangeClient
from trading import money
from trading.models import Fill, Order, OrderRequest
from trading.wire import position_of, wire_of

ZERO = Decimal(0)
# what is free, and what resting sales keep back (money.locked_in_sells): the legs of a list the same coins
BASE_KNOWN = """
SELECT free + coalesce((
    SELECT sum(locked) FROM (
        SELECT max(quantity - executed_quantity) AS locked FROM trading_order
        WHERE account_id = %s AND market = 'spot' AND symbol = %s AND side = 'SELL' AND status = ANY(%s)
            AND type <> 'MARKET'
        GROUP BY request_id
    ) AS sales), 0)
FROM trading_accountstate
WHERE account_id = %s AND market = 'spot' AND asset = %s AND asked_at IS NOT NULL
"""
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
    """Coins that a spot account has by the journal, those of our resting sales too; None: not known."""
    found = rows.run(rows.Statement(BASE_KNOWN, [account_id, symbol, list(money.RESTING), account_id, base]))
    return found[0][0] if found else None


def _coins_differ(row: OrderRequest, base: str, client: ExchangeClient) -> str | None:
    here = base_known(row.account_id, row.symbol, base)
    if here is None:
        return None
    total = wire_of(row.market).total(client.account()).get(base, ZERO)
    allowed = max((order.quantity for order in row.orders.all()), default=ZERO) * FEES
    if abs(total - here) <= allowed:
        return None
    return f"the account has {total} {base}, the journal expects {here}"
