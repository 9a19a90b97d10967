"""Trades of an account against the journal's fills: symbol by symbol, from the last one looked at."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from django.db import transaction
from django.db.models import Case, F, Min, Q, Sum, Value, When

from tradebot.clock import from_ms
from tradebot.errors import OrderNotFound
from trading import books, external, legs, orphans
from trading.locks import lock_state
from trading.models import BotState, Fill, Order, OrderRequest, TradeCursor
from trading.models.journal import OPEN_STATES
from trading.orphans import Seen
from trading.sweep_orders import judge_known, judge_stranger, order_of_actual
from trading.swept import LOCK_SECONDS, Scope
from trading.wire import FillSaid, wire_of

PAGE = 1000
PAGES = 5  # of one symbol in one sweep
UNKNOWN_ORDERS = 50  # asked for singly, of one symbol in one sweep
ZERO = Decimal(0)


def look_through(scope: Scope, symbol: str) -> None:
    """Ask for the symbol's trades since the last look and have each booked, adopted or explained.

    What a run is about to book is left to it, and met again at the next look. Weight: 20 a page on spot,
    5 on futures. Raises the client's errors; what was handled stays handled.
    """
    if OrderRequest.objects.filter(**scope.where, symbol=symbol, state__in=OPEN_STATES).exists():
        return
    cursor, _ = TradeCursor.objects.get_or_create(**scope.where, symbol=symbol)
    for _ in range(PAGES):
        from_id = cursor.next_id if cursor.next_id is not None else _first_known(scope, symbol)
        rows = scope.client.my_trades(symbol, from_id=from_id, limit=PAGE)
        said = [wire_of(scope.market).fill(row) for row in rows]
        present = [one for one in said if one.traded_at <= from_ms(scope.asked_ms)]
        left = _handle(scope, symbol, present)
        later = [one.trade_id for one in said if one.traded_at > from_ms(scope.asked_ms)]
        ends = [*(one.trade_id for one in left), *later]
        cursor.next_id = min(ends) if ends else (said[-1].trade_id + 1 if said else from_id or 0)
        cursor.asked_at = scope.now
        cursor.save(update_fields=["next_id", "asked_at"])
        if ends or len(rows) < PAGE:
            return


def _first_known(scope: Scope, symbol: str) -> int | None:
    """The journal's first trade of the symbol; None (then the newest page is asked for) without any."""
    known = Fill.objects.filter(**scope.where, symbol=symbol)
    first: int | None = known.aggregate(first=Min("trade_id"))["first"]
    return first


def _handle(scope: Scope, symbol: str, said: list[FillSaid]) -> list[FillSaid]:
    """Deal with the trades that are not booked; gives those that are left for later."""
    ids = [one.trade_id for one in said]
    booked = set(
        Fill.objects.filter(**scope.where, symbol=symbol, trade_id__in=ids).values_list("trade_id", flat=True)
    )
    by_order: dict[int, list[FillSaid]] = defaultdict(list)
    for one in said:
        if one.trade_id not in booked:
            by_order[one.order_id].append(one)
    if not by_order:
        return []
    numbers = Q(exchange_order_id__in=by_order) | Q(actual_order_id__in=by_order)
    own: dict[int, Order] = {}
    for order in Order.objects.filter(numbers, **scope.where, symbol=symbol).select_related("request"):
        own[order.actual_order_id or order.exchange_order_id or 0] = order
    left: list[FillSaid] = []
    foreign: dict[int, str] = {}
    for count, (number, trades) in enumerate(by_order.items()):
        if number in own:
            is_done = _own_trades(scope, own[number])
        elif count >= UNKNOWN_ORDERS:
            is_done = False
        else:
            is_done = _unknown_order(scope, symbol, number, foreign)
        if not is_done:
            left += trades
    _book_foreign(scope, symbol, {number: by_order[number] for number in foreign}, foreign)
    return left


def _own_trades(scope: Scope, order: Order) -> bool:
    """Trades of one of our orders that are not booked: its run books them, or we, where no run would."""
    if order.live or not order.fills_complete:
        scope.wake(order.bot_id, f"trade of {order.client_order_id}")
        scope.unbooked_symbols.add(order.symbol)
        return False
    body = legs.ask(order.request, scope.client)
    with transaction.atomic(durable=True):
        state = lock_state(order.bot_id, wait_seconds=LOCK_SECONDS)
        request = OrderRequest.objects.get(pk=order.request_id)
        books.book_order(
            request=request,
            state=state,
            body=body,
            client=scope.client,
            rules=scope.rules(order.symbol),
            now=scope.now,
        )
    scope.swept.booked += 1
    scope.find(f"{order.symbol}: trades of order {order.client_order_id} were missing here: booked")
    return True


def _unknown_order(scope: Scope, symbol: str, number: int, foreign: dict[int, str]) -> bool:
    """Trades of an order whose number the journal does not know. True: dealt with, or put to `foreign`."""
    try:
        seen = orphans.read(scope.client.order_by_id(symbol, number))
    except OrderNotFound:
        foreign[number] = ""
        return True
    order = _named(scope, seen)
    if order is not None and order.exchange_order_id in (None, number):
        if order.request.state == "NOT_PLACED":
            return judge_known(scope, order, seen)
        judge_known(scope, order, seen)
        scope.unbooked_symbols.add(symbol)
        return False
    owner = order_of_actual(scope, seen)
    if owner is not None:
        scope.wake(owner.bot_id, f"triggered {number}")
        scope.unbooked_symbols.add(symbol)
        return False
    if orphans.kind_of(seen.client_id) == "foreign":
        foreign[number] = seen.client_id
        return True
    return judge_stranger(scope, seen)


def _named(scope: Scope, seen: Seen) -> Order | None:
    """Our order of that client id."""
    orders = Order.objects.filter(**scope.where, symbol=seen.symbol).select_related("request")
    return orders.filter(client_order_id=seen.client_id).first()


def _book_foreign(
    scope: Scope, symbol: str, trades: dict[int, list[FillSaid]], names: dict[int, str]
) -> None:
    """Book what was not ours: to the bot whose position it made smaller, else to the account.

    On an account that others use, too, only what the exchange itself did counts.
    """
    if not scope.account.is_exclusive:
        trades = {number: rows for number, rows in trades.items() if external.made_by_exchange(names[number])}
    said = sorted((one for rows in trades.values() for one in rows), key=lambda one: one.trade_id)
    shares: dict[int | None, list[FillSaid]] = {}
    state = BotState.objects.filter(bot_id=scope.holder(symbol), in_position=True).first()
    room = _room(scope, symbol, state)
    for one in said:
        sign = 1 if one.side == "BUY" else -1
        bot_id = None
        if state and state.entry_time and one.traded_at >= state.entry_time:
            bot_id = state.bot_id if sign * room < 0 and one.quantity <= abs(room) else None
        room += sign * one.quantity if bot_id else ZERO
        shares.setdefault(bot_id, []).append(one)
    for bot_id, rows in shares.items():
        found = external.book(
            scope.account,
            scope.market,
            symbol,
            bot_id=bot_id,
            said=rows,
            names=names,
            client=scope.client,
            rules=scope.rules(symbol),
            now=scope.now,
        )
        if not found.fills:
            continue
        scope.swept.booked += found.fills
        scope.find(f"{symbol}: {found.text}")
        if bot_id is not None and not found.by_exchange:
            scope.swept.held.add(bot_id)


def _room(scope: Scope, symbol: str, state: BotState | None) -> Decimal:
    """How much of the bot's position trades from outside may have taken, signed like the position.

    On spot, coins of the account beside the bot's come first: only what is missing of the bot's own was
    taken from it.
    """
    if state is None:
        return ZERO
    if scope.market == "futures":
        sign = Case(When(side="BUY", then=Value(1)), default=Value(-1))
        fills = Fill.objects.filter(bot_id=state.bot_id, symbol=symbol)
        total: Decimal | None = fills.aggregate(total=Sum(F("quantity") * sign))["total"]
        return total or ZERO
    size = state.current_position_size_coins
    missing = size - scope.totals.get(scope.assets_of(symbol)[0], ZERO)
    return min(size, missing) if missing > 0 else ZERO
