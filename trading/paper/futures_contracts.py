"""The futures contracts: what exchangeInfo shows of them, and how much leverage their brackets allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from trading.paper.symbols import FUTURES_TYPES, SymbolSpec

PERPETUAL = "PERPETUAL"
FOREVER_MS = 4_133_404_800_000  # the delivery date that perpetual contracts show
ONBOARD_MS = 1_569_398_400_000
DATED_SUFFIX = "_301227"  # one contract with a delivery date: clients must not take it for the perpetual
DATED_DELIVERY_MS = 1_924_588_800_000  # 2030-12-27 08:00 UTC
DATED_BASE = "BTC"
BTC_LOT_DECIMALS = 3
ZERO = Decimal(0)
# (largest initial leverage, notional cap in USDT, maintenance margin rate) of each bracket
MAJOR = (
    (125, 50_000, "0.004"),
    (100, 500_000, "0.005"),
    (50, 10_000_000, "0.01"),
    (20, 100_000_000, "0.025"),
    (10, 200_000_000, "0.05"),
    (5, 400_000_000, "0.1"),
    (2, 1_000_000_000, "0.25"),
    (1, 2_000_000_000, "0.5"),
)
MIDDLE = (
    (75, 10_000, "0.005"),
    (50, 50_000, "0.01"),
    (25, 500_000, "0.02"),
    (10, 5_000_000, "0.05"),
    (5, 10_000_000, "0.1"),
    (2, 20_000_000, "0.25"),
    (1, 50_000_000, "0.5"),
)
SMALL = (
    (50, 5_000, "0.01"),
    (25, 50_000, "0.02"),
    (20, 200_000, "0.025"),
    (10, 1_000_000, "0.05"),
    (5, 2_000_000, "0.1"),
    (2, 5_000_000, "0.25"),
    (1, 10_000_000, "0.5"),
)
_MAJOR_BASES = ("BTC", "ETH")
_MIDDLE_BASES = ("BNB", "SOL", "XRP", "DOGE", "ADA", "TRX", "AVAX", "LINK")


@dataclass(frozen=True, slots=True)
class Bracket:
    """One bracket: for a notional within (floor, cap], in quote units.

    `cum` is what makes `notional * rate - cum` the maintenance margin over all brackets up to this one.
    """

    number: int
    leverage: int
    floor: Decimal
    cap: Decimal
    rate: Decimal
    cum: Decimal

    def as_json(self) -> dict[str, Any]:
        """A row of GET /fapi/v1/leverageBracket."""
        return {
            "bracket": self.number,
            "initialLeverage": self.leverage,
            "notionalCap": int(self.cap),
            "notionalFloor": int(self.floor),
            "maintMarginRatio": float(self.rate),
            "cum": float(self.cum),
        }


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract. `spec` has its name, steps and filters; prices are those of `underlying` in the market.

    `info` is the row of exchangeInfo without its status.
    """

    spec: SymbolSpec
    underlying: str
    kind: str
    info: Mapping[str, Any]
    brackets: tuple[Bracket, ...]

    @property
    def symbol(self) -> str:
        """The contract's name."""
        return self.spec.symbol

    @property
    def is_perpetual(self) -> bool:
        """Whether funding is paid."""
        return self.kind.endswith(PERPETUAL)  # TRADIFI_PERPETUAL is a newer kind

    @property
    def most_leverage(self) -> int:
        """The largest leverage that the smallest bracket allows."""
        return self.brackets[0].leverage

    def most_notional(self, leverage: int) -> Decimal:
        """The largest position at this leverage, in quote units."""
        return max(one.cap for one in self.brackets if one.leverage >= leverage)

    def maintenance(self, notional: Decimal) -> Decimal:
        """The maintenance margin of a position of this (unsigned) notional."""
        bracket = next((one for one in self.brackets if notional <= one.cap), self.brackets[-1])
        return notional * bracket.rate - bracket.cum


def brackets_for(base: str) -> tuple[Bracket, ...]:
    """The brackets of a base asset: three tables, by how much of it is traded."""
    table = MAJOR if base in _MAJOR_BASES else MIDDLE if base in _MIDDLE_BASES else SMALL
    found: list[Bracket] = []
    floor, cum, before = ZERO, ZERO, ZERO
    for number, (leverage, cap, rate) in enumerate(table, start=1):
        cum += floor * (Decimal(rate) - before)
        found.append(Bracket(number, leverage, floor, Decimal(cap), Decimal(rate), cum))
        floor, before = Decimal(cap), Decimal(rate)
    return tuple(found)


def contracts_of(specs: Iterable[SymbolSpec]) -> dict[str, Contract]:
    """The USDT symbols of a market as perpetual contracts, and one dated contract."""
    found = {spec.symbol: _made(spec) for spec in specs if spec.quote == "USDT"}
    dated = next((one for one in found.values() if one.spec.base == DATED_BASE), None)
    if dated is not None:
        spec = replace(dated.spec, symbol=dated.symbol + DATED_SUFFIX)
        info = dict(dated.info) | {
            "symbol": spec.symbol,
            "contractType": "CURRENT_QUARTER",
            "deliveryDate": DATED_DELIVERY_MS,
        }
        found[spec.symbol] = Contract(spec, dated.underlying, "CURRENT_QUARTER", info, dated.brackets)
    return found


def _made(spot: SymbolSpec) -> Contract:
    decimals = BTC_LOT_DECIMALS if spot.base == "BTC" else max(0, spot.lot_decimals - 1)
    spec = replace(spot, lot_decimals=decimals, filters=_filters(spot, decimals))
    return Contract(spec, spot.symbol, PERPETUAL, _info(spec), brackets_for(spot.base))


def _filters(spot: SymbolSpec, lot_decimals: int) -> dict[str, dict[str, Any]]:
    lot, tick = f"{Decimal(1).scaleb(-lot_decimals):f}", f"{spot.tick:f}"
    highest = f"{Decimal(str(spot.start_price)) * 100:f}"
    largest = max(Decimal(1), (Decimal(10**8) / Decimal(str(spot.start_price))).quantize(Decimal(1)))
    rows: list[dict[str, Any]] = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": highest, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": f"{largest}", "stepSize": lot},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": lot,
            "maxQty": f"{max(Decimal(1), largest // 10)}",
            "stepSize": lot,
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "50" if spot.base == "BTC" else "5"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.0500",
            "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]
    return {row["filterType"]: row for row in rows}


def _info(spec: SymbolSpec) -> dict[str, Any]:
    """Other names than on spot, and a price precision that is not the tick."""
    return {
        "symbol": spec.symbol,
        "pair": spec.base + spec.quote,
        "contractType": PERPETUAL,
        "deliveryDate": FOREVER_MS,
        "onboardDate": ONBOARD_MS,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": spec.base,
        "quoteAsset": spec.quote,
        "marginAsset": spec.quote,
        "pricePrecision": min(8, spec.price_decimals + 1),
        "quantityPrecision": spec.lot_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": list(spec.filters.values()),
        "orderTypes": FUTURES_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
    }
