"""What the exchange's lists of orders, trades and coins say of a request in doubt: the events of asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Q

from marketdata.types import SymbolRules
from tradebot.binance.client import ExchangeClient
from tradebot.errors import OrderNotFound
from trading import holdings, legs, money, protocol
from trading.filters import lots_to_quantity, quantity_to_lots
from trading.ids import PREFIX
from trading.models import BotState, Order, OrderRequest
from trading.models.journal import OPEN_STATES
from trading.wire import wire_of

ZERO = Decimal(0)
SINCE_MS = 1000  # before the request's time stamp: orders and trades from then on are looked at


@dataclass(slots=True)
class Asked:
    """What was asked for one doubt: `body` is the exchange's last word on it, in the shape of its POST."""

    row: OrderRequest
    orders: list[Order]
    state: BotState
    rules: SymbolRules | None
    client: ExchangeClient
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Client ids by which the exchange may know something of it."""
        return {self.row.client_id, *(order.client_order_id for order in self.orders)}


def gather(asked: Asked) -> protocol.Event:
    """Orders and trades since just before the request, and what is held: do they know of it?

    Found by any leg is found. While another order of the symbol is unsettled nothing can be weighed.
    Raises the client's errors.
    """
    row, client = asked.row, asked.client
    since_ms = row.ts_ms - SINCE_MS
    known_orders = client.all_orders(row.symbol, start_ms=since_ms)
    if _found_in(asked, known_orders):
        return protocol.Found()
    trades = client.my_trades(row.symbol, start_ms=since_ms)
    strangers = _unknown_ids(row, trades)
    if _found_by_trade(asked, strangers):
        return protocol.Found()
    if _others_unsettled(asked):
        return protocol.AskFailed()
    difference = (
        _unknown_order(known_orders)
        or _unknown_trade(row, strangers)
        or holdings.differs(row, asked.rules, client)
        or _coins_missing(asked)
    )
    if difference and _younger_in_doubt(row):
        return protocol.AskFailed()  # that one may have made the difference: it is weighed first
    if difference:
        return protocol.Evidence(False, difference)
    return protocol.Evidence(True, "the exchange has no such order, no trade of it, and the balance agrees")


def find(asked: Asked) -> bool:
    """Whether the lists of orders and trades show a leg of it; then the body is the exchange's word.

    Raises the client's errors.
    """
    row, client, since_ms = asked.row, asked.client, asked.row.ts_ms - SINCE_MS
    if _found_in(asked, client.all_orders(row.symbol, start_ms=since_ms)):
        return True
    return _found_by_trade(asked, _unknown_ids(row, client.my_trades(row.symbol, start_ms=since_ms)))


def check_exit(asked: Asked) -> protocol.Event:
    """Whether a second spot exit may be written: trades, open orders and coins are asked for.

    Where the account has enough for two, that is noted on the row (`base_before`). Raises the client's
    errors.
    """
    if asked.rules is None:
        return protocol.ExitChecked(False, "the symbol's rules are not known")
    row, client = asked.row, asked.client
    trades = client.my_trades(row.symbol, start_ms=row.ts_ms - SINCE_MS)
    if _found_in(asked, client.open_orders(row.symbol)) or _found_by_trade(asked, _unknown_ids(row, trades)):
        return protocol.Found()
    total = coins(row, asked.rules, client.account())[1]
    if protocol.covers_two(_quantity(asked), total):
        row.base_before = max(total, row.base_before or ZERO)
    why_not = _why_no_successor(asked, asked.rules, total, trades)
    before = max(total, row.base_before or ZERO)
    at_once = protocol.follows_at_once(before, _sellable_position(asked), asked.rules.lot_step)
    return protocol.ExitChecked(why_not is None, why_not or "", at_once)


def sellable(asked: Asked) -> Decimal:
    """What an exit may sell beside this one that is LATE (spot), in base units; it may be nothing.

    The free coins, and those that our own resting orders hold: they are withdrawn before an exit. Raises
    the client's errors.
    """
    if asked.rules is None:
        return ZERO
    row, client = asked.row, asked.client
    free, total = coins(row, asked.rules, client.account())
    trades = []
    if total < (_expected(asked, asked.rules) or ZERO):
        trades = client.my_trades(row.symbol, start_ms=row.ts_ms - SINCE_MS)
    if _why_no_successor(asked, asked.rules, total, trades):
        return ZERO
    return free + money.locked_in_sells(row.account_id, row.market, row.symbol)


def _why_no_successor(
    asked: Asked, rules: SymbolRules, total: Decimal, trades: list[dict[str, Any]]
) -> str | None:
    return protocol.why_no_successor(
        quantity=_quantity(asked),
        before=asked.row.base_before,
        total=total,
        expected=_expected(asked, rules),
        sold_by_others=_sold_by_others(asked, trades),
    )


def _expected(asked: Asked, rules: SymbolRules) -> Decimal | None:
    return holdings.base_known(asked.row.account_id, asked.row.symbol, rules.base)


def _quantity(asked: Asked) -> Decimal:
    return max(order.quantity for order in asked.orders)


def coins(row: OrderRequest, rules: SymbolRules, account: Mapping[str, Any]) -> tuple[Decimal, Decimal]:
    """The base coins in an answer of the account: free, and with those that open orders hold."""
    wire = wire_of(row.market)
    return wire.free(account).get(rules.base, ZERO), wire.total(account).get(rules.base, ZERO)


def _found_in(asked: Asked, listed: list[dict[str, Any]]) -> bool:
    """Whether a leg is among the exchange's orders (or conditional orders); then the body is its word."""
    mine = [one for one in listed if one["clientOrderId"] in asked.names]
    if not mine and asked.row.kind == "algo":
        waiting = asked.client.open_algo_orders(asked.row.symbol)
        asked.body = next((one for one in waiting if one["clientAlgoId"] in asked.names), {})
        return bool(asked.body)
    if not mine:
        return False
    asked.body = _body_of(asked, mine)
    return True


def _body_of(asked: Asked, mine: list[dict[str, Any]]) -> dict[str, Any]:
    """The request's own answer, else what a list's legs say. A conditional order has nothing else to say."""
    if asked.row.kind == "order":
        return mine[0]
    try:
        return legs.ask(asked.row, asked.client)
    except OrderNotFound:
        if asked.row.kind == "algo":
            raise
        return {"orderListId": mine[0]["orderListId"], "orderReports": mine}


def _unknown_ids(row: OrderRequest, trades: list[dict[str, Any]]) -> set[int]:
    """Numbers of the orders that traded and that the journal does not know."""
    ids = {int(one["orderId"]) for one in trades}
    known = Order.objects.filter(account_id=row.account_id, market=row.market, symbol=row.symbol).filter(
        Q(exchange_order_id__in=ids) | Q(actual_order_id__in=ids)
    )
    for numbers in known.values_list("exchange_order_id", "actual_order_id"):
        ids -= set(numbers)  # type: ignore[arg-type]
    return ids


def _found_by_trade(asked: Asked, strangers: set[int]) -> bool:
    """Whether one of these orders is the one in doubt: its trades can be seen before itself."""
    for number in sorted(strangers):
        try:
            said = asked.client.order_by_id(asked.row.symbol, number)
        except OrderNotFound:
            continue
        if said["clientOrderId"] in asked.names:
            asked.body = _body_of(asked, [said])
            return True
    return False


def _sold_by_others(asked: Asked, trades: list[dict[str, Any]]) -> Decimal:
    """Coins sold since the request by orders that are known to be neither the journal's nor in doubt."""
    sold = ZERO
    wire = wire_of(asked.row.market)
    for number in sorted(_unknown_ids(asked.row, trades)):
        try:
            said = asked.client.order_by_id(asked.row.symbol, number)
        except OrderNotFound:
            continue  # it may be the one in doubt
        if said["clientOrderId"] in asked.names or said["clientOrderId"].startswith(PREFIX):
            continue
        rows = [wire.fill(row) for row in trades if int(row["orderId"]) == number]
        sold += sum((row.quantity for row in rows if row.side == "SELL"), ZERO)
    return sold


def _others_unsettled(asked: Asked) -> bool:
    """Whether another order that moves the same coins (position) is open, or not booked in full."""
    row = asked.row
    same = Q(account_id=row.account_id, market=row.market)
    if asked.rules is None or asked.rules.base != "BNB":  # fees of any symbol may be paid in BNB
        same &= Q(symbol=row.symbol)
    requests = OrderRequest.objects.filter(same, state__in=OPEN_STATES).exclude(pk=row.pk)
    unbooked = Order.objects.filter(same, fills_complete=False, executed_quantity__gt=0)
    return requests.exists() or unbooked.exists()


def _younger_in_doubt(row: OrderRequest) -> bool:
    same = OrderRequest.objects.filter(account_id=row.account_id, market=row.market, symbol=row.symbol)
    return same.filter(state__in=protocol.ASKED, pk__gt=row.pk).exists()


def _unknown_order(found: list[dict[str, Any]]) -> str | None:
    ours = {one["clientOrderId"] for one in found if one["clientOrderId"].startswith(PREFIX)}
    known = set(Order.objects.filter(client_order_id__in=ours).values_list("client_order_id", flat=True))
    unknown = sorted(ours - known)
    return f"the exchange has an order that the journal lacks: {unknown[0]}" if unknown else None


def _unknown_trade(row: OrderRequest, strangers: set[int]) -> str | None:
    if not row.account.is_exclusive or not strangers:
        return None
    return f"the exchange has trades of an order that the journal lacks: {min(strangers)}"


def _sellable_position(asked: Asked) -> Decimal:
    size = asked.state.current_position_size_coins
    return size if asked.rules is None else lots_to_quantity(asked.rules, quantity_to_lots(asked.rules, size))


def _coins_missing(asked: Asked) -> str | None:
    """A spot exit whose coins are gone, on an account that others trade on, too."""
    row = asked.row
    if row.market != "spot" or row.lane != "exit" or asked.rules is None:
        return None
    total, position = coins(row, asked.rules, asked.client.account())[1], _sellable_position(asked)
    if total >= position:
        return None
    return f"the account has {total:f} {asked.rules.base}, the bot's position is {position:f}"
