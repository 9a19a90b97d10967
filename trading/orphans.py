"""Orders on the exchange that the journal lacks: noted, and ended by a person who adopts or cancels them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from marketdata import symbols
from tradebot.binance.client import ExchangeClient
from tradebot.clock import from_ms, to_ms
from tradebot.errors import BotBusy, InvalidInput, OrderNotFound, Refused
from trading import audit, books, deployments, external, ids, money, outbox, wire
from trading.filters import format_decimal
from trading.locks import lock_state
from trading.models import BotState, Order, OrderRequest, Orphan, SymbolClaim
from trading.swept import LOCK_SECONDS, Scope

logger = logging.getLogger(__name__)

ADOPTED = "adopted"
QUOTE = "USDT"
JUST_AFTER = timedelta(milliseconds=1)  # the question follows what was booked at `now`
PAGE = 1000
ENDED = books.TERMINAL


@dataclass(frozen=True, slots=True)
class Seen:
    """An order, or a conditional order, as the exchange lists it."""

    symbol: str
    number: int
    client_id: str
    side: str
    type: str
    quantity: Decimal
    executed: Decimal
    status: str
    is_conditional: bool
    body: dict[str, Any]


def read(body: dict[str, Any]) -> Seen:
    """An order of either market, or a conditional order of futures, by its fields."""
    if "algoId" in body:
        return Seen(
            symbol=body["symbol"],
            number=int(body["algoId"]),
            client_id=str(body["clientAlgoId"]),
            side=body["side"],
            type=str(body.get("orderType", body.get("type", ""))),
            quantity=Decimal(body.get("quantity") or "0"),
            executed=Decimal(0),
            status=str(body.get("algoStatus", "NEW")),
            is_conditional=True,
            body=body,
        )
    return Seen(
        symbol=body["symbol"],
        number=int(body["orderId"]),
        client_id=str(body["clientOrderId"]),
        side=body["side"],
        type=body["type"],
        quantity=Decimal(body["origQty"]),
        executed=Decimal(body["executedQty"]),
        status=body["status"],
        is_conditional=False,
        body=body,
    )


def kind_of(client_id: str) -> str:
    """Whose order it is by its client id: ours, another deployment's, or nobody's that we know.

    A nonce that the journal knows was ours once (`manage.py after_restore` gives a new one).
    """
    parts = ids.parse(client_id)
    if parts is None:
        return Orphan.Kind.FOREIGN if not client_id.startswith(ids.PREFIX) else Orphan.Kind.NONCE
    return Orphan.Kind.ORPHAN if deployments.is_known(parts.nonce) else Orphan.Kind.NONCE


def note(scope: Scope, seen: Seen) -> Orphan:
    """Keep the order as an open orphan, pause whom it concerns, and tell the owner, once."""
    kind = kind_of(seen.client_id)
    values = {"executed": seen.executed, "status": seen.status, "body": seen.body}
    orphan, is_new = Orphan.objects.get_or_create(
        **scope.where,
        symbol=seen.symbol,
        exchange_id=seen.number,
        is_conditional=seen.is_conditional,
        defaults={
            **values,
            "bot_id": _bot_of(scope, seen, kind),
            "kind": kind,
            "client_id": seen.client_id,
            "side": seen.side,
            "type": seen.type,
            "quantity": seen.quantity,
            "found_at": scope.now,
        },
    )
    if orphan.resolved_at is not None:
        return orphan
    if not is_new:
        Orphan.objects.filter(pk=orphan.pk, resolved_at__isnull=True).update(**values)
    sentence = describe(orphan)
    scope.find(sentence)
    if is_new:
        logger.warning("account %s: %s", scope.account.pk, sentence)
        outbox.account_changed(scope.account, "unknown order", sentence, scope.now, seen.number)
    whole = kind != Orphan.Kind.ORPHAN  # somebody else is at the account
    bots = scope.all_bots() if whole else [bot for bot in (orphan.bot_id,) if bot is not None]
    scope.hold(bots, sentence)
    return orphan


def describe(orphan: Orphan) -> str:
    """The orphan in a sentence."""
    whose = {
        Orphan.Kind.ORPHAN: "an order of TradeBot's that the journal lacks",
        Orphan.Kind.NONCE: "an order of another TradeBot deployment on this account",
        Orphan.Kind.FOREIGN: "an order that is not TradeBot's",
    }[Orphan.Kind(orphan.kind)]
    return (
        f"{orphan.symbol}: {whose}: {orphan.client_id} ({orphan.side} {format_decimal(orphan.quantity)} "
        f"{orphan.type}, number {orphan.exchange_id})"
    )


def gone(scope: Scope, open_numbers: set[tuple[str, int, bool]]) -> None:
    """End open orphans that are no longer on the exchange and have traded nothing; update the others."""
    for orphan in Orphan.objects.filter(**scope.where, resolved_at__isnull=True):
        if (orphan.symbol, orphan.exchange_id, orphan.is_conditional) in open_numbers:
            continue
        seen = ask(orphan, scope.client)
        if seen is not None and seen.status not in ENDED and not seen.is_conditional:
            continue
        executed = seen.executed if seen is not None else Decimal(0)
        if executed and orphan.kind != Orphan.Kind.FOREIGN:
            Orphan.objects.filter(pk=orphan.pk).update(executed=executed, status=seen.status if seen else "")
            orphan.executed = executed
            scope.find(describe(orphan))
            continue
        Orphan.objects.filter(pk=orphan.pk, resolved_at__isnull=True).update(
            resolved_at=scope.now, resolution=Orphan.Resolution.GONE
        )


def ask(orphan: Orphan, client: ExchangeClient) -> Seen | None:
    """The order as the exchange has it now; None when it does not know it."""
    try:
        if orphan.is_conditional:
            return read(client.algo_order(orphan.client_id))
        return read(client.order_by_id(orphan.symbol, orphan.exchange_id))
    except OrderNotFound:
        return None


def adopt(
    *, orphan: Orphan, by: Any, client: ExchangeClient, now: datetime, bot_id: int | None = None
) -> Order:
    """Make the order a row of its bot's journal, as an ACCEPTED request, with its fills booked. Audited.

    Raises Refused with what to do, InvalidInput for somebody else's orphan, and the client's errors.
    """
    may_end(orphan, by)
    bot_id = bot_id or orphan.bot_id
    if orphan.kind == Orphan.Kind.FOREIGN:
        raise Refused("This order is not TradeBot's, so it can't be adopted; cancel it, or let it end.")
    if bot_id is None:
        raise Refused(f"No bot trades {orphan.symbol} of this account, so nobody can adopt it; cancel it.")
    seen = ask(orphan, client)
    if seen is None:
        raise Refused("The exchange does not know this order any more; it can't be adopted.")
    rules = symbols.many(client.source, [orphan.symbol]).get(orphan.symbol)
    try:
        with transaction.atomic(durable=True):
            state = lock_state(bot_id, wait_seconds=LOCK_SECONDS)
            orphan = _locked(orphan)
            _must_fit(seen, state)
            order = _insert(orphan, seen, state, now)
            books.book_order(
                request=order.request, state=state, body=seen.body, client=client, rules=rules, now=now
            )
            _resolve(orphan, Orphan.Resolution.ADOPTED, by, now)
    except BotBusy as error:
        raise Refused(str(error)) from None
    except IntegrityError as error:
        raise Refused(_why_not(error)) from None
    renew_balances(orphan.account_id, orphan.market, client, now)
    order.refresh_from_db()
    return order


def cancel(*, orphan: Orphan, by: Any, client: ExchangeClient, now: datetime) -> Orphan:
    """Cancel the order at the exchange; what it has traded is booked as external fills. Audited.

    Raises Refused, InvalidInput for somebody else's orphan, and the client's errors.
    """
    may_end(orphan, by)
    if orphan.resolved_at is not None:
        raise Refused(f"This order was {orphan.get_resolution_display()} already.")
    with contextlib.suppress(OrderNotFound):  # it is not open: what it has traded is asked for below
        if orphan.is_conditional:
            client.cancel_algo_order(orphan.client_id)
        else:
            client.cancel_order_by_id(orphan.symbol, orphan.exchange_id)
    seen = ask(orphan, client)
    if seen is not None and seen.status not in ENDED and not seen.is_conditional:
        raise Refused("The exchange has not cancelled the order yet; try again in a moment.")
    if seen is not None and seen.executed:
        _book_external(orphan, client, now)
    with transaction.atomic():
        orphan = _locked(orphan)
        if seen is not None:
            orphan.executed, orphan.status, orphan.body = seen.executed, seen.status, seen.body
        _resolve(orphan, Orphan.Resolution.CANCELLED, by, now)
    renew_balances(orphan.account_id, orphan.market, client, now)
    return orphan


def renew_balances(account_id: int, market: str, client: ExchangeClient, now: datetime) -> None:
    """Ask for the balances anew: what was booked late may have been in the last answer already."""
    money.apply_snapshot(account_id, market, QUOTE, client.account(), now + JUST_AFTER)


def _book_external(orphan: Orphan, client: ExchangeClient, now: datetime) -> None:
    reader = wire.wire_of(orphan.market)
    rows = client.my_trades(orphan.symbol, order_id=orphan.exchange_id, limit=PAGE)
    try:
        external.book(
            orphan.account,
            orphan.market,
            orphan.symbol,
            bot_id=orphan.bot_id if orphan.bot_id and _changes_position(orphan) else None,
            said=[reader.fill(row) for row in rows],
            names={orphan.exchange_id: orphan.client_id},
            client=client,
            rules=symbols.many(client.source, [orphan.symbol]).get(orphan.symbol),
            now=now,
        )
    except BotBusy as error:
        raise Refused(str(error)) from None


def _changes_position(orphan: Orphan) -> bool:
    """Whether the order made the bot's position smaller: a bot takes no position that it did not open."""
    state = BotState.objects.select_related("bot").filter(bot_id=orphan.bot_id, in_position=True).first()
    if state is None or orphan.executed > state.current_position_size_coins:
        return False
    return orphan.side == ("BUY" if state.bot.position_type == "short" else "SELL")


def _insert(orphan: Orphan, seen: Seen, state: BotState, now: datetime) -> Order:
    """The request, born PREPARED as every request, and ended at once; and its order."""
    opens = "SELL" if state.bot.position_type == "short" else "BUY"
    purpose = "ENTRY" if seen.side == opens else _exit_purpose(seen.type)
    made_at = from_ms(int(seen.body.get("time") or seen.body.get("createTime") or to_ms(orphan.found_at)))
    state.epoch += 1
    state.save(update_fields=["epoch"])
    name = _free_name(seen)
    common: Mapping[str, Any] = {
        "bot_id": state.bot_id,
        "account_id": orphan.account_id,
        "market": orphan.market,
        "symbol": orphan.symbol,
        "created_at": now,
    }
    request = OrderRequest.objects.create(
        **common,
        lane="entry" if purpose == "ENTRY" else "exit",
        kind="algo" if seen.is_conditional else "order",
        client_id=name,
        path="",
        payload=ADOPTED,
        ts_ms=to_ms(made_at),
        recv_window_ms=0,
        epoch=state.epoch,
        answered=True,
        exchange_list_id=seen.number if seen.is_conditional else None,
    )
    live_parts = Order.objects.filter(bot_id=state.bot_id, purpose=purpose, live=True)
    part = max([-1, *live_parts.values_list("part", flat=True)]) + 1
    order = Order.objects.create(
        **common,
        request=request,
        purpose=purpose,
        part=part,
        side=seen.side,
        type=seen.type,
        quantity=seen.quantity,
        client_order_id=name,
        signal_time=made_at if purpose == "ENTRY" else None,
        reason=ADOPTED,
        updated_at=now,
    )
    request.state, request.reason, request.resolved_at = "ACCEPTED", ADOPTED, now
    request.save(update_fields=["state", "reason", "resolved_at"])
    return order


def _must_fit(seen: Seen, state: BotState) -> None:
    """A spot bot can't have sold more than it held: such an order belongs to the account, not to the bot."""
    if (
        state.bot.market == "spot"
        and seen.side == "SELL"
        and seen.executed > state.current_position_size_coins
    ):
        raise Refused(
            f"The order sold {format_decimal(seen.executed)}, and the bot holds "
            f"{format_decimal(state.current_position_size_coins)}; cancel it, which books it to the account."
        )


def _exit_purpose(order_type: str) -> str:
    if order_type.startswith("STOP"):
        return "STOP"
    return "TARGET" if order_type.startswith("TAKE_PROFIT") else "EXIT"


def _free_name(seen: Seen) -> str:
    """The order's own client id, unless the journal has it: a replayed request made two orders of one id."""
    taken = OrderRequest.objects.filter(client_id=seen.client_id).exists()
    taken = taken or Order.objects.filter(client_order_id=seen.client_id).exists()
    if taken and seen.status not in ENDED:
        raise Refused("The journal has an order of this client id, and this one is open; cancel it.")
    return f"{ADOPTED}-{seen.number}"[:36] if taken else seen.client_id[:36]


def _locked(orphan: Orphan) -> Orphan:
    fresh = Orphan.objects.select_for_update(no_key=True, of=("self",)).get(pk=orphan.pk)
    if fresh.resolved_at is not None:
        raise Refused(f"This order was {fresh.get_resolution_display()} already.")
    return fresh


def _resolve(orphan: Orphan, resolution: str, by: Any, now: datetime) -> None:
    before = {"status": orphan.status, "executed": format_decimal(orphan.executed)}
    orphan.resolved_at, orphan.resolution, orphan.by = now, resolution, by
    orphan.save()
    audit.note(
        by, f"orphan {resolution}", orphan, before=before, after={"client_id": orphan.client_id}, now=now
    )


def may_end(orphan: Orphan, by: Any) -> None:
    """Raise InvalidInput for a user who neither owns the account nor is a superuser."""
    if not (by.is_superuser or orphan.account.user_id == by.pk):
        raise InvalidInput(f"There is no orphan {orphan.pk}; look at the list of your own.", "orphan")


def _why_not(error: IntegrityError) -> str:
    constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "") or ""
    if constraint == "one_open_request_per_bot_and_lane":
        return "The bot has a request whose outcome is open; try again when it is known."
    return f"The journal refuses it ({constraint}); cancel the order instead."


def _bot_of(scope: Scope, seen: Seen, kind: str) -> int | None:
    """The bot that placed it, by its client id; else the one that holds the symbol."""
    if kind == Orphan.Kind.NONCE:
        return None
    mine = BotState.objects.filter(
        bot__account_id=scope.account.pk, bot__market=scope.market, bot__symbol=seen.symbol
    )
    parts = ids.parse(seen.client_id)
    if parts is not None and parts.bot_id < 2**63 and mine.filter(bot_id=parts.bot_id).exists():
        return parts.bot_id
    claim = SymbolClaim.objects.filter(**scope.where, symbol=seen.symbol).first()
    return claim.bot_id if claim else None
