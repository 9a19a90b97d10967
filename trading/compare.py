"""Journal against exchange: every order, fill and balance of an account, difference by difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tradebot.binance.client import ExchangeClient
from tradebot.clock import to_ms
from trading import compare_money
from trading.deployments import is_known
from trading.findings import Finding, Severity, errors
from trading.ids import PREFIX, parse
from trading.models import ExchangeAccount, Fill, Order, Orphan
from trading.models.journal import DOUBT_STATES
from trading.wire import OrderSaid, wire_of

PAGE = 1000
DAY_MS = 86_400_000  # allOrders and myTrades take windows of 24 h at most
PNL_ROUNDING = Decimal("0.000001")  # a fill: the exchange rounds its entry price and each PnL
ZERO = Decimal(0)


def compare_account(account: ExchangeAccount, market: str, client: ExchangeClient) -> list[str]:
    """What differs, one sentence each; empty when the books agree (I12, I13, I14 of docs/orders.md).

    Costs 40 of request weight for each symbol that the account has traded (futures: 11, and 10 in all).
    Raises the client's errors.
    """
    return [one.sentence for one in errors(compare(account, market, client))]


def compare(
    account: ExchangeAccount, market: str, client: ExchangeClient, since: datetime | None = None
) -> list[Finding]:
    """What differs, with `since` of orders and trades since then only. See compare_account().

    A doubt is no difference, it is recovery's. What happened to a resting order and was not asked for yet is
    a warning. On an account that others trade on too only our own orders and trades are compared.
    """
    rows = Order.objects.filter(account=account, market=market)
    symbols = list(rows.order_by("symbol").values_list("symbol", flat=True).distinct())
    found: list[Finding] = []
    for symbol in symbols:
        look = _Look(account, market, symbol, client, since)
        look.orders()
        look.fills()
        if market == "futures":
            look.conditional_orders()
            sentence = realized_differs(account.pk, symbol)
            if sentence:
                look.note("I6", f"account {account.pk} {symbol}", sentence)
        found += look.found
    if account.is_exclusive and not compare_money.is_moving(account, market) and found == errors(found):
        found += compare_money.balances(account, market, client)
        if market == "futures":
            found += compare_money.positions(account, client.position_risk(), symbols)
    return found


@dataclass
class _Look:
    """One symbol of an account: what is ours, and what was found."""

    account: ExchangeAccount
    market: str
    symbol: str
    client: ExchangeClient
    since: datetime | None
    found: list[Finding] = field(default_factory=list)
    by_name: dict[str, Order] = field(default_factory=dict)
    by_number: dict[int, Order] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = Order.objects.filter(account=self.account, market=self.market, symbol=self.symbol)
        if self.since is not None:
            rows = rows.filter(updated_at__gte=self.since)
        for order in rows.select_related("request"):
            self.by_name[order.client_order_id] = order
            for number in (order.exchange_order_id, order.actual_order_id):
                if number is not None and not (_is_conditional(order) and number != order.actual_order_id):
                    self.by_number[number] = order

    def note(self, invariant: str, about: str, text: str, severity: Severity = "error") -> None:
        """Note a difference."""
        sentence = f"{self.symbol}: {text}"
        self.found.append(Finding(invariant, about, sentence, severity, self.account.pk))

    def orders(self) -> None:
        """I12: what each order is, and that none is missing on either side."""
        seen = set()
        for row in _all_orders(self.client, self.symbol, [one.created_at for one in self.by_name.values()]):
            said = wire_of(self.market).order(row)
            order = self.by_number.get(said.order_id or 0) or self._named(row["clientOrderId"], said)
            if order is None:
                self._stranger(row)
                continue
            seen.add(order.pk)
            self._same(order, said)
        for order in self.by_name.values():
            if order.pk not in seen and _number(order) is not None and not _is_in_doubt(order):
                name = order.client_order_id
                self.note("I12", f"order {name}", f"the exchange lacks order {name}")

    def _named(self, name: str, said: OrderSaid) -> Order | None:
        """Our order of that client id, unless it has another number: a replayed request makes two orders."""
        order = self.by_name.get(name)
        if order is None or _is_conditional(order) or order.exchange_order_id in (None, said.order_id):
            return order
        return None

    def _stranger(self, row: dict[str, Any]) -> None:
        name = row["clientOrderId"]
        ended = Orphan.objects.filter(
            account=self.account, market=self.market, symbol=self.symbol, exchange_id=int(row["orderId"])
        ).filter(resolved_at__isnull=False, is_conditional=False)
        if ended.exists():
            return  # somebody saw to it, and what it traded is booked
        if not name.startswith(PREFIX) or self._is_older_than_asked(name):
            return
        parts = parse(name)
        if parts is not None and not is_known(parts.nonce):
            text = f"order {name} was made by another deployment (nonce {parts.nonce})"
            self.note("I12", f"order {name}", text)
        else:
            self.note("I12", f"order {name}", f"the journal lacks order {name}")

    def _is_older_than_asked(self, name: str) -> bool:
        return self.since is not None and Order.objects.filter(client_order_id=name).exists()

    def _same(self, order: Order, said: OrderSaid) -> None:
        mine = (_number(order), order.status, order.executed_quantity, order.executed_quote)
        theirs = (said.order_id, said.status, said.executed, said.quote)
        if order.actual_order_id is not None:  # the conditional order has a status of its own
            mine, theirs = (mine[0], "", *mine[2:]), (theirs[0], "", *theirs[2:])
        if mine == theirs or _is_in_doubt(order):
            return
        name = order.client_order_id
        text = f"order {name} is {_text(mine)} here and {_text(theirs)} there"
        self.note("I12", f"order {name}", text, "warning" if order.live else "error")

    def fills(self) -> None:
        """I13: every trade of ours is a fill of the same id, quantity, price and commission."""
        rows = Fill.objects.filter(account=self.account, market=self.market, symbol=self.symbol)
        first = 0
        if self.since is not None:
            first = (
                rows.filter(traded_at__gte=self.since).order_by("trade_id")
                .values_list("trade_id", flat=True).first() or 0
            )  # fmt: skip
            if not first:
                return
        ours = {
            fill.trade_id: (fill.quantity, fill.price, fill.commission, fill.commission_asset)
            for fill in rows.filter(trade_id__gte=first)
        }
        for row in _trades(self.client, self.symbol, first):
            said = wire_of(self.market).fill(row)
            mine = ours.pop(said.trade_id, None)
            theirs = (said.quantity, said.price, said.commission, said.commission_asset)
            if mine != theirs and not self._is_excused(said.order_id, is_new=mine is None):
                self._differs(said.trade_id, mine or (), theirs)
        for number, values in ours.items():
            self._differs(number, values, ())

    def _is_excused(self, order_id: int, *, is_new: bool) -> bool:
        order = self.by_number.get(order_id)
        if order is None:
            unbooked = any(_is_in_doubt(one) and _number(one) is None for one in self.by_name.values())
            return is_new and (unbooked or not self.account.is_exclusive)
        return is_new and (order.live or not order.fills_complete or _is_in_doubt(order))

    def _differs(self, trade_id: int, mine: Iterable[object], theirs: Iterable[object]) -> None:
        text = f"fill {trade_id} is {_text(mine)} here and {_text(theirs)} there"
        self.note("I13", f"fill {self.symbol} {trade_id}", text)

    def conditional_orders(self) -> None:
        """I12 of futures' conditional orders: open here is open there."""
        ours = {
            order.request.client_id: order
            for order in self.by_name.values()
            if _is_conditional(order) and order.live and not _is_in_doubt(order)
        }
        theirs = {str(row.get("clientAlgoId", "")) for row in self.client.open_algo_orders(self.symbol)}
        for name in sorted(theirs - ours.keys()):
            order = self.by_name.get(name)
            if name.startswith(PREFIX) and not (order is not None and _is_in_doubt(order)):
                self.note("I12", f"order {name}", f"conditional order {name} is open there and not here")
        for name in sorted(ours.keys() - theirs):
            if ours[name].actual_order_id is None:
                text = f"conditional order {name} is open here and not there"
                self.note("I12", f"order {name}", text, "warning")


def _is_conditional(order: Order) -> bool:
    return order.request.kind == "algo"


def _is_in_doubt(order: Order) -> bool:
    return order.request.state in DOUBT_STATES


def _number(order: Order) -> int | None:
    """The exchange's number of the order; of a conditional one, of the order that it became."""
    return order.actual_order_id if _is_conditional(order) else order.exchange_order_id


def _trades(client: ExchangeClient, symbol: str, from_id: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        page = client.my_trades(symbol, from_id=from_id, limit=PAGE)
        rows += page
        if len(page) < PAGE:
            return rows
        from_id = int(page[-1]["id"]) + 1


def _all_orders(client: ExchangeClient, symbol: str, times: list[datetime]) -> list[dict[str, Any]]:
    """The symbol's newest orders and those of each day since the journal's first, asked for day by day."""
    rows = {row["orderId"]: row for row in client.all_orders(symbol, limit=PAGE)}
    if len(rows) < PAGE or not times:
        return list(rows.values())
    start_ms, end_ms = to_ms(min(times)) - DAY_MS, to_ms(max(times)) + DAY_MS
    for day_ms in range(start_ms, end_ms, DAY_MS):
        page = client.all_orders(symbol, start_ms=day_ms, end_ms=day_ms + DAY_MS - 1, limit=PAGE)
        rows |= {row["orderId"]: row for row in page}
    return list(rows.values())


def realized_differs(account_id: int, symbol: str) -> str | None:
    """From flat to flat the gross PnL of a futures symbol's fills is what the exchange says (I6).

    Asks nobody: each fill holds what the exchange reckoned. None when they agree, to rounding.
    """
    fills = Fill.objects.filter(account_id=account_id, market="futures", symbol=symbol)
    position = gross = theirs = flat_gross = flat_theirs = ZERO
    flat_count = 0
    for count, fill in enumerate(fills.order_by("traded_at", "trade_id").iterator(PAGE), start=1):
        sign = 1 if fill.side == "BUY" else -1
        position += sign * fill.quantity
        gross -= sign * fill.quantity * fill.price
        theirs += fill.exchange_pnl or ZERO
        if not position:
            flat_gross, flat_theirs, flat_count = gross, theirs, count
    if abs(flat_gross - flat_theirs) <= PNL_ROUNDING * flat_count:
        return None
    return f"realised before fees {_text([flat_gross])} here, {_text([flat_theirs])} there"


def _text(values: Iterable[object]) -> str:
    return " ".join(compare_money.text(value) for value in values) or "missing"
