"""What a person ends: a quarantined request, a bot's hold. The exchange is asked, the audit log written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from marketdata.types import SymbolRules
from tradebot.binance.client import ExchangeClient
from tradebot.errors import BotBusy, ExchangeError, InvalidInput, OrderNotFound, Refused
from trading import audit, compare, evidence, legs, protocol, recovery, requests
from trading.evidence import Asked
from trading.locks import lock_state
from trading.models import BotState, OrderRequest
from trading.wire import legs_of, wire_of

LOCK_SECONDS = 2
LONGEST_REASON = 500
OUTCOMES = ("ACCEPTED", "NOT_PLACED")
CLEARED = ("doubt", "drift", "orders", "symbol", "crash")


def resolve(
    *,
    request: OrderRequest,
    outcome: str,
    by: Any,
    reason: str,
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: datetime,
) -> OrderRequest:
    """End a quarantined request as ACCEPTED or NOT_PLACED, in the name of `by`.

    The exchange is asked once more, under the bot's lock: what it has can only be ACCEPTED, and is booked
    (and withdrawn, if it is open); what it does not know can only be NOT_PLACED, once the request's window
    and hold are over. Frees the money, and the hold "doubt" with the last quarantined request. Raises
    InvalidInput, and Refused with a sentence; nothing is changed then.
    """
    text = _reason(reason)
    if outcome not in OUTCOMES:
        raise InvalidInput(f"Outcome must be one of {', '.join(OUTCOMES)}.", "outcome")
    with transaction.atomic(durable=True):
        state = _locked(request.bot_id, request.bot.name)
        row = OrderRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
        if row.state != "QUARANTINED":
            raise Refused(f"Request {row.client_id} is not quarantined: it is {row.state}.")
        before = {"state": row.state, "reason": row.reason, "hold": state.hold}
        try:
            body = _asked_again(row, outcome, state, client, rules)
            event = protocol.Resolved(outcome, f"resolved by {by}: {text}")  # type: ignore[arg-type]
            recovery.resolve(row, event, body, state=state, client=client, rules=rules, now=now)
        except ExchangeError as error:
            raise Refused(f"The exchange can't be asked now, so nothing was changed: {error}") from None
        if state.hold == "doubt" and not _quarantined(row.bot_id):
            state.hold = ""
            state.save(update_fields=["hold"])
        audit.note(
            by,
            "resolve request",
            row,
            before=before,
            after={"state": row.state, "reason": row.reason, "hold": state.hold},
            reason=text,
            now=now,
        )
        return row


def clear_hold(
    *,
    bot: Any,
    by: Any,
    reason: str,
    client: ExchangeClient,
    rules: SymbolRules | None,
    now: datetime,
) -> BotState:
    """End a hold of the bot that is one of CLEARED, in the name of `by`.

    A doubt must have been resolved; after a drift the exchange is asked, and journal and exchange must agree
    on the bot's symbol. Raises InvalidInput, and Refused with a sentence that says what stands against it.
    """
    text = _reason(reason)
    with transaction.atomic(durable=True):
        state = _locked(bot.pk, bot.name)
        if state.hold not in CLEARED:
            raise Refused(_not_cleared(bot, state.hold))
        if names := _quarantined(bot.pk):
            raise Refused(f"Request {names[0]} is quarantined: resolve it first.")
        before = {"hold": state.hold, "rejections_in_a_row": state.rejections_in_a_row}
        if state.hold == "drift":
            _compare(bot, state, client, rules)
        state.hold, state.rejections_in_a_row = "", 0
        state.save(update_fields=["hold", "rejections_in_a_row"])
        audit.note(
            by,
            "clear hold",
            bot,
            before=before,
            after={"hold": "", "rejections_in_a_row": 0},
            reason=text,
            now=now,
        )
        return state


def _reason(reason: str) -> str:
    text = reason.strip() if isinstance(reason, str) else ""
    if not text or len(text) > LONGEST_REASON or "\x00" in text:
        raise InvalidInput(f"Say why, in 1 to {LONGEST_REASON} characters.", "reason")
    return text


def _locked(bot_id: int, name: str) -> BotState:
    try:
        return lock_state(bot_id, wait_seconds=LOCK_SECONDS)
    except BotBusy:
        raise Refused(f"Bot {name} is being run right now; try again in a moment.") from None


def _quarantined(bot_id: int) -> list[str]:
    rows = OrderRequest.objects.filter(bot_id=bot_id, state="QUARANTINED").order_by("id")
    return list(rows.values_list("client_id", flat=True))


def _not_cleared(bot: Any, hold: str) -> str:
    if hold == "key":
        return f"Bot {bot.name} waits for another API key: enter it in its account, then start the bot."
    return f"Bot {bot.name} is not held."


def _asked_again(
    row: OrderRequest, outcome: str, state: BotState, client: ExchangeClient, rules: SymbolRules | None
) -> dict[str, Any]:
    """The exchange's word on the request, {} if it has none. Raises Refused where that contradicts."""
    asked = Asked(row=row, orders=list(row.orders.all()), state=state, rules=rules, client=client)
    known = _find(asked)
    if known and outcome == "NOT_PLACED":
        raise Refused(
            f"The exchange has request {row.client_id} ({_said(row, asked.body)}): resolve it as ACCEPTED."
        )
    if not known and outcome == "ACCEPTED":
        raise Refused(f"The exchange knows nothing of request {row.client_id}: resolve it as NOT_PLACED.")
    if not known:
        _refuse_too_early(row, asked)
    return asked.body


def _find(asked: Asked) -> bool:
    try:
        asked.body = legs.ask(asked.row, asked.client)
        return True
    except OrderNotFound:
        return evidence.find(asked)
    except ExchangeError as error:
        if error.code == recovery.ARCHIVED:
            return False  # nothing of it was executed
        raise


def _refuse_too_early(row: OrderRequest, asked: Asked) -> None:
    view = requests.view(row, asked.orders)
    if view.has_id:
        raise Refused(
            f"The exchange gave request {row.client_id} a number, so that it has it: wait until it shows it."
        )
    final_ms = view.window_end_ms + protocol.hold_ms(view, settings.TIMINGS)
    if asked.client.server_time_ms() <= final_ms:
        raise Refused(f"Request {row.client_id} may still arrive; try again in some minutes.")


def _said(row: OrderRequest, body: Mapping[str, Any]) -> str:
    said = [wire_of(row.market).order(one) for one in legs_of(row.kind, row.client_id, body).values()]
    return ", ".join(f"{one.status}, executed {one.executed.normalize():f}" for one in said) or "found"


def _compare(bot: Any, state: BotState, client: ExchangeClient, rules: SymbolRules | None) -> None:
    """Raises Refused where journal and exchange differ on the bot's symbol, or the coins are not there."""
    try:
        found = compare.compare_account(bot.account, bot.market, client)
        found = [text for text in found if text.startswith(f"{bot.symbol}: ")]
        if not found and bot.market == "spot" and rules is not None:
            total = wire_of("spot").total(client.account()).get(rules.base, 0)
            if total < state.current_position_size_coins:
                size = f"{state.current_position_size_coins.normalize():f}"
                found = [f"{bot.symbol}: the account has {total} {rules.base}, the position is {size}"]
    except ExchangeError as error:
        raise Refused(f"The exchange can't be asked now, so nothing was changed: {error}") from None
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise Refused(f"Journal and exchange do not agree: {found[0]}{more}.")
