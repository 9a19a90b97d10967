"""Open orders of an account against the journal: orphans, orders that changed, orders that vanished."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from tradebot.binance.client import ExchangeClient
from tradebot.errors import ExchangeError, OrderNotFound
from trading import external, legs, orphans, outbox, recovery
from trading.ids import PREFIX
from trading.locks import lock_state
from trading.models import Order, OrderRequest
from trading.models.journal import OPEN_STATES
from trading.orphans import Seen
from trading.swept import LOCK_SECONDS, Scope

logger = logging.getLogger(__name__)

ASK_AGAIN = timedelta(minutes=5)  # a resting order that nobody asked about for so long is asked for
NEVER_SENT = ("REJECTED", "NOT_SENT")


def open_on_exchange(client: ExchangeClient, market: str) -> list[Seen]:
    """Every open order of the account, conditional ones too. Weight: spot 80, futures 80."""
    rows = client.open_orders()
    if market == "futures":
        rows = rows + client.open_algo_orders()
    return [orphans.read(row) for row in rows]


def live_orders_due(now: datetime) -> list[tuple[int, str]]:
    """Accounts and markets with a resting order that was not asked about for five minutes."""
    rows = (
        resting()
        .annotate(known_at=Coalesce("asked_at", "created_at"))
        .filter(known_at__lte=now - ASK_AGAIN)
        .order_by()
        .values_list("account_id", "market")
        .distinct()
    )
    return sorted(rows)


def live_orders_changed(account: Any, market: str, client: ExchangeClient, now: datetime) -> list[int]:
    """Ask for the account's open orders; gives the bots whose resting orders vanished or differ from them.

    Orders that are as the journal has them count as asked about now. Raises the client's errors.
    """
    found = open_on_exchange(client, market)
    mine = list(resting().filter(account=account, market=market).select_related("request"))
    changed = changed_orders(mine, found)
    same = [order.pk for order in mine if order not in changed]
    Order.objects.filter(pk__in=same).update(asked_at=now)
    return sorted({order.bot_id for order in changed})


def changed_orders(mine: Iterable[Order], found: Iterable[Seen]) -> list[Order]:
    """Those of our resting orders that the exchange shows otherwise, or no longer among the open ones."""
    by_name = {(one.symbol, one.client_id, one.is_conditional): one for one in found}
    by_number = {(one.symbol, one.number): one for one in found if not one.is_conditional}
    changed = []
    for order in mine:
        if order.request.kind == "algo":
            seen = by_name.get((order.symbol, order.client_order_id, True))
            seen = seen or by_name.get((order.symbol, order.request.client_id, True))
            is_same = seen is not None and seen.status == order.status
        else:
            seen = by_number.get((order.symbol, order.exchange_order_id or 0))
            is_same = seen is not None and (seen.status, seen.executed) == (
                order.status,
                order.executed_quantity,
            )
        if not is_same:
            changed.append(order)
    return changed


def compare(scope: Scope, found: list[Seen]) -> None:
    """What the exchange shows as open, one by one; then what it no longer shows.

    The journal is read after the exchange was asked, and an order's row is older than the order: what is
    ours and not in the journal is an orphan, whatever is under way.
    """
    names = {one.client_id for one in found}
    orders = Order.objects.filter(**scope.where).select_related("request")
    by_name = {order.client_order_id: order for order in orders.filter(client_order_id__in=names)}
    by_name |= {
        order.request.client_id: order
        for order in orders.filter(request__client_id__in=names, request__kind="algo")
    }
    strangers = []
    for seen in found:
        order = by_name.get(seen.client_id)
        if order is not None and _is_its(order, seen):
            judge_known(scope, order, seen)
        else:
            strangers.append(seen)
    for seen in strangers:
        judge_stranger(scope, seen)
    mine = list(resting().filter(**scope.where).select_related("request"))
    for order in changed_orders(mine, found):
        scope.wake(order.bot_id, f"order {order.client_order_id}")
    orphans.gone(scope, {(one.symbol, one.number, one.is_conditional) for one in found})


def judge_known(scope: Scope, order: Order, seen: Seen) -> bool:
    """An order that the journal has by its client id, met on the exchange. True when it is booked now."""
    state = order.request.state
    if state == "NOT_PLACED":
        return take_back(scope, order.request)
    if state in NEVER_SENT:
        scope.find(f"{order.symbol}: order {order.client_order_id} is {state} here and {seen.status} there")
        scope.hold([order.bot_id], f"the exchange has order {order.client_order_id}, which is {state} here")
        return False
    if state == "QUARANTINED":
        scope.find(f"{order.symbol}: quarantined order {order.client_order_id} is {seen.status} there")
        return False
    if state in OPEN_STATES or state == "LATE" or not order.live:
        scope.wake(order.bot_id, f"order {order.client_order_id}")
    return False


def judge_stranger(scope: Scope, seen: Seen) -> bool:
    """An order that no client id of the journal names. True when there is nothing more to do about it."""
    if external.made_by_exchange(seen.client_id):
        return True
    is_ours = seen.client_id.startswith(PREFIX)
    if not is_ours:
        if not scope.account.is_exclusive:
            return True
        owner = order_of_actual(scope, seen)
        if owner is not None:
            scope.wake(owner.bot_id, f"triggered {seen.number}")
            return False
    orphans.note(scope, seen)
    return True


def order_of_actual(scope: Scope, seen: Seen) -> Order | None:
    """Our conditional order that became this one, asked for one by one: its client id need not say so."""
    if scope.market != "futures" or seen.is_conditional:
        return None
    conditional = Order.objects.filter(**scope.where, symbol=seen.symbol, request__kind="algo")
    known = conditional.filter(actual_order_id=seen.number).first()
    if known is not None:
        return known
    recent = scope.now - timedelta(days=1)
    open_ones = conditional.filter(actual_order_id__isnull=True).filter(
        Q(live=True) | Q(updated_at__gte=recent)
    )
    for order in open_ones.select_related("request").order_by("-pk")[:20]:
        try:
            body = scope.client.algo_order(order.request.client_id)
        except OrderNotFound:
            continue
        if str(body.get("actualOrderId") or "") == str(seen.number):
            return order
    return None


def take_back(scope: Scope, request: OrderRequest) -> bool:
    """A request that was found NOT_PLACED exists after all: evidence beats inference. True when booked.

    It becomes ACCEPTED, the bot is paused (drift), the owner told; what is still open of it is cancelled.
    """
    try:
        body = legs.ask(request, scope.client)
        with transaction.atomic(durable=True):
            state = lock_state(request.bot_id, wait_seconds=LOCK_SECONDS)
            row = OrderRequest.objects.select_related("bot", "account").get(pk=request.pk)
            rules = scope.rules(row.symbol)
            if not recovery.adopt(row, body, state=state, client=scope.client, rules=rules, now=scope.now):
                return False
            reason = f"order {row.client_id} was taken for not placed, and exists: it is booked now"
            state.status, state.status_reason = f"paused ({state.hold})", reason
            state.save(update_fields=["status", "status_reason"])
            outbox.account_changed(scope.account, "late order", reason, scope.now, row.pk)
    except ExchangeError as error:
        logger.warning("late order %s: %s", request.client_id, error)
        scope.look_again(1)
        return False
    scope.find(f"{request.symbol}: order {request.client_id} was NOT_PLACED here and is there: booked")
    scope.swept.held.add(request.bot_id)
    scope.swept.booked += 1
    return True


def resting() -> QuerySet[Order]:
    """Orders that the exchange has taken and that may be working there."""
    return Order.objects.filter(live=True, request__state="ACCEPTED").filter(
        Q(exchange_order_id__isnull=False) | Q(request__exchange_list_id__isnull=False)
    )


def _is_its(order: Order, seen: Seen) -> bool:
    """Whether this is that order, and not a second one with the same client id."""
    if seen.is_conditional or order.request.kind == "algo":
        return True
    return order.exchange_order_id in (None, seen.number) or order.actual_order_id == seen.number
