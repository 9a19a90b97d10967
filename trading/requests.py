"""Between the rows of OrderRequest and the pure protocol: read a row as a value, write a step back."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from tradebot.clock import from_ms, to_ms
from tradebot.errors import IllegalTransition
from trading import protocol
from trading.models import OrderRequest


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)


def view(row: OrderRequest) -> protocol.Request:
    """The row as the protocol reads it."""
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
    )


def advance(
    row: OrderRequest, event: protocol.Event, now_ms: int, now: datetime
) -> tuple[protocol.Effect, ...]:
    """Apply a step to the row and save it; gives the effects that the caller must carry out.

    The update is fenced by the state and the epoch that were read: a worker that slept through somebody
    else's decision changes nothing and gets IllegalTransition.
    """
    before = row.state
    after, effects = protocol.step(view(row), event, now_ms, settings.TIMINGS)
    row.state, row.reason = after.state, after.reason
    row.answered, row.hold_long = after.answered, after.hold_long
    row.asked_count, row.disagreements = after.asked_count, after.disagreements
    row.next_ask_at = _time(after.next_ask_ms)
    row.barrier_at = _time(after.barrier_ms)
    row.first_not_found_at = _time(after.first_not_found_ms)
    row.last_not_found_at = _time(after.last_not_found_ms)
    if after.state != before and after.state not in ("UNKNOWN", "LATE", "QUARANTINED"):
        row.resolved_at = now
    changed = OrderRequest.objects.filter(pk=row.pk, state=before, epoch=row.epoch).update(
        **{
            name: getattr(row, name)
            for name in (
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
                "resolved_at",
                "code",
                "http_status",
            )
        }
    )
    if not changed:
        raise IllegalTransition(f"request {row.client_id} was ended by another worker")
    return effects
