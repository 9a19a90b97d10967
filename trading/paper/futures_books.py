"""The futures part of the books: its tables in the same SQLite file, live rows in memory too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from operator import attrgetter
from typing import Any, Generic, TypeVar

from trading.paper.books import Account, Books
from trading.paper.futures_orders import AlgoOrder, FuturesFill, FuturesOrder, Income, Position, Wallet
from trading.paper.futures_user_events import algo_update

Row = TypeVar("Row")
FIRST_IDS = {"order": 8_000_000_001, "trade": 3_000_000_001, "algo": 2_000_001, "tran": 9_000_000_001}
_SQL_TYPES = {"int": "INTEGER", "bool": "INTEGER", "str": "TEXT", "Decimal": "TEXT"}
_EXTRA = """
CREATE INDEX IF NOT EXISTS futures_orders_by_client ON futures_orders (account_id, symbol, client_id);
CREATE INDEX IF NOT EXISTS futures_fills_by_order ON futures_fills (order_id);
CREATE INDEX IF NOT EXISTS futures_fills_by_account ON futures_fills (account_id, symbol, trade_id);
CREATE INDEX IF NOT EXISTS futures_algos_by_client ON futures_algos (account_id, client_id);
CREATE INDEX IF NOT EXISTS futures_income_by_account ON futures_income (account_id, tran_id);
CREATE TABLE IF NOT EXISTS futures_symbols (
    symbol TEXT PRIMARY KEY, status TEXT, looked_ms INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS futures_rates (
    symbol TEXT NOT NULL, from_ms INTEGER NOT NULL, rate TEXT, PRIMARY KEY (symbol, from_ms)) WITHOUT ROWID;
"""


class Table(Generic[Row]):
    """A table whose columns are the fields of a dataclass: Decimal as text, bool as 0 or 1."""

    def __init__(self, books: Books, kind: type[Row], name: str, key: str) -> None:
        self._books = books
        self._kind = kind
        columns = {one.name: str(one.type) for one in fields(kind)}  # type: ignore[arg-type]
        self._casts: list[Any] = [
            Decimal if type_ == "Decimal" else bool if type_ == "bool" else None for type_ in columns.values()
        ]
        self._values = attrgetter(*columns)
        listed = ", ".join(columns)
        # the names are those of this package's own dataclasses; values are always parameters
        marks = ", ".join("?" * len(columns))
        self._save = f"INSERT OR REPLACE INTO {name} ({listed}) VALUES ({marks})"  # noqa: S608
        self._select = f"SELECT {listed} FROM {name} WHERE "  # noqa: S608
        typed = ", ".join(f"{column} {_SQL_TYPES[type_]} NOT NULL" for column, type_ in columns.items())
        books.execute(f"CREATE TABLE IF NOT EXISTS {name} ({typed}, PRIMARY KEY ({key})) WITHOUT ROWID")

    def save(self, row: Row) -> None:
        """Write a row, over the one with its key."""
        values = (f"{value:f}" if isinstance(value, Decimal) else value for value in self._values(row))
        self._books.execute(self._save, tuple(values))

    def select(self, where: str, values: tuple[Any, ...] = ()) -> list[Row]:
        """Rows by a condition of this package's own making."""
        return [
            self._kind(
                *(
                    value if cast is None else cast(value)
                    for cast, value in zip(self._casts, row, strict=True)
                )
            )
            for row in self._books.execute(self._select + where, values).fetchall()
        ]


class FuturesBooks:
    """Wallets, positions, orders, fills, conditional orders and income. Changes happen inside a transaction.

    Wallets, positions and whatever is live are objects in memory and written through.
    """

    def __init__(self, books: Books) -> None:
        self.books = books
        self.transaction = books.transaction
        self.feed = books.feed
        self._wallets = Table(books, Wallet, "futures_wallets", "account_id")
        self._positions = Table(books, Position, "futures_positions", "account_id, symbol")
        self._orders = Table(books, FuturesOrder, "futures_orders", "order_id")
        self._fills = Table(books, FuturesFill, "futures_fills", "trade_id")
        self._algos = Table(books, AlgoOrder, "futures_algos", "algo_id")
        self._income = Table(books, Income, "futures_income", "tran_id")
        for statement in _EXTRA.split(";"):
            books.execute(statement)
        self._next = {
            kind: self._first_free(kind, f"SELECT max({column}) FROM {table}")  # noqa: S608
            for kind, column, table in (
                ("order", "order_id", "futures_orders"),
                ("trade", "trade_id", "futures_fills"),
                ("algo", "algo_id", "futures_algos"),
                ("tran", "tran_id", "futures_income"),
            )
        }
        self.wallets = {row.account_id: row for row in self._wallets.select("1")}
        self.positions = {(row.account_id, row.symbol): row for row in self._positions.select("1")}
        self.open: dict[str, dict[int, FuturesOrder]] = {}
        for order in self._orders.select("status IN ('NEW', 'PARTIALLY_FILLED') ORDER BY order_id"):
            self.open.setdefault(order.symbol, {})[order.order_id] = order
        self.live: dict[str, dict[int, AlgoOrder]] = {}
        for algo in self._algos.select("status IN ('NEW', 'TRIGGERING', 'TRIGGERED') ORDER BY algo_id"):
            self.live.setdefault(algo.symbol, {})[algo.algo_id] = algo

    def _first_free(self, kind: str, statement: str) -> int:
        largest = self.books.execute(statement).fetchone()[0]
        return FIRST_IDS[kind] if largest is None else int(largest) + 1

    def next_id(self, kind: str) -> int:
        """The next order, trade, algo or tran id; ids rise and are never given twice."""
        self._next[kind] += 1
        return self._next[kind] - 1

    # -- money and positions

    def save_wallet(self, wallet: Wallet) -> None:
        """Write a wallet."""
        self.wallets[wallet.account_id] = wallet
        self._wallets.save(wallet)

    def save_position(self, position: Position) -> None:
        """Write a position, or the settings of none."""
        self.positions[position.account_id, position.symbol] = position
        self._positions.save(position)

    def positions_of(self, account_id: int) -> Iterator[Position]:
        """The account's positions, and contracts that it only has settings for."""
        return (one for one in self.positions.values() if one.account_id == account_id)

    def held(self, symbol: str) -> list[Position]:
        """Everybody's position in a contract."""
        return [one for one in self.positions.values() if one.symbol == symbol and one.quantity]

    def add_income(self, income: Income) -> None:
        """Write one change of a wallet."""
        self._income.save(income)

    def income(self, where: str, values: tuple[Any, ...]) -> list[Income]:
        """Changes by a condition of this package's own making."""
        return self._income.select(where, values)

    # -- orders, fills, conditional orders

    def save_order(self, order: FuturesOrder) -> None:
        """Write an order, and keep it among the open ones as long as it is."""
        self._orders.save(order)
        if order.is_open:
            self.open.setdefault(order.symbol, {})[order.order_id] = order
        else:
            self.open.get(order.symbol, {}).pop(order.order_id, None)

    def save_algo(self, algo: AlgoOrder) -> None:
        """Write a conditional order, and keep it among the live ones as long as it is."""
        self._algos.save(algo)
        if self.feed.listens("futures", algo.account_id):
            self.feed.tell("futures", algo.account_id, algo_update(algo, algo.update_ms))
        if algo.is_live:
            self.live.setdefault(algo.symbol, {})[algo.algo_id] = algo
        else:
            self.live.get(algo.symbol, {}).pop(algo.algo_id, None)

    def save_fill(self, fill: FuturesFill) -> None:
        """Write a fill."""
        self._fills.save(fill)

    def open_orders(self, account_id: int, symbol: str | None = None) -> list[FuturesOrder]:
        """The account's open orders by symbol and id."""
        symbols = sorted(self.open) if symbol is None else [symbol]
        found = (order for name in symbols for order in self.open.get(name, {}).values())
        return [order for order in found if order.account_id == account_id]

    def live_algos(self, account_id: int, symbol: str | None = None) -> list[AlgoOrder]:
        """The account's live conditional orders by symbol and id."""
        symbols = sorted(self.live) if symbol is None else [symbol]
        found = (algo for name in symbols for algo in self.live.get(name, {}).values())
        return [algo for algo in found if algo.account_id == account_id]

    def orders(self, where: str, values: tuple[Any, ...]) -> list[FuturesOrder]:
        """Orders by a condition of this package's own making; open ones are the objects in memory."""
        rows = self._orders.select(where, values)
        return [self.open.get(row.symbol, {}).get(row.order_id, row) for row in rows]

    def algos(self, where: str, values: tuple[Any, ...]) -> list[AlgoOrder]:
        """Conditional orders by such a condition; live ones are the objects in memory."""
        rows = self._algos.select(where, values)
        return [self.live.get(row.symbol, {}).get(row.algo_id, row) for row in rows]

    def fills(self, where: str, values: tuple[Any, ...]) -> list[FuturesFill]:
        """Fills by such a condition."""
        return self._fills.select(where, values)

    def find_order(
        self, account: Account, symbol: str, order_id: int | None, client_id: str | None
    ) -> FuturesOrder | None:
        """The order with this id, or else the open or latest one with this client id."""
        column, value = ("order_id", order_id) if order_id is not None else ("client_id", client_id)
        found = self.orders(
            f"account_id = ? AND symbol = ? AND {column} = ? ORDER BY order_id DESC",
            (account.id, symbol, value),
        )
        return next((one for one in found if one.is_open), found[0] if found else None)

    def find_algo(self, account: Account, algo_id: int | None, client_id: str | None) -> AlgoOrder | None:
        """The conditional order with this id, or else the live or latest one with this client id."""
        column, value = ("algo_id", algo_id) if algo_id is not None else ("client_id", client_id)
        found = self.algos(f"account_id = ? AND {column} = ? ORDER BY algo_id DESC", (account.id, value))
        return next((one for one in found if one.is_live), found[0] if found else None)

    # -- what the exchange itself remembers

    def symbol_states(self) -> dict[str, tuple[str | None, int | None]]:
        """Per contract: the status set by hand, and the time up to which it was looked at."""
        rows = self.books.execute("SELECT symbol, status, looked_ms FROM futures_symbols")
        return {symbol: (status, looked_ms) for symbol, status, looked_ms in rows}

    def save_symbol(self, symbol: str, status: str | None, looked_ms: int | None) -> None:
        """Keep that state."""
        self.books.execute(
            "INSERT OR REPLACE INTO futures_symbols VALUES (?, ?, ?)", (symbol, status, looked_ms)
        )

    def rates(self) -> dict[str, list[tuple[int, Decimal | None]]]:
        """Funding rates set by hand, per contract: from when on, and None where the usual ones return."""
        found: dict[str, list[tuple[int, Decimal | None]]] = {}
        rows = self.books.execute("SELECT symbol, from_ms, rate FROM futures_rates ORDER BY from_ms")
        for symbol, from_ms, rate in rows:
            found.setdefault(symbol, []).append((from_ms, None if rate is None else Decimal(rate)))
        return found

    def save_rate(self, symbol: str, from_ms: int, rate: Decimal | None) -> None:
        """Keep such a rate."""
        text = None if rate is None else f"{rate:f}"
        self.books.execute("INSERT OR REPLACE INTO futures_rates VALUES (?, ?, ?)", (symbol, from_ms, text))
