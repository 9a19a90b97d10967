"""Between the rows of OrderRequest and the pure protocol: read a row as a value, write a step back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from tradebot import rows
from tradebot.clock import from_ms, to_ms
from tradebot.errors import IllegalTransition
from trading import protocol
from trading.models import Order, OrderRequest

# What a step may change of a row.
STEP_FIELDS = (
    "state",
    "reason",
    "answered",
    "hold_long",
    "asked_count",
    "disagreements",
    "next_ask_at",
    "barrier_at",
    "first_not_found_at",
    "last_not_found_at",
    "late_at",
    "base_before",
    "resolved_at",
    "code",
    "http_status",
)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)


def view(row: OrderRequest, orders: Sequence[Order] = ()) -> protocol.Request:
    """The row as the protocol reads it; recovery gives its `orders`, whose size and numbers count there."""
    quantity = max((order.quantity for order in orders), default=None)
    numbers = [row.exchange_list_id, *(order.exchange_order_id for order in orders)]
    return protocol.Request(
        state=row.state,  # type: ignore[arg-type]
        market=row.market,
        lane=row.lane,
        ts_ms=row.ts_ms,
        recv_window_ms=row.recv_window_ms,
        reason=row.reason,
        answered=row.answered,
        hold_long=row.hold_long,
        asked_count=row.asked_count,
        next_ask_ms=_ms(row.next_ask_at),
        barrier_ms=_ms(row.barrier_at),
        first_not_found_ms=_ms(row.first_not_found_at),
        last_not_found_ms=_ms(row.last_not_found_at),
        disagreements=row.disagreements,
        late=row.late_at is not None,
        has_id=any(number is not None for number in numbers),
        covers_two=quantity is None or protocol.covers_two(quantity, row.base_before),
    )


def advance(
    row: OrderRequest,
    event: protocol.Event,
    now_ms: int,
    now: datetime,
    orders: Sequence[Order] = (),
) -> tuple[protocol.Effect, ...]:
    """Apply a step to the row and save it; gives the effects that the caller must carry out.

    The update is fenced by the state and the epoch that were read: a worker that slept through somebody
    else's decision changes nothing and gets IllegalTransition.
    """
    before = row.state
    after, effects = protocol.step(view(row, orders), event, now_ms, settings.TIMINGS)
    row.state, row.reason = after.state, after.reason
    row.answered, row.hold_long = after.answered, after.hold_long
    row.asked_count, row.disagreements = after.asked_count, after.disagreements
    row.next_ask_at = _time(after.next_ask_ms)
    row.barrier_at = _time(after.barrier_ms)
    row.first_not_found_at = _time(after.first_not_found_ms)
    row.last_not_found_at = _time(after.last_not_found_ms)
    if after.late and row.late_at is None:
        row.late_at = now
    if after.state != before and after.state not in ("UNKNOWN", "LATE", "QUARANTINED"):
        row.resolved_at = now
    if not rows.update_now(row, STEP_FIELDS, "AND state = %s AND epoch = %s", [before, row.epoch]):
        raise IllegalTransition(f"request {row.client_id} was ended by another worker")
    return effects


def note_follower(request: OrderRequest) -> None:
    """Note on the LATE exit before it, if there is one, that this new exit follows.

    The caller has just written the request, in the same transaction and under the bot's lock.
    """
    late = OrderRequest.objects.filter(
        bot_id=request.bot_id, lane="exit", state="LATE", superseded_by__isnull=True
    ).order_by("-id")
    OrderRequest.objects.filter(pk__in=late.values("pk")[:1]).update(superseded_by=request)
