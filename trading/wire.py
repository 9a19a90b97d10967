"""What the exchange says of orders, fills and balances, read into values: one reader for each market."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from tradebot.clock import from_ms

ZERO = Decimal(0)
Body = Mapping[str, Any]
Amounts = dict[str, Decimal]  # by asset


@dataclass(frozen=True, slots=True)
class OrderSaid:
    """An order as the exchange has it: quantities in base units, `quote` is what was executed in quote."""

    order_id: int | None  # None: a conditional order that has not become an order yet
    status: str
    executed: Decimal
    quote: Decimal


@dataclass(frozen=True, slots=True)
class FillSaid:
    """One execution. `changes` is what it does to the account's balances beyond Wire.executed()."""

    trade_id: int
    order_id: int
    side: str
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    traded_at: datetime
    exchange_pnl: Decimal | None = None  # futures: realised by the exchange's own reckoning, before fees
    changes: Amounts = field(default_factory=dict)


class Wire(Protocol):
    """The words of one market."""

    def order(self, body: Body) -> OrderSaid:
        """From the answer to a POST or GET of an order."""

    def fills_in(self, body: Body, side: str) -> list[FillSaid]:
        """The fills that the answer to a POST holds; none where the market's answers have none."""

    def fill(self, row: Body) -> FillSaid:
        """From a row of the account's trades."""

    def executed(self, assets: tuple[str, str], side: str, base: Decimal, quote: Decimal) -> Amounts:
        """What an execution of `base` for `quote` changes of the account's free balances, before fees.

        `assets` are the symbol's base and quote.
        """

    def free(self, account: Body) -> Amounts:
        """What the account can spend, as AccountState.free has it."""

    def total(self, account: Body) -> Amounts:
        """What the account has, what open orders lock included."""

    def locked(self, account: Body) -> Amounts:
        """What open orders lock of the account's balances."""

    def positions(self, account: Body) -> Amounts:
        """The signed positions by symbol that the answer shows; none where there are no positions."""


class SpotWire:
    """binance-spot-api-docs rest-api.md: FULL answers hold their fills; coins change hands at once."""

    def order(self, body: Body) -> OrderSaid:
        """A historical order may have a negative quote amount, which means "not known"."""
        return _order(body, "cummulativeQuoteQty")

    def fills_in(self, body: Body, side: str) -> list[FillSaid]:
        """Those of a FULL answer; their time is the order's."""
        common = {"orderId": body["orderId"], "time": body.get("transactTime"), "isBuyer": side == "BUY"}
        return [self.fill({**common, **row, "id": row["tradeId"]}) for row in body.get("fills", [])]

    def fill(self, row: Body) -> FillSaid:
        """A row of myTrades."""
        commission = Decimal(row["commission"])
        return FillSaid(
            trade_id=int(row["id"]),
            order_id=int(row["orderId"]),
            side="BUY" if row["isBuyer"] else "SELL",
            quantity=Decimal(row["qty"]),
            price=Decimal(row["price"]),
            commission=commission,
            commission_asset=row["commissionAsset"],
            traded_at=from_ms(int(row["time"])),
            changes={row["commissionAsset"]: -commission},
        )

    def executed(self, assets: tuple[str, str], side: str, base: Decimal, quote: Decimal) -> Amounts:
        """Coins against money."""
        sign = 1 if side == "BUY" else -1
        return {assets[0]: sign * base, assets[1]: -sign * quote}

    def free(self, account: Body) -> Amounts:
        """Free balances; what open orders lock has left them."""
        return {row["asset"]: Decimal(row["free"]) for row in account["balances"]}

    def total(self, account: Body) -> Amounts:
        """Free and locked."""
        return {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in account["balances"]}

    def locked(self, account: Body) -> Amounts:
        """As the answer has it."""
        return {row["asset"]: Decimal(row["locked"]) for row in account["balances"]}

    def positions(self, account: Body) -> Amounts:
        """None."""
        return {}


class FuturesWire:
    """USDS-M futures: answers hold no fills; the wallet changes by realised PnL, fees and funding only."""

    def order(self, body: Body) -> OrderSaid:
        """A RESULT answer, or a GET."""
        return _order(body, "cumQuote")

    def fills_in(self, body: Body, side: str) -> list[FillSaid]:
        """None: they are asked for by userTrades."""
        return []

    def fill(self, row: Body) -> FillSaid:
        """A row of userTrades."""
        commission, pnl = Decimal(row["commission"]), Decimal(row["realizedPnl"])
        changes: Amounts = defaultdict(Decimal)
        changes[row.get("marginAsset", row["commissionAsset"])] += pnl
        changes[row["commissionAsset"]] -= commission
        return FillSaid(
            trade_id=int(row["id"]),
            order_id=int(row["orderId"]),
            side=row["side"],
            quantity=Decimal(row["qty"]),
            price=Decimal(row["price"]),
            commission=commission,
            commission_asset=row["commissionAsset"],
            traded_at=from_ms(int(row["time"])),
            exchange_pnl=pnl,
            changes=dict(changes),
        )

    def executed(self, assets: tuple[str, str], side: str, base: Decimal, quote: Decimal) -> Amounts:
        """Nothing: a position is no coin, and its margin stays in the wallet."""
        return {}

    def free(self, account: Body) -> Amounts:
        """Wallet balances: cash without what open positions would gain or lose."""
        return {row["asset"]: Decimal(row["walletBalance"]) for row in account["assets"]}

    def total(self, account: Body) -> Amounts:
        """The same: margin does not leave the wallet."""
        return self.free(account)

    def locked(self, account: Body) -> Amounts:
        """Nothing."""
        return {}

    def positions(self, account: Body) -> Amounts:
        """Version 3 lists positions that are open (USDS-M "Account Information V3")."""
        found: Amounts = defaultdict(Decimal)
        for row in account.get("positions", ()):
            found[row["symbol"]] += Decimal(row["positionAmt"])
        return dict(found)


_WIRES: Mapping[str, Wire] = {"spot": SpotWire(), "futures": FuturesWire()}


def wire_of(market: str) -> Wire:
    """The reader of a market's answers."""
    return _WIRES[market]


def legs_of(kind: str, client_id: str, body: Body) -> dict[str, Body]:
    """By client id of the order, what an answer says of it, as Wire.order reads it.

    A list says it under "orderReports" (rest-api.md, "OCO"). A conditional order has no order until it has
    triggered; from then on the order that it became says it (USDS-M "Query Algo Order").
    """
    if kind == "order_list":
        reports = body.get("orderReports", ())
        # a cancel's report has the cancel's own id under clientOrderId
        return {one.get("origClientOrderId") or one["clientOrderId"]: one for one in reports}
    if kind == "algo":
        actual = body.get("actualOrder")
        return {client_id: actual if actual is not None else {"status": body["algoStatus"]}}
    return {client_id: body}


def list_id_of(kind: str, body: Body) -> int | None:
    """The exchange's number of a list or of a conditional order."""
    name = {"order_list": "orderListId", "algo": "algoId"}.get(kind)
    return None if name is None or name not in body else int(body[name])


def position_of(rows: list[dict[str, Any]], symbol: str) -> Decimal:
    """The signed one-way position of a symbol in an answer of positionRisk; a flat one may be left out.

    In hedge mode the two sides add up.
    """
    return sum((Decimal(row["positionAmt"]) for row in rows if row["symbol"] == symbol), ZERO)


def _order(body: Body, quote_field: str) -> OrderSaid:
    return OrderSaid(
        order_id=int(body["orderId"]) if "orderId" in body else None,
        status=str(body.get("status", "NEW")),
        executed=Decimal(body.get("executedQty", "0")),
        quote=Decimal(body.get(quote_field, "0")),
    )
