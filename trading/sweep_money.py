"""Balances and positions of an account against the journal, on accounts that are TradeBot's alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from django.db import transaction

from tradebot.errors import ExchangeError, KeyRefused
from trading import books, income, ledger, outbox
from trading.filters import format_decimal
from trading.locks import lock_state
from trading.models import Adjustment, BotState, Fill, SymbolClaim
from trading.swept import LOCK_SECONDS, Scope, hold_locked
from trading.wire import Amounts, position_of

ZERO = Decimal(0)
TOLERANCE = Decimal("0.000001")  # of any asset: the exchange rounds sums of fills
ALL = "*"  # in the offsets: every asset that is not named had none


def text(value: Decimal) -> str:
    """The amount without zeros at its end."""
    return format_decimal(value.normalize())


# --- spot coins and money -------------------------------------------------------------------------


def offsets(scope: Scope) -> Amounts:
    """By asset, what the exchange has less what the journal adds up to."""
    here = ledger.balances(scope.account.pk, scope.market, scope.assets_of)
    return {asset: scope.totals.get(asset, ZERO) - here.get(asset, ZERO) for asset in {*scope.totals, *here}}


def differences(scope: Scope) -> Amounts:
    """By asset, what changed of the balances since the last sweep that no fill of the journal explains."""
    known = scope.row.offsets
    found = {}
    for asset, offset in offsets(scope).items():
        before = known.get(asset, "0" if ALL in known else None)
        if before is not None and abs(offset - Decimal(before)) > TOLERANCE:
            found[asset] = offset - Decimal(before)
    return found


def missing_coins(scope: Scope) -> Amounts:
    """By symbol, how many coins of a spot bot's position the account does not have."""
    if scope.market != "spot":
        return {}
    found = {}
    for symbol, size in ledger.held_by_bots(scope.account.pk, "spot").items():
        base, _ = scope.assets_of(symbol)
        missing = size - scope.totals.get(base, ZERO) - _fees_of_others(scope, symbol, base)
        if missing > TOLERANCE:
            found[symbol] = missing
    return found


def _fees_of_others(scope: Scope, symbol: str, asset: str) -> Decimal:
    """What other symbols' trades paid in this asset (BNB) since the bot entered."""
    state = BotState.objects.filter(
        bot__account_id=scope.account.pk, bot__market=scope.market, bot__symbol=symbol, in_position=True
    ).first()
    if state is None or state.entry_time is None:
        return ZERO
    paid = Fill.objects.filter(**scope.where, commission_asset=asset, traded_at__gte=state.entry_time)
    return sum(paid.exclude(symbol=symbol).values_list("commission", flat=True), ZERO)


def compare_balances(scope: Scope) -> None:
    """Book what came and went without an order, once it was seen twice; note the balances as the new base."""
    moving = {asset for symbol in scope.moving_symbols() for asset in scope.assets_of(symbol)}
    for symbol, missing in missing_coins(scope).items():
        if not moving & set(scope.assets_of(symbol)) and scope.is_second(f"coins:{symbol}", text(missing)):
            _take_from_bot(scope, symbol, missing)
    pending = differences(scope)
    if pending and scope.market == "futures":
        _book_income(scope)
        pending = differences(scope)
    for asset, change in sorted(pending.items()):
        if asset in moving:
            scope.kept_suspects.add(f"balance:{asset}")
        elif scope.is_second(f"balance:{asset}", text(change)):
            _adjust(scope, asset, change)
    left = differences(scope)
    for asset, offset in offsets(scope).items():
        if asset not in moving and asset not in left:
            scope.row.offsets[asset] = text(offset)
    if not moving:
        scope.row.offsets[ALL] = "0"


def _book_income(scope: Scope) -> None:
    """Funding and fees of liquidation change the wallet, too; they have a journal of their own."""
    try:
        scope.swept.booked += income.book_income(scope.account, scope.client, scope.now)
    except KeyRefused:
        raise
    except ExchangeError:
        scope.look_again(60)


def _adjust(scope: Scope, asset: str, change: Decimal) -> None:
    """A deposit or a withdrawal: the account's, no bot's."""
    what = "deposit" if change > 0 else "withdrawal"
    reason = f"{what} of {text(abs(change))} {asset}: no order explains it"
    with transaction.atomic():
        row = Adjustment.objects.create(
            **scope.where, asset=asset, quantity=change, kind=what, reason=reason, created_at=scope.now
        )
        outbox.account_changed(scope.account, what, f"{scope.market}: {reason}", scope.now, row.pk)
    scope.swept.booked += 1
    scope.find(f"{scope.market}: {reason}")


def _take_from_bot(scope: Scope, symbol: str, missing: Decimal) -> None:
    """Coins of a bot left the account without a trade of its symbol: its position is smaller by them."""
    bot_id = scope.holder(symbol)
    if bot_id is None:
        return
    base, _ = scope.assets_of(symbol)
    reason = f"{text(missing)} {base} of the position left the account without a trade of {symbol}"
    with transaction.atomic(durable=True):
        state = lock_state(bot_id, wait_seconds=LOCK_SECONDS)
        quantity = min(missing, state.current_position_size_coins)
        if quantity <= 0:
            return
        Adjustment.objects.create(
            **scope.where,
            bot_id=bot_id,
            asset=base,
            quantity=-quantity,
            kind="external",
            reason=reason,
            created_at=scope.now,
        )
        books.rebook(order=None, state=state, rules=scope.rules(symbol), now=scope.now)
        hold_locked(state, reason, scope.now)
    scope.swept.booked += 1
    scope.swept.held.add(bot_id)
    scope.find(f"{symbol}: {reason}")


# --- futures positions ----------------------------------------------------------------------------


def position_differences(scope: Scope, rows: list[dict[str, str]]) -> dict[str, tuple[Decimal, Decimal]]:
    """By symbol, the exchange's position and the journal's, where they differ."""
    here = ledger.positions(scope.account.pk)
    symbols = {*here, *(row["symbol"] for row in rows)}
    found = {symbol: (position_of(rows, symbol), here.get(symbol, ZERO)) for symbol in symbols}
    return {symbol: pair for symbol, pair in found.items() if pair[0] != pair[1]}


def compare_positions(scope: Scope, rows: list[dict[str, str]]) -> None:
    """Pause the bot whose position differs from the exchange's twice; the trades were booked before."""
    moving = scope.moving_symbols()
    for symbol, (there, here) in sorted(position_differences(scope, rows).items()):
        if symbol in moving:
            continue
        if scope.is_second(f"position:{symbol}", f"{text(there)} {text(here)}"):
            sentence = (
                f"{symbol}: a position of {text(there)} at the exchange, {text(here)} by the fills here"
            )
            _hold_symbol(scope, symbol, sentence)
    held = ledger.held_by_bots(scope.account.pk, "futures")
    booked = ledger.positions(scope.account.pk)
    for symbol in sorted({*held, *booked} - moving):
        mine, all_of_it = held.get(symbol, ZERO), booked.get(symbol, ZERO)
        if mine != all_of_it and scope.is_second(f"held:{symbol}", f"{text(mine)} {text(all_of_it)}"):
            sentence = f"{symbol}: a position of {text(all_of_it)}, of which bots hold {text(mine)}"
            _hold_symbol(scope, symbol, sentence)


def _hold_symbol(scope: Scope, symbol: str, sentence: str) -> None:
    scope.find(sentence)
    bot_id = scope.holder(symbol)
    if bot_id is not None:
        scope.hold([bot_id], sentence)


# --- which symbols to look through ----------------------------------------------------------------


def suspicious(scope: Scope, rows: list[dict[str, str]] | None) -> list[str]:
    """Symbols whose trades may explain a difference of balances or positions."""
    found = set(missing_coins(scope))
    if rows is not None:
        found |= set(position_differences(scope, rows))
    changed = set(differences(scope))
    if scope.market == "spot":
        found |= {symbol for symbol in _traded(scope) if scope.assets_of(symbol)[0] in changed}
    return sorted(found)


def _traded(scope: Scope) -> Iterable[str]:
    """Symbols that the journal knows of the account, or that a bot claims."""
    booked = Fill.objects.filter(**scope.where).order_by().values_list("symbol", flat=True).distinct()
    claimed = SymbolClaim.objects.filter(**scope.where).values_list("symbol", flat=True)
    return {*booked, *claimed}


def as_amounts(rows: Mapping[str, Decimal]) -> Amounts:
    """A copy without assets of which there is nothing."""
    return {asset: amount for asset, amount in rows.items() if amount}
