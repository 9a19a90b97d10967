"""The inbox: what reaches a bot from outside, read under its lock, answered in the same commit."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from bots.models import BotInbox
from tradebot import rows
from trading.models import BotState, Order, OrderRequest
from trading.models.journal import DOUBT_STATES


def put(bot_id: int, kind: str, now: datetime, source_id: str = "") -> BotInbox:
    """Leave a wish for the bot; the same source_id twice is one wish. Needs no lock."""
    row, _ = BotInbox.objects.get_or_create(
        bot_id=bot_id,
        kind=kind,
        source_id=source_id or uuid.uuid4().hex,
        defaults={"created_at": now},
    )
    return row


def has_open(bot_id: int) -> bool:
    """Whether something in the bot's inbox waits."""
    return BotInbox.objects.filter(bot_id=bot_id, handled_at__isnull=True).exists()


def order_news(bot_id: int) -> list[int]:
    """Ids of the entries by which something was heard of the bot's orders: the run asks for them."""
    rows = BotInbox.objects.filter(bot_id=bot_id, handled_at__isnull=True, kind=BotInbox.Kind.ORDER)
    return list(rows.values_list("id", flat=True))


def take(state: BotState, now: datetime, asked: Collection[int] = ()) -> list[BotInbox]:
    """Read what waits and turn it into the state's will; the state row must be locked, the caller saves it.

    News of orders count as read only if the exchange was `asked` for them since they came.
    """
    found = rows.read(BotInbox, "WHERE bot_id = %s AND handled_at IS NULL ORDER BY id", [state.bot_id])
    taken = [row for row in found if row.kind != BotInbox.Kind.ORDER or row.pk in asked]
    closing = [row for row in taken if row.kind in (BotInbox.Kind.STOP, BotInbox.Kind.CLOSE)]
    if closing and not state.exit_wanted:
        state.exit_wanted, state.exit_wanted_since = _why(closing[0]), now
    if state.exit_wanted and not state.in_position and not _entry_open(state.bot_id):
        state.exit_wanted, state.exit_wanted_since = "", None  # flat, and nothing on its way
    return taken


def answer(taken: Sequence[BotInbox], reasons: Sequence[str], now: datetime) -> None:
    """Write what the decision said as the result of each entry."""
    for row in taken:
        row.handled_at = now
        row.result = "; ".join(reasons) or "nothing to do"
    if taken:
        rows.run(*(rows.update(row, ("handled_at", "result")) for row in taken))


def _why(row: BotInbox) -> str:
    """Why the position is to be closed."""
    if row.payload.get("kill_switch"):
        return f"kill switch: {row.payload.get('reason', '')}"[:200]
    return "stopped by hand" if row.kind == BotInbox.Kind.STOP else "closed by hand"


def _entry_open(bot_id: int) -> bool:
    """Whether an entry may still fill: in doubt, or resting on the exchange."""
    if Order.objects.filter(bot_id=bot_id, live=True, request__lane="entry").exists():
        return True
    return OrderRequest.objects.filter(bot_id=bot_id, lane="entry", state__in=DOUBT_STATES).exists()
