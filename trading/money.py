"""An account's money: reserved before an entry is sent, corrected when it is settled, asked for when old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from django.db import transaction
from django.db.models import Q

from marketdata.types import SymbolRules
from tradebot import rows
from tradebot.binance.client import ExchangeClient
from tradebot.errors import RiskVeto
from tradebot.redis import redis_client
from trading.assets import assets_of
from trading.locks import lock_balances
from trading.models import AccountState, BotState, Order, OrderRequest
from trading.models.journal import DOUBT_STATES
from trading.wire import wire_of

REFRESH_PAUSE_MS = 5000
RESERVE_FACTOR = Decimal("1.01")  # a MARKET order may cost more than the price said
FUTURES_FEE = Decimal(
    "0.0005"
)  # of the notional: Binance's taker fee without discounts, paid from the wallet
ZERO = Decimal(0)
RESTING = ("NEW", "PENDING_NEW", "PARTIALLY_FILLED", "PENDING_CANCEL")  # statuses that keep money back
# the rows are locked by lock_balances; one statement for all of them
WRITE_BALANCES = """
UPDATE trading_accountstate AS row SET free = news.free, reserved = news.reserved, asked_at = news.asked_at
FROM (VALUES {}) AS news(id, free, reserved, asked_at) WHERE row.id = news.id
"""


class Owner(Protocol):
    """What a reservation needs to know of the order's owner."""

    @property
    def account_id(self) -> int: ...
    @property
    def market(self) -> str: ...
    @property
    def leverage(self) -> int: ...
    @property
    def position_type(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside for one entry request."""

    asset: str
    amount: Decimal


def reserve(target: Owner, rules: SymbolRules, notional: Decimal) -> Reservation:
    """Set what an entry needs of the quote asset aside; the account's row is locked until the caller commits.

    Spot needs the notional * 1.01; futures its margin, notional / leverage * 1.01, and the fee. Raises
    RiskVeto with the figures when the account has less, or when its balance is not known.
    """
    verb = "selling short" if target.position_type == "short" else "buying"
    row = lock_balances(target.account_id, target.market, {rules.quote})[rules.quote]
    if row.asked_at is None:
        raise RiskVeto(f"not {verb}: the account's balance is not known yet")
    wanted, in_positions = notional * RESERVE_FACTOR, ZERO
    reserve_text = "1 % reserve"
    if target.market == "futures":
        wanted = wanted / target.leverage + notional * FUTURES_FEE
        in_positions = margin_in_positions(target.account_id)
        reserve_text = "1 % reserve and the fee"
    wanted = wanted.quantize(Decimal("1e-8"))
    available = row.free - in_positions - row.reserved
    if available < wanted:
        tied_up = f" beside {in_positions:.2f} in open positions" if in_positions else ""
        margin = "a margin of " if target.market == "futures" else ""
        raise RiskVeto(
            f"not {verb}: the account has {available:.2f} {rules.quote} free{tied_up}, "
            f"the entry needs {margin}{wanted:.2f} (with {reserve_text})"
        )
    row.reserved += wanted
    rows.run(rows.update(row, ("reserved",)))
    return Reservation(rules.quote, wanted)


def margin_in_positions(account_id: int) -> Decimal:
    """The isolated margin of the account's open futures positions, in quote units: entry * size / leverage.

    Under the lock of the account's row it is what was committed: a run that opens or closes a position
    changes that row in the same commit.
    """
    states = BotState.objects.filter(bot__account_id=account_id, bot__market="futures", in_position=True)
    sizes = states.values_list("entry_price", "current_position_size_coins", "bot__leverage")
    return sum(((price or ZERO) * size / leverage for price, size, leverage in sizes), ZERO)


def release(request: OrderRequest) -> None:
    """Give back what the request had reserved, in the commit that ends it."""
    settle(request.account_id, request.market, {}, request)


def locked_by(orders: Sequence[Order], rules: SymbolRules | None) -> dict[str, Decimal]:
    """What the orders of one request keep back of the account's spot balances while they rest, by asset.

    The legs of a list lock the same coins once. What rests has left AccountState.free.
    """
    locked: dict[str, Decimal] = {}
    for order in orders:
        if order.market != "spot" or order.status not in RESTING or order.type == "MARKET":
            continue
        rest = order.quantity - order.executed_quantity
        is_sell = order.side == "SELL"
        asset = assets_of(order.symbol, rules)[0 if is_sell else 1]
        amount = rest if is_sell else rest * (order.price or order.stop_price or ZERO)
        locked[asset] = max(locked.get(asset, ZERO), amount)
    return locked


def locked_by_requests(orders: Sequence[Order], quote: str) -> dict[str, Decimal]:
    """What resting spot orders keep back, by asset; lists count once. `quote` ends each symbol's name."""
    requests: dict[tuple[int, str], Decimal] = {}
    for order in orders:
        rest = order.quantity - order.executed_quantity
        is_sell = order.side == "SELL"
        key = order.request_id, order.symbol.removesuffix(quote) if is_sell else quote
        amount = rest if is_sell else rest * (order.price or order.stop_price or ZERO)
        requests[key] = max(requests.get(key, ZERO), amount)
    locked: dict[str, Decimal] = {}
    for (_, asset), amount in requests.items():
        locked[asset] = locked.get(asset, ZERO) + amount
    return locked


def locked_in_sells(account_id: int, market: str, symbol: str) -> Decimal:
    """The base coins of a symbol that the account's resting sell orders keep back; lists count once."""
    if market != "spot":
        return ZERO
    sales = Order.objects.filter(
        account_id=account_id, market=market, symbol=symbol, side="SELL", status__in=RESTING
    ).exclude(type="MARKET")
    return sum(locked_by_requests(list(sales), "").values(), ZERO)


def settle(
    account_id: int, market: str, changes: Mapping[str, Decimal], ended: OrderRequest | None = None
) -> None:
    """Book what fills changed of the free balances, by asset; `ended` gives back what it reserved."""
    reserved = {ended.reserved_asset: ended.reserved_amount} if ended and ended.reserved_amount else {}
    balances = lock_balances(account_id, market, set(changes) | set(reserved))
    values: list[Any] = []
    for asset, row in balances.items():
        row.free += changes.get(asset, ZERO)
        row.reserved = max(ZERO, row.reserved - reserved.get(asset, ZERO))
        if asset in changes and row.asked_at is None:  # what the last snapshot lacked was zero then
            row.asked_at = _last_asked_at(account_id, market)
        values += [row.pk, row.free, row.reserved, row.asked_at]
    if values:
        places = ", ".join(["(%s::bigint, %s::numeric, %s::numeric, %s::timestamptz)"] * len(balances))
        rows.run(rows.Statement(WRITE_BALANCES.format(places), values))


def _last_asked_at(account_id: int, market: str) -> datetime | None:
    return (
        AccountState.objects.filter(account_id=account_id, market=market, asked_at__isnull=False)
        .order_by("-asked_at")
        .values_list("asked_at", flat=True)
        .first()
    )


def refresh(account_id: int, market: str, quote: str, client: ExchangeClient, now: datetime) -> bool:
    """Ask the exchange for the balances, every 5 s at most for an account; True when they were applied.

    A snapshot that a request of the account was open or settled beside is dropped: it may hold half of it.
    Raises the client's errors.
    """
    gate = f"account-refresh:{account_id}:{market}"
    is_known = AccountState.objects.filter(
        account_id=account_id, market=market, asset=quote, asked_at__isnull=False
    ).exists()
    if is_known and not redis_client().set(gate, b"1", nx=True, px=REFRESH_PAUSE_MS):
        return False
    return apply_snapshot(account_id, market, quote, client.account(), now)


def apply_snapshot(
    account_id: int, market: str, quote: str, answer: Mapping[str, Any], asked_at: datetime
) -> bool:
    """Write the exchange's free balances, as asked for at `asked_at`, unless they may be torn.

    Torn is a snapshot beside which a request was open or settled, and one that holds what a resting order did
    and what is not booked yet: booked later, it would count twice.
    """
    free = wire_of(market).free(answer)
    known = set(
        AccountState.objects.filter(account_id=account_id, market=market).values_list("asset", flat=True)
    )
    wanted = {asset for asset, amount in free.items() if amount} | known | {quote}
    with transaction.atomic():
        balances = lock_balances(account_id, market, wanted)
        torn = OrderRequest.objects.filter(
            Q(state__in=DOUBT_STATES) | Q(resolved_at__gte=asked_at), account_id=account_id, market=market
        )
        unbooked = Order.objects.filter(
            Q(fills_complete=False, executed_quantity__gt=0)
            | (Q(updated_at__gte=asked_at, asked_at__isnull=False) & ~Q(type="MARKET")),
            account_id=account_id,
            market=market,
        )
        if torn.exists() or unbooked.exists() or hides_a_fill(account_id, market, quote, answer):
            return False
        for asset, row in balances.items():
            row.free, row.asked_at = free.get(asset, ZERO), asked_at
            row.save(update_fields=["free", "asked_at"])
    return True


def hides_a_fill(account_id: int, market: str, quote: str, answer: Mapping[str, Any]) -> bool:
    """Whether the exchange's account shows that a resting order of the journal has ended or traded.

    Spot: less is locked than our orders lock. Futures: the position of a symbol with a resting order is not
    the bot's; on an account that others trade on too, that proves nothing, and is not looked at.
    """
    wire = wire_of(market)
    resting = Order.objects.filter(account_id=account_id, market=market, status__in=RESTING, live=True)
    orders = list(resting.exclude(type="MARKET").select_related("account"))
    if market == "spot":
        locked, there = locked_by_requests(orders, quote), wire.locked(answer)
        return any(there.get(asset, ZERO) < amount for asset, amount in locked.items())
    symbols = {order.symbol for order in orders if order.account.is_exclusive}
    if not symbols:
        return False
    states = BotState.objects.filter(
        bot__account_id=account_id, bot__market=market, bot__symbol__in=symbols, in_position=True
    ).values_list("bot__symbol", "bot__position_type", "current_position_size_coins")
    held = {symbol: -size if side == "short" else size for symbol, side, size in states}
    positions = wire.positions(answer)
    return any(positions.get(symbol, ZERO) != held.get(symbol, ZERO) for symbol in symbols)


def settle_payment(account_id: int, market: str, changes: Mapping[str, Decimal], at: datetime) -> None:
    """Book what the exchange moved by itself at `at`, unless the balances were asked for since then."""
    for asset, row in lock_balances(account_id, market, set(changes)).items():
        if row.asked_at is not None and row.asked_at < at:
            row.free += changes[asset]
            row.save(update_fields=["free"])
