"""What users do with bots, for admin, API and commands: make, change, start, pause, stop, close, delete.

Services do no HTTP and send no messages: the caller wakes the bot after the commit (bots.actors.wake_bot).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, OperationalError, transaction

from bots.models import BotConfig, BotInbox
from bots.validation import check_symbol, validate_bot
from tradebot.clock import now
from tradebot.errors import BotBusy, InvalidInput, Refused
from trading.accounts import has_key
from trading.locks import LOCK_NOT_AVAILABLE, lock_state
from trading.models import BotState, ExchangeAccount, Order, OrderRequest, SymbolClaim
from trading.models.journal import DOUBT_STATES
from trading.sweep import is_settled
from trading.texts import held_status

USER_WAIT_SECONDS = 2.0
NOT_STARTED = "Not started yet."
STARTED = "Started; it is looked at within a minute."
PAUSED = "Paused by hand."
REASONS_BY_HAND = frozenset({NOT_STARTED, STARTED, PAUSED})  # all others come from a look
PINNED = ("symbol", "market", "account", "position_type", "leverage", "strategy")
LIVE_LOCKED = (
    "Live trading is locked in this version: account {account} is live; use a paper or testnet account."
)


def bot_create(*, user: Any, account: ExchangeAccount | None, values: Mapping[str, Any]) -> BotConfig:
    """A new, paused bot of `user`. Raises InvalidInput that names the fields; nothing is stored then."""
    cleaned = validate_bot(user=user, account=account, values=values)
    with transaction.atomic():
        bot = _save(BotConfig(user=user, account=account, **cleaned))
        state = BotState.objects.get(bot=bot)
        state.status, state.status_reason = "paused", NOT_STARTED
        state.save(update_fields=["status", "status_reason"])
        bot.state = state
    return bot


def bot_change(
    *, bot: BotConfig, values: Mapping[str, Any], by: Any, account: ExchangeAccount | None = None
) -> BotConfig:
    """The bot with other settings, which count from its next look on; what `values` leaves out stays.

    An open position keeps the stop and target that it was opened with. Raises InvalidInput, and Refused where
    market, symbol, account, side, leverage or strategy would change while in position or in doubt.
    """
    with transaction.atomic():
        bot, state = _locked(bot, by)
        account = account or bot.account
        cleaned = validate_bot(user=bot.user, account=account, values=values, bot=bot)
        changes = differences(bot, account, cleaned)
        if not changes:
            return bot
        if refusal := change_refusal(bot, state, changes):
            raise Refused(refusal)
        for field, value in changes.items():
            setattr(bot, field, value)
        if bot.is_active and changes.keys() & {"symbol", "market", "account"}:
            _check_startable(bot)
            _claim(bot)
        bot.version += 1
        return _save(bot)


def bot_start(*, bot: BotConfig, by: Any) -> BotInbox:
    """Start the bot; it is looked at soon, by the inbox entry that is returned.

    Takes the symbol's claim. Clears holds; "drift" only once the account agrees with the exchange again.
    Raises Refused.
    """
    with transaction.atomic():
        bot, state = _locked(bot, by)
        if bot.is_active:
            raise Refused(f"Bot {bot.name} is already active.")
        _check_startable(bot)
        _claim(bot)
        BotConfig.objects.filter(pk=bot.pk).update(is_active=True, updated_at=now())
        stays = state.hold == "drift" and not is_settled(bot.account_id, bot.market)
        state.hold = "drift" if stays else ""
        state.rejections_in_a_row = 0
        state.status = _status_of_active(state)
        state.status_reason = STARTED if state.status == "waiting" else ""
        state.save(update_fields=["hold", "rejections_in_a_row", "status", "status_reason"])
        return _inbox(bot, BotInbox.Kind.RUN, by)


def bot_pause(*, bot: BotConfig, by: Any) -> BotConfig:
    """Pause the bot: no entries any more; the exits of an open position run on. Raises Refused."""
    with transaction.atomic():
        bot, state = _locked(bot, by)
        if not bot.is_active:
            raise Refused(f"Bot {bot.name} is already paused.")
        _pause(bot, state)
        return bot


def bot_stop(*, bot: BotConfig, by: Any) -> BotInbox:
    """Pause the bot and close its position; the inbox entry tells what came of it.

    A bot without position and doubt is paused, and the entry has nothing left to do. Raises Refused for one
    that is paused and flat, or whose position is being closed already.
    """
    with transaction.atomic():
        bot, state = _locked(bot, by)
        is_free = _is_free(bot, state)
        if not bot.is_active and is_free:
            raise Refused(f"Bot {bot.name} is already paused and has no position.")
        if not bot.is_active and _is_closing(bot, state):
            raise Refused(f"Bot {bot.name} is already closing its position.")
        if bot.is_active:
            _pause(bot, state)
        entry = _inbox(bot, BotInbox.Kind.STOP, by)
        if is_free:
            entry.handled_at, entry.result = now(), "Paused; there was no position to close."
            entry.save(update_fields=["handled_at", "result"])
        return entry


def bot_close(*, bot: BotConfig, by: Any) -> BotInbox:
    """Close the bot's position; it stays active or paused as it was. Raises Refused without a position."""
    with transaction.atomic():
        bot, state = _locked(bot, by)
        if _is_free(bot, state):
            raise Refused(f"Bot {bot.name} has no position to close.")
        if _is_closing(bot, state):
            raise Refused(f"Bot {bot.name} is already closing its position.")
        return _inbox(bot, BotInbox.Kind.CLOSE, by)


def bot_run_now(*, bot: BotConfig, by: Any) -> BotInbox:
    """Look at the bot now; the inbox entry tells what came of it. Raises Refused for a paused, flat bot."""
    with transaction.atomic():
        bot, state = _locked(bot, by)
        if not bot.is_active and _is_free(bot, state):
            raise Refused(f"Bot {bot.name} is paused; start it first.")
        return _inbox(bot, BotInbox.Kind.RUN, by)


def bot_delete(*, bot: BotConfig, by: Any) -> BotConfig:
    """Remove the bot from every list; its journal stays. Raises Refused for one that _tie() holds."""
    with transaction.atomic():
        bot, state = _locked(bot, by)
        if reason := _tie(bot, state):
            raise Refused(f"Bot {bot.name} can't be deleted: {reason} Stop it first.")
        moment = now()
        bot.is_active, bot.deleted_at = False, moment
        bot.save(update_fields=["is_active", "deleted_at", "updated_at"])
        SymbolClaim.objects.filter(bot=bot).delete()
        bot.inbox.filter(handled_at__isnull=True).update(handled_at=moment, result="The bot was deleted.")
        BotState.objects.filter(pk=state.pk).update(status="paused", status_reason="Deleted.")
        return bot


def claim_release(*, bot: BotConfig, state: BotState) -> bool:
    """Give the symbol free if nothing ties the bot to it any more: not active, flat, no doubt, no live order.

    The caller holds the bot's lock. For whoever makes a paused bot flat, too.
    """
    if bot.is_active or not _is_free(bot, state):
        return False
    return bool(SymbolClaim.objects.filter(bot=bot).delete()[0])


def differences(bot: BotConfig, account: ExchangeAccount, cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the cleaned values, and the account, that are not the bot's already."""
    changes = {name: value for name, value in cleaned.items() if getattr(bot, name) != value}
    if account.pk != bot.account_id:
        changes["account"] = account
    return changes


def change_refusal(bot: BotConfig, state: BotState, changes: Mapping[str, Any]) -> str | None:
    """Why the bot can't be changed so now, as a sentence, or None."""
    pinned = [name.replace("_", " ") for name in PINNED if name in changes]
    reason = _tie(bot, state) if pinned else None
    return f"{', '.join(pinned).capitalize()} can't be changed now: {reason}" if reason else None


def _locked(bot: BotConfig, by: Any) -> tuple[BotConfig, BotState]:
    """The bot as it is now, and its state row, locked until the transaction ends."""
    try:
        state = lock_state(bot.pk, wait_seconds=USER_WAIT_SECONDS)
    except BotBusy:
        raise Refused(f"Bot {bot.name} is being run right now; try again in a moment.") from None
    except BotState.DoesNotExist:
        raise no_such_bot(bot.pk) from None
    fresh = BotConfig.objects.select_related("account", "user").get(pk=bot.pk)
    if fresh.deleted_at is not None or not (by.is_superuser or fresh.user_id == by.pk):
        raise no_such_bot(bot.pk)
    return fresh, state


def no_such_bot(bot_id: object) -> InvalidInput:
    """The answer for a bot that does not exist, is deleted, or belongs to somebody else: all the same."""
    return InvalidInput(
        f"There is no bot {str(bot_id)[:40]}; look at the list of your bots for its number.", "bot"
    )


def _check_startable(bot: BotConfig) -> None:
    if bot.account.environment == ExchangeAccount.Environment.LIVE:
        raise Refused(LIVE_LOCKED.format(account=bot.account.name))
    if not bot.user.is_active:
        raise Refused(f"The owner of bot {bot.name} is deactivated; activate the user first.")
    if not has_key(bot.account):
        raise Refused(f"Account {bot.account.name} has no API key; enter one first.")
    try:
        check_symbol(bot.account.environment, bot.market, bot.symbol)
    except InvalidInput as error:
        raise Refused(str(error)) from None


def _claim(bot: BotConfig) -> None:
    """Take the symbol for the bot, or move its claim. Raises Refused that names the bot that holds it."""
    try:
        with transaction.atomic():
            SymbolClaim.objects.update_or_create(
                bot=bot, defaults={"account": bot.account, "market": bot.market, "symbol": bot.symbol}
            )
    except IntegrityError:
        holder = (
            SymbolClaim.objects.filter(account=bot.account, market=bot.market, symbol=bot.symbol)
            .values_list("bot__name", flat=True)
            .first()
        )
        raise Refused(
            f"{bot.symbol} of account {bot.account.name} is already traded by bot {holder}; "
            "pause that one first."
        ) from None
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) != LOCK_NOT_AVAILABLE:
            raise
        raise Refused(
            f"Another bot on {bot.symbol} is being started right now; try again in a moment."
        ) from None


def _pause(bot: BotConfig, state: BotState) -> None:
    bot.is_active = False
    bot.save(update_fields=["is_active", "updated_at"])
    if _is_free(bot, state):
        state.status, state.status_reason = "paused", PAUSED
        state.save(update_fields=["status", "status_reason"])
    claim_release(bot=bot, state=state)


def _tie(bot: BotConfig, state: BotState) -> str | None:
    """What ties the bot to its market now, as a sentence, or None."""
    if state.in_position:
        return "it is in position."
    if state.exit_wanted:
        return "it is closing its position."
    if OrderRequest.objects.filter(bot=bot, state__in=DOUBT_STATES).exists():
        return "the outcome of an order is not known yet."
    if Order.objects.filter(bot=bot, live=True).exists():
        return "it has an order on the exchange."
    return None


def _is_free(bot: BotConfig, state: BotState) -> bool:
    return _tie(bot, state) is None


def _is_closing(bot: BotConfig, state: BotState) -> bool:
    kinds = (BotInbox.Kind.STOP, BotInbox.Kind.CLOSE)
    return bool(state.exit_wanted) or bot.inbox.filter(kind__in=kinds, handled_at__isnull=True).exists()


def _status_of_active(state: BotState) -> str:
    if state.hold:
        return held_status(state.hold)
    if state.exit_wanted:
        return "exiting"
    return "in position" if state.in_position else "waiting"


def _inbox(bot: BotConfig, kind: str, by: Any) -> BotInbox:
    return BotInbox.objects.create(
        bot=bot, kind=kind, source_id=uuid.uuid4().hex, payload={"user": by.pk}, created_at=now()
    )


def _save(bot: BotConfig) -> BotConfig:
    try:
        with transaction.atomic():
            bot.save()
    except IntegrityError as error:
        if "bot_name_once_per_user" not in str(error):
            raise
        raise InvalidInput(f"There is a bot named {bot.name} already; choose another name.", "name") from None
    return bot
