"""The paper exchange's own books in one SQLite file: accounts, balances, orders, fills.

Open orders and balances are held in memory too and written through; what is closed is read from the file.
Every change of one request is one transaction that is committed before the request is answered, so that a
killed process has lost nothing that it had told anybody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from typing import Any

from trading.paper.orders import ZERO, Fill, Order, OrderList
from trading.paper.user_feed import UserFeed

FIRST_ORDER_ID = 1_000_001
FIRST_TRADE_ID = 5_000_001
SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
    id INTEGER PRIMARY KEY, api_key TEXT NOT NULL UNIQUE, secret TEXT NOT NULL, created_ms INTEGER NOT NULL,
    fees_in_bnb INTEGER NOT NULL, revoked INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS balances (
    account_id INTEGER NOT NULL, asset TEXT NOT NULL, free TEXT NOT NULL, locked TEXT NOT NULL,
    PRIMARY KEY (account_id, asset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    symbol TEXT NOT NULL, order_id INTEGER NOT NULL, account_id INTEGER NOT NULL, client_id TEXT NOT NULL,
    side TEXT NOT NULL, type TEXT NOT NULL, time_in_force TEXT NOT NULL, quantity TEXT NOT NULL,
    price TEXT NOT NULL, stop_price TEXT NOT NULL, quote_quantity TEXT NOT NULL,
    iceberg_quantity TEXT NOT NULL, time_ms INTEGER NOT NULL, update_ms INTEGER NOT NULL,
    list_id INTEGER NOT NULL, executed TEXT NOT NULL, quote_executed TEXT NOT NULL, status TEXT NOT NULL,
    working_ms INTEGER NOT NULL, locked TEXT NOT NULL, expiry_reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (symbol, order_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS orders_by_client ON orders (account_id, symbol, client_id);
CREATE INDEX IF NOT EXISTS orders_live ON orders (symbol)
    WHERE status IN ('NEW', 'PARTIALLY_FILLED', 'PENDING_NEW');
CREATE TABLE IF NOT EXISTS fills (
    symbol TEXT NOT NULL, trade_id INTEGER NOT NULL, order_id INTEGER NOT NULL, account_id INTEGER NOT NULL,
    list_id INTEGER NOT NULL, price TEXT NOT NULL, quantity TEXT NOT NULL, quote_quantity TEXT NOT NULL,
    commission TEXT NOT NULL, commission_asset TEXT NOT NULL, time_ms INTEGER NOT NULL,
    is_buyer INTEGER NOT NULL, is_maker INTEGER NOT NULL, PRIMARY KEY (symbol, trade_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fills_by_order ON fills (symbol, order_id);
CREATE INDEX IF NOT EXISTS fills_by_account ON fills (account_id, symbol, trade_id);
CREATE TABLE IF NOT EXISTS order_lists (
    list_id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL, symbol TEXT NOT NULL, client_id TEXT NOT NULL,
    time_ms INTEGER NOT NULL, status TEXT NOT NULL, kind TEXT NOT NULL DEFAULT 'OCO');
CREATE TABLE IF NOT EXISTS symbols (
    symbol TEXT PRIMARY KEY, status TEXT, looked_ms INTEGER) WITHOUT ROWID;
"""
# columns that files of older versions lack
_ADDED = (
    ("orders", "expiry_reason", "TEXT NOT NULL DEFAULT ''"),
    ("order_lists", "kind", "TEXT NOT NULL DEFAULT 'OCO'"),
)
ORDER_FIELDS = [one.name for one in fields(Order)]
FILL_FIELDS = [one.name for one in fields(Fill)]
_ORDER_DECIMALS = {one.name for one in fields(Order) if one.type == "Decimal"}
_FILL_DECIMALS = {one.name for one in fields(Fill) if one.type == "Decimal"}
_ORDER_COLUMNS, _FILL_COLUMNS = ", ".join(ORDER_FIELDS), ", ".join(FILL_FIELDS)
# the column names are this module's own; values are always parameters
_SAVE_ORDER = (
    f"INSERT OR REPLACE INTO orders ({_ORDER_COLUMNS}) VALUES ({', '.join('?' * len(ORDER_FIELDS))})"  # noqa: S608
)
_SAVE_FILL = f"INSERT INTO fills ({_FILL_COLUMNS}) VALUES ({', '.join('?' * len(FILL_FIELDS))})"  # noqa: S608
_SELECT_ORDERS = f"SELECT {_ORDER_COLUMNS} FROM orders "  # noqa: S608
_SELECT_FILLS = f"SELECT {_FILL_COLUMNS} FROM fills "  # noqa: S608


class BooksRefused(ValueError):
    """Raised when the books' file cannot be used; the text says why."""


@dataclass(slots=True)
class Balance:
    """What an account has of one asset."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


@dataclass(slots=True)
class Account:
    """One account: one API key, its secret and its balances by asset."""

    id: int
    api_key: str
    secret: str = field(repr=False)
    created_ms: int
    fees_in_bnb: bool = False
    revoked: bool = False
    balances: dict[str, Balance] = field(default_factory=dict)

    def balance(self, asset: str) -> Balance:
        """The balance of an asset, made when there was none."""
        return self.balances.setdefault(asset, Balance())


_order_values, _fill_values = attrgetter(*ORDER_FIELDS), attrgetter(*FILL_FIELDS)


def _plain(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(f"{value:f}" if isinstance(value, Decimal) else value for value in values)


def _order(row: tuple[Any, ...]) -> Order:
    values: dict[str, Any] = dict(zip(ORDER_FIELDS, row, strict=True))
    values.update({name: Decimal(values[name]) for name in _ORDER_DECIMALS})
    return Order(**values)


def _fill(row: tuple[Any, ...]) -> Fill:
    values: dict[str, Any] = dict(zip(FILL_FIELDS, row, strict=True))
    values["is_buyer"], values["is_maker"] = bool(values["is_buyer"]), bool(values["is_maker"])
    values.update({name: Decimal(values[name]) for name in _FILL_DECIMALS})
    return Fill(**values)


class Books:
    """The books. Changes happen inside `transaction()`; reads may happen at any time."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or make the file; without a path the books live in memory. Raises BooksRefused."""
        try:
            if path is not None:
                path.touch(mode=0o600)  # there are secrets in it
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=2)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
            self._add_columns()
        except (sqlite3.Error, OSError) as error:
            raise BooksRefused(
                f"{path} cannot be used: {error} (is another paper exchange using it?)"
            ) from error
        self.accounts: dict[str, Account] = {}
        self.by_id: dict[int, Account] = {}
        self.open: dict[str, dict[int, Order]] = {}
        self.lists: dict[int, OrderList] = {}
        self._next: dict[tuple[str, str], int] = {}
        self.feed = UserFeed()
        self._load()

    def _add_columns(self) -> None:
        for table, column, kind in _ADDED:
            have = {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
            if column not in have:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")

    def _load(self) -> None:
        for row in self._db.execute(
            "SELECT id, api_key, secret, created_ms, fees_in_bnb, revoked FROM accounts"
        ):
            account_id, key, secret, created_ms, fees_in_bnb, revoked = row
            self._remember(Account(account_id, key, secret, created_ms, bool(fees_in_bnb), bool(revoked)))
        for account_id, asset, free, locked in self._db.execute("SELECT * FROM balances"):
            self.by_id[account_id].balances[asset] = Balance(Decimal(free), Decimal(locked))
        for row in self._db.execute(
            _SELECT_ORDERS
            + "WHERE status IN ('NEW', 'PARTIALLY_FILLED', 'PENDING_NEW') ORDER BY symbol, order_id"
        ):
            order = _order(row)
            self.open.setdefault(order.symbol, {})[order.order_id] = order
        for row in self._db.execute("SELECT * FROM order_lists WHERE status = 'EXECUTING'"):
            self.lists[row[0]] = self._list(row)

    def _remember(self, account: Account) -> None:
        self.accounts[account.api_key] = account
        self.by_id[account.id] = account

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction, committed at the end; inside another one it is part of that."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            self.feed.discard()
            raise
        self._db.execute("COMMIT")
        self.feed.flush()

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """One statement of another part of the books (`futures_books`), in the same file and transaction."""
        return self._db.execute(statement, values)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def next_id(self, kind: str, symbol: str = "") -> int:
        """The next order or trade id of a symbol, or list id; ids rise and are never given twice."""
        key = (kind, symbol)
        if key not in self._next:
            statement, first = {
                "order": ("SELECT max(order_id) FROM orders WHERE symbol = ?", FIRST_ORDER_ID),
                "trade": ("SELECT max(trade_id) FROM fills WHERE symbol = ?", FIRST_TRADE_ID),
                "list": ("SELECT max(list_id) FROM order_lists WHERE ? = ''", 1),
            }[kind]
            largest = self._db.execute(statement, (symbol,)).fetchone()[0]
            self._next[key] = first if largest is None else largest + 1
        self._next[key] += 1
        return self._next[key] - 1

    # -- accounts

    def open_account(self, api_key: str, secret: str, now_ms: int) -> Account:
        """A new account without money."""
        account = Account(len(self.by_id) + 1, api_key, secret, now_ms)
        self.save_account(account)
        self._remember(account)
        return account

    def save_account(self, account: Account) -> None:
        """Write key, secret and switches (balances are saved one by one)."""
        self._db.execute(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?)",
            (
                account.id,
                account.api_key,
                account.secret,
                account.created_ms,
                account.fees_in_bnb,
                account.revoked,
            ),
        )

    def save_balance(self, account: Account, asset: str) -> None:
        """Write one balance."""
        balance = account.balance(asset)
        self._db.execute(
            "INSERT OR REPLACE INTO balances VALUES (?, ?, ?, ?)",
            (account.id, asset, f"{balance.free:f}", f"{balance.locked:f}"),
        )
        self.feed.balance(account, asset)

    # -- orders and fills

    def save_order(self, order: Order) -> None:
        """Write an order, and keep it among the open ones as long as it is."""
        self._db.execute(_SAVE_ORDER, _plain(_order_values(order)))
        if order.is_open:
            self.open.setdefault(order.symbol, {})[order.order_id] = order
        else:
            self.open.get(order.symbol, {}).pop(order.order_id, None)

    def save_fill(self, fill: Fill) -> None:
        """Write a fill."""
        self._db.execute(_SAVE_FILL, _plain(_fill_values(fill)))

    def save_list(self, one: OrderList) -> None:
        """Write an order list; one that is done leaves memory."""
        self._db.execute(
            "INSERT OR REPLACE INTO order_lists"
            " (list_id, account_id, symbol, client_id, time_ms, status, kind)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (one.list_id, one.account_id, one.symbol, one.client_id, one.time_ms, one.status, one.kind),
        )
        if one.status == "EXECUTING":
            self.lists[one.list_id] = one
        else:
            self.lists.pop(one.list_id, None)

    def open_orders(self, account: Account, symbol: str | None = None) -> list[Order]:
        """The account's open orders by symbol and id."""
        symbols = sorted(self.open) if symbol is None else [symbol]
        found = (order for name in symbols for order in self.open.get(name, {}).values())
        return [order for order in found if order.account_id == account.id]

    def order_by_id(self, account: Account, symbol: str, order_id: int) -> Order | None:
        """An order, open or not."""
        found = self.open.get(symbol, {}).get(order_id)
        if found is None:
            rows = self.orders("symbol = ? AND order_id = ?", (symbol, order_id))
            found = rows[0] if rows else None
        return found if found is not None and found.account_id == account.id else None

    def order_by_client_id(self, account: Account, symbol: str, client_id: str) -> Order | None:
        """The open order with this client id, otherwise the latest one that had it."""
        for order in self.open.get(symbol, {}).values():
            if order.account_id == account.id and order.client_id == client_id:
                return order
        rows = self.orders(
            "account_id = ? AND symbol = ? AND client_id = ? ORDER BY order_id DESC LIMIT 1",
            (account.id, symbol, client_id),
        )
        return rows[0] if rows else None

    def orders(self, where: str, values: tuple[Any, ...]) -> list[Order]:
        """Orders by a condition of this package's own making; open ones are the objects in memory."""
        rows = [_order(row) for row in self._db.execute(f"{_SELECT_ORDERS} WHERE {where}", values)]
        return [self.open.get(row.symbol, {}).get(row.order_id, row) for row in rows]

    def fills(self, where: str, values: tuple[Any, ...]) -> list[Fill]:
        """Fills by a condition of this package's own making."""
        return [_fill(row) for row in self._db.execute(f"{_SELECT_FILLS} WHERE {where}", values)]

    def order_list(self, account: Account, list_id: int | None, client_id: str | None) -> OrderList | None:
        """An order list by its id or else by its client id, open or not."""
        column, value = ("client_id", client_id) if list_id is None else ("list_id", list_id)
        row = self._db.execute(
            f"SELECT * FROM order_lists WHERE account_id = ? AND {column} = ? ORDER BY list_id DESC",  # noqa: S608
            (account.id, value),
        ).fetchone()
        return None if row is None else self.lists.get(row[0]) or self._list(row)

    def lists_of(self, account: Account) -> list[OrderList]:
        """All order lists of an account."""
        rows = self._db.execute("SELECT * FROM order_lists WHERE account_id = ?", (account.id,))
        return [self.lists.get(row[0]) or self._list(row) for row in rows.fetchall()]

    def _list(self, row: tuple[Any, ...]) -> OrderList:
        ids = self._db.execute(
            "SELECT order_id FROM orders WHERE symbol = ? AND list_id = ? ORDER BY order_id",
            (row[2], row[0]),
        )
        list_id, account_id, symbol, client_id, time_ms, status, kind = row
        order_ids = [order_id for (order_id,) in ids]
        return OrderList(list_id, account_id, symbol, client_id, time_ms, status, kind, order_ids)

    # -- the exchange's own state

    def meta(self, key: str) -> str | None:
        """A value that must survive a restart (the stepped clock, the shift of a replay)."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Keep such a value."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def symbol_states(self) -> dict[str, tuple[str | None, int | None]]:
        """Per symbol: the status set by hand, and the time up to which resting orders were matched."""
        rows = self._db.execute("SELECT symbol, status, looked_ms FROM symbols")
        return {symbol: (status, looked_ms) for symbol, status, looked_ms in rows}

    def save_symbol(self, symbol: str, status: str | None, looked_ms: int | None) -> None:
        """Keep that state."""
        self._db.execute("INSERT OR REPLACE INTO symbols VALUES (?, ?, ?)", (symbol, status, looked_ms))
