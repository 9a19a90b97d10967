"""When which account is compared with the exchange, and which bots are woken by what comes of it."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis

from bots import inbox
from bots.models import BotInbox
from marketdata import prices
from tradebot import clock
from tradebot.binance.budget import Lane
from tradebot.binance.sources import Source, source_for
from tradebot.errors import TradebotError
from tradebot.redis import redis_client
from trading import orphans, sweep, sweep_orders
from trading.accounts import client_for
from trading.models import AccountSweep, ExchangeAccount, Order, Orphan
from trading.sweep import Swept

logger = logging.getLogger(__name__)

ACCOUNTS_A_MINUTE = 10  # of one exchange address
ASKED_SECONDS = 120
SOON_SECONDS = 3  # requests for the same account within this time are one


@dataclass(frozen=True, slots=True)
class Wake:
    """A bot that is to look at its orders, and the inbox entry that says so."""

    bot_id: int
    inbox_id: int


def due(now: datetime) -> list[tuple[int, str]]:
    """The accounts and markets of this minute: doubtful ones first, at most ten of an exchange address."""
    taken: Counter[str] = Counter()
    found = []
    for row in sweep.accounts_due(now):
        host = source_for(row.account.environment, row.market).host
        if taken[host] < ACCOUNTS_A_MINUTE:
            taken[host] += 1
            found.append((row.account_id, row.market))
    return found


def reconcile(account_id: int, market: str, now: datetime, lane: Lane = "sweep") -> tuple[Swept, list[Wake]]:
    """Sweep one account, and leave an entry in the inbox of each bot that is to look at its orders.

    What keeps a client from being made (a key that can't be decrypted) is an error in the answer.
    """
    account = ExchangeAccount.objects.select_related("user").get(pk=account_id)
    try:
        swept = sweep.sweep_account(account, market, client_for(account, market, lane), now)
    except TradebotError as error:
        swept = Swept(account_id, market, error=str(error))
        sweep.note_failure(account, market, str(error), now)
    return swept, leave(swept.wakes, now)


def ask_for_orders(account_id: int, market: str, now: datetime) -> list[Wake]:
    """Compare the account's open orders with the journal's; wake the bots whose orders changed.

    Raises the client's errors.
    """
    account = ExchangeAccount.objects.get(pk=account_id)
    client = client_for(account, market, "background")
    changed = sweep_orders.live_orders_changed(account, market, client, now)
    return leave(dict.fromkeys(changed, f"asked:{now:%Y-%m-%dT%H:%M}"), now)


def orphan_adopt(*, orphan: Orphan, by: Any) -> Order:
    """Make an order that the journal lacks one of its bot's. Raises what trading.orphans.adopt raises."""
    orphans.may_end(orphan, by)
    client = client_for(orphan.account, orphan.market, "exit")
    order = orphans.adopt(orphan=orphan, by=by, client=client, now=clock.now())
    sweep.mark_doubtful(orphan.account_id, orphan.market, "an order was adopted", clock.now())
    return order


def orphan_cancel(*, orphan: Orphan, by: Any) -> Orphan:
    """Cancel an order that the journal lacks. Raises what trading.orphans.cancel raises."""
    orphans.may_end(orphan, by)
    client = client_for(orphan.account, orphan.market, "exit")
    ended = orphans.cancel(orphan=orphan, by=by, client=client, now=clock.now())
    sweep.mark_doubtful(orphan.account_id, orphan.market, "an order was cancelled", clock.now())
    return ended


def leave(wakes: dict[int, str], now: datetime) -> list[Wake]:
    """An entry "order" in each bot's inbox; what is there already, handled or not, is not left again."""
    found = []
    for bot_id, source_id in wakes.items():
        row = inbox.put(bot_id, BotInbox.Kind.ORDER, now, source_id)
        if row.handled_at is None:
            found.append(Wake(bot_id, row.pk))
    return found


def orders_due(slot: datetime, now: datetime) -> list[tuple[int, str]]:
    """Accounts whose open orders are to be asked for in this slot, each once a slot, whoever asks.

    Those with a resting order that nobody asked about for five minutes, or that the price has reached.
    """
    wanted = {*sweep_orders.live_orders_due(now), *_reached()}
    return [key for key in sorted(wanted) if _is_first(f"orders-asked:{key[0]}:{key[1]}:{slot.isoformat()}")]


def is_asked_soon(account_id: int, market: str) -> bool:
    """Whether this is the first wish within some seconds to have the account swept at once."""
    return _is_first(f"sweep-soon:{account_id}:{market}", SOON_SECONDS)


def _is_first(key: str, seconds: int = ASKED_SECONDS) -> bool:
    try:
        return bool(redis_client().set(key, b"1", nx=True, ex=seconds))
    except redis.RedisError:
        return True


def _reached() -> set[tuple[int, str]]:
    """Accounts with a resting order whose price the market has come to, as far as the feed knows."""
    rows = sweep_orders.resting().select_related("account")
    by_source: dict[Source, list[Order]] = defaultdict(list)
    for order in rows:
        by_source[source_for(order.account.environment, order.market)].append(order)
    found = set()
    for source, orders in by_source.items():
        known = prices.load_many(source, {order.symbol for order in orders})
        found |= {
            (order.account_id, order.market)
            for order in orders
            if order.symbol in known and is_reached(order, known[order.symbol].price)
        }
    return found


def is_reached(order: Order, price: float) -> bool:
    """Whether a resting order would trade, or trigger, at this price."""
    wanted = order.stop_price if order.stop_price is not None else order.price
    if wanted is None:
        return False
    is_stop = order.type.startswith("STOP")  # waits for a price that is worse than the present one
    waits_for_fall = (order.side == "BUY") != is_stop
    return price <= float(wanted) if waits_for_fall else price >= float(wanted)


def all_accounts(account_ids: Iterable[int] | None = None) -> list[tuple[int, str]]:
    """Every account and market that bots trade or hold something in, or have done."""
    sweep.make_rows()
    rows = AccountSweep.objects.order_by("account_id", "market")
    if account_ids is not None:
        rows = rows.filter(account_id__in=list(account_ids))
    return list(rows.values_list("account_id", "market"))


def delay_ms(swept: Swept, now: datetime) -> int | None:
    """In how many milliseconds a second look is due; None for none."""
    if swept.look_again_at is None:
        return None
    return max(100, int((swept.look_again_at - now) / timedelta(milliseconds=1)))
