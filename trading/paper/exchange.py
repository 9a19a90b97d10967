"""Everything one paper exchange is made of, put together once and passed to the handlers."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading.paper.books import Account, Books, BooksRefused
from trading.paper.clock import Clock
from trading.paper.conditions import Conditions
from trading.paper.engine import Engine
from trading.paper.errors import key_malformed, key_refused
from trading.paper.faults import FaultSwitch
from trading.paper.futures_books import FuturesBooks
from trading.paper.futures_contracts import contracts_of
from trading.paper.futures_engine import FuturesEngine
from trading.paper.futures_funding import FundingRates
from trading.paper.futures_ledger import FuturesLedger
from trading.paper.futures_orders import Wallet
from trading.paper.futures_state import FuturesState
from trading.paper.ledger import Ledger
from trading.paper.limits import MINUTE_MS, OrderCounts, WeightLimit
from trading.paper.listen_keys import ListenKeys
from trading.paper.listener import Listener
from trading.paper.live import Live, Source
from trading.paper.live_market import Listing
from trading.paper.market import SyntheticMarket
from trading.paper.orderbook import OrderBook
from trading.paper.overlay import OverlayMarket
from trading.paper.params import KEY_RANGE
from trading.paper.replay import ReplayMarket, days_until_future, load_folder
from trading.paper.symbols import DEFAULT_COUNT, default_symbols

OPEN_PREFIX = "paper"  # keys that begin so open their account by themselves


@dataclass(frozen=True, slots=True)
class Options:
    """How a paper exchange is started; the command line's options with the same names."""

    host: str = "127.0.0.1"
    port: int = 0
    data: Path | None = None
    seed: int = 1
    candles: Path | None = None
    clock: str = "wall"
    shift_days: int | None = None  # None: as many whole days as make the files end in the future
    symbols: int = DEFAULT_COUNT
    weight_limit: int = 6000
    orders_per_ten_seconds: int = 100
    fee: Decimal = Decimal("0.001")
    balance: Decimal = Decimal(10_000)
    spread_bps: Decimal = Decimal(1)
    level_quote: Decimal = Decimal(2000)
    futures_balance: Decimal = Decimal(10_000)
    futures_weight_limit: int = 2400
    futures_orders_per_ten_seconds: int = 300
    futures_taker_fee: Decimal = Decimal("0.0005")
    futures_maker_fee: Decimal = Decimal("0.0002")
    live: bool = False
    live_url: str = "https://api.binance.com"
    live_futures_url: str = "https://fapi.binance.com"
    live_poll_seconds: float = 2.0
    faults: tuple[dict[str, Any], ...] = ()

    @property
    def live_urls(self) -> dict[str, str]:
        """Where a live market's data comes from, per market."""
        return {"spot": self.live_url, "futures": self.live_futures_url}


@dataclass(slots=True)
class Exchange:
    """The running exchange."""

    options: Options
    clock: Clock
    market: OverlayMarket
    books: Books
    engine: Engine
    futures: FuturesEngine
    counts: OrderCounts
    weights: dict[str, WeightLimit]
    faults: FaultSwitch
    conditions: Conditions
    listener: Listener = field(default_factory=Listener)
    listen_keys: ListenKeys = field(default_factory=ListenKeys)
    live: Live | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the request that asks for it."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @property
    def overlays(self) -> list[OverlayMarket]:
        """The markets whose prices can be set by hand: one, or with a live source one of each kind."""
        futures = self.futures.state.market
        return [self.market] if futures is self.market else [self.market, futures]

    def account_of(self, api_key: str | None) -> Account:
        """The account of a key; one whose key begins with "paper" is opened at its first request.

        Raises -2014 for no key or a malformed one, -2015 for an unknown or revoked one.
        """
        if not api_key or not KEY_RANGE.fullmatch(api_key):
            raise key_malformed()
        account = self.books.accounts.get(api_key)
        if account is None and api_key.startswith(OPEN_PREFIX):
            return self.open_account(api_key, secret_by_rule(api_key), {"USDT": self.options.balance})
        if account is None or account.revoked:
            raise key_refused()
        return account

    def open_account(self, api_key: str, secret: str, balances: dict[str, Decimal]) -> Account:
        """Open an account with this money."""
        with self.books.transaction():
            account = self.books.open_account(api_key, secret, self.clock.now_ms())
            self.set_balances(account, balances)
        return account

    def futures_wallet(self, account: Account) -> Wallet:
        """The account's futures wallet. One that is opened by itself has money if the account was, too."""
        books = self.futures.books
        if account.id not in books.wallets:
            is_open = account.api_key.startswith(OPEN_PREFIX)
            balance = self.options.futures_balance if is_open else Decimal(0)
            with books.transaction():
                self.futures.ledger.open_wallet(account.id, balance, self.clock.now_ms())
        return books.wallets[account.id]

    def set_balances(self, account: Account, balances: dict[str, Decimal]) -> None:
        """Set the free amounts of these assets; call it inside a transaction."""
        for asset, free in balances.items():
            account.balance(asset).free = free
            self.books.save_balance(account, asset)

    def assets(self) -> list[str]:
        """Every asset that is listed, each once, in the order of listing."""
        specs = self.market.specs.values()
        return list(dict.fromkeys(asset for spec in specs for asset in (spec.base, spec.quote)))

    def close(self) -> None:
        """Close the books."""
        self.books.close()


def secret_by_rule(api_key: str) -> str:
    """The secret of a key that opens its account by itself: hex SHA-256 of the key's ASCII bytes."""
    return hashlib.sha256(api_key.encode("ascii")).hexdigest()


def build(options: Options, listing: Listing | None = None) -> Exchange:
    """An exchange from options; a live one needs what its source lists.

    Raises BooksRefused and CandlesRefused with a sentence for people.
    """
    books = Books(options.data)
    clock = Clock()
    live = None
    if listing is not None:
        live = Live(Source(options.live_urls), listing, clock.now_ms, options.live_poll_seconds)
    below = _market(options, books, clock.now_ms()) if live is None else live.markets["spot"]
    if options.clock == "stepped":
        kept = books.meta("stepped_ms")
        first = below.start_ms if isinstance(below, ReplayMarket) else _whole_minute(clock.now_ms())
        clock = Clock(stepped_ms=first if kept is None else int(kept))
    market = OverlayMarket(below)
    counts = OrderCounts(per_ten_seconds=options.orders_per_ten_seconds)
    ledger = Ledger(books, options.fee, lambda symbol, at_ms: engine.last_price(symbol, at_ms))
    book = OrderBook(options.spread_bps, options.level_quote)
    faults, conditions = FaultSwitch(), Conditions()
    books.feed.now_ms = clock.now_ms
    engine = Engine(market, books, ledger, book, counts, faults, conditions)
    futures = build_futures(options, market, engine, live)
    weights = {
        "spot": WeightLimit(options.weight_limit),
        "futures": WeightLimit(options.futures_weight_limit),
    }
    exchange = Exchange(
        options, clock, market, books, engine, futures, counts, weights, faults, conditions, live=live
    )
    faults.exchange = exchange
    return exchange


def build_futures(
    options: Options, market: OverlayMarket, engine: Engine, live: Live | None
) -> FuturesEngine:
    """The futures engine on the same books, book of orders and switches as spot's."""
    books = FuturesBooks(engine.books)
    ledger = FuturesLedger(books, options.futures_taker_fee, options.futures_maker_fee)
    if live is None:
        contracts, marks = contracts_of(market.specs.values()), OverlayMarket(market)
    else:
        contracts, marks = live.listing.contracts, OverlayMarket(live.marks)
        market = OverlayMarket(live.markets["futures"])
    state = FuturesState(contracts, (market, marks), books, ledger, engine)
    per_ten_seconds = options.futures_orders_per_ten_seconds
    counts = OrderCounts(per_ten_seconds, per_ten_seconds * 4, MINUTE_MS, "1 MINUTE")
    rates = FundingRates(books, options.seed, None if live is None else live.rate)
    strangers = state.unlisted()
    if strangers:
        raise BooksRefused(f"{options.data} has futures of {', '.join(strangers)}, which is not listed here")
    return FuturesEngine(state, ledger, rates, counts)


def _whole_minute(now_ms: int) -> int:
    return now_ms - now_ms % MINUTE_MS


def _market(options: Options, books: Books, now_ms: int) -> SyntheticMarket | ReplayMarket:
    if options.candles is None:
        return SyntheticMarket(default_symbols(options.symbols), options.seed)
    market = load_folder(options.candles)
    days = options.shift_days
    if days is None:  # keep the shift of the last start as long as it still ends in the future
        kept = int(books.meta("shift_days") or 0)
        days = kept if days_until_future(market, now_ms) <= kept else days_until_future(market, now_ms)
    with books.transaction():
        books.set_meta("shift_days", str(days))
    return market.shifted(days)


def is_asset(name: str) -> bool:
    """Whether this can be the name of an asset."""
    return bool(re.fullmatch(r"[\w]{1,20}", name))
