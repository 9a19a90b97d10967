"""The symbols that the paper exchange lists: prices, steps, filters, and how exchangeInfo shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

# base asset and a plausible price in USDT, the popular ones first
_PRICES = """
BTC 71200 ETH 2160 BNB 641 SOL 148 XRP 2.31 DOGE 0.172 ADA 0.684 TRX 0.271 AVAX 21.4 LINK 14.6
TON 3.12 SUI 2.94 DOT 4.43 LTC 88.2 BCH 412 NEAR 2.63 UNI 6.91 APT 5.17 ICP 5.84 ETC 17.9
ATOM 4.71 FIL 2.88 XLM 0.281 HBAR 0.186 ARB 0.412 OP 0.817 INJ 11.2 AAVE 171 MKR 1480 ALGO 0.213
VET 0.0264 SAND 0.287 MANA 0.311 AXS 2.71 GRT 0.102 EGLD 16.1 THETA 0.812 XTZ 0.641 FLOW 0.402 CHZ 0.0431
EOS 0.691 NEO 6.12 IOTA 0.192 KAVA 0.441 ZEC 38.4 DASH 22.7 COMP 43.6 SNX 0.773 CRV 0.562 LDO 0.914
ENS 17.3 DYDX 0.622 GMX 14.9 RUNE 1.33 FET 0.671 RENDER 4.02 IMX 0.571 STX 0.783 SEI 0.211 TIA 2.77
WLD 0.942 JUP 0.513 PYTH 0.141 ENA 0.372 ONDO 0.883 PENDLE 3.27 JTO 2.03 STRK 0.138 W 0.0841 ZRO 2.41
PEPE 0.0000118 SHIB 0.0000131 BONK 0.0000174 WIF 0.642 FLOKI 0.0000812 ORDI 8.71 NOT 0.00231 BOME 0.00184
PEOPLE 0.0189 GALA 0.0168 ZIL 0.0131 ONE 0.0142 HOT 0.00112 ANKR 0.0173 CELR 0.0091 SKL 0.0232 RSR 0.0071
IOST 0.0038 ROSE 0.0313 MINA 0.243 QTUM 2.14 ZRX 0.251 BAT 0.142 KSM 16.4 YFI 5230 SUSHI 0.673
1INCH 0.221 CAKE 2.02 BAND 0.681 STORJ 0.271 OCEAN 0.312 AR 6.33 LPT 5.41 MASK 1.37 API3 0.742 ACH 0.0213
SSV 9.12 LQTY 0.883 ID 0.211 EDU 0.132 CYBER 1.42 ARKM 0.561 BLUR 0.103 MEME 0.0021 AEVO 0.102
CELO 0.312 SUPER 0.513 MAGIC 0.184 HIGH 0.612
"""
_WORDS = _PRICES.split()
PRICES = dict(zip(_WORDS[::2], map(float, _WORDS[1::2]), strict=True))
DEFAULT_COUNT = 120
HALTED = ("LUNA", 0.187)
NON_ASCII = ("币安人生", 0.148)  # "币安人生USDT" is a real symbol
ZERO_FILTERS = ("OPEN", 0.373)
CROSS = ("ETHBTC", "ETH", "BTC", 0.0303)
ALL_TYPES = (
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
)
LIMIT_STOPS_ONLY = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
FUTURES_TYPES = [
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
]


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """One symbol: what it is called, how fine its prices and quantities are, and its filters.

    Prices have `price_decimals` decimals in quote units, quantities `lot_decimals` in base units. `filters`
    is what exchangeInfo shows, and what orders are checked against. `volatility` is the share per minute.
    """

    symbol: str
    base: str
    quote: str
    start_price: float
    price_decimals: int
    lot_decimals: int
    status: str = "TRADING"
    volatility: float = 0.0008
    turnover: float = 50_000.0  # quote units a minute
    order_types: tuple[str, ...] = ALL_TYPES
    filters: dict[str, dict[str, Any]] = field(default_factory=dict)
    oto_allowed: bool = False
    opo_allowed: bool = False

    @property
    def tick(self) -> Decimal:
        """The step of prices, in quote units."""
        return Decimal(1).scaleb(-self.price_decimals)

    @property
    def lot(self) -> Decimal:
        """The step of quantities, in base units."""
        return Decimal(1).scaleb(-self.lot_decimals)


def price_decimals_for(price: float) -> int:
    """Decimals that make a tick of about 1/10,000 of the price, between 2 and 8."""
    return min(8, max(2, 4 - math.floor(math.log10(price))))


def lot_decimals_for(price: float) -> int:
    """Decimals that make a lot worth about 0.1 to 1 quote unit, between 0 and 5."""
    return min(5, max(0, math.floor(math.log10(price)) + 1))


def _eight(value: Decimal | float | int) -> str:
    return f"{Decimal(str(value)):.8f}"


def standard_filters(tick: Decimal, lot: Decimal, price: float) -> dict[str, dict[str, Any]]:
    """The filters of a live spot symbol in 2026: MARKET_LOT_SIZE's step is zero, which means off."""
    largest = Decimal(9_000_000_000) if price < 1 else Decimal(9_000_000)
    rows: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": _eight(tick),
            "maxPrice": _eight(max(Decimal(1), Decimal(10) ** (math.floor(math.log10(price)) + 2))),
            "tickSize": _eight(tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": _eight(lot),
            "maxQty": _eight(largest),
            "stepSize": _eight(lot),
        },
        {"filterType": "ICEBERG_PARTS", "limit": 100},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": _eight(0),
            "maxQty": _eight(max(lot, (Decimal(5_000_000) / Decimal(str(price))).quantize(lot))),
            "stepSize": _eight(0),
        },
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 10,
            "maxTrailingBelowDelta": 2000,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
    ]
    return {row["filterType"]: row for row in rows}


def make_spec(
    base: str,
    quote: str,
    price: float,
    *,
    rank: int = 0,
    status: str = "TRADING",
    price_decimals: int | None = None,
) -> SymbolSpec:
    """A symbol with the filters that its price level suggests. `rank` 0 is the most traded one."""
    decimals = price_decimals_for(price) if price_decimals is None else price_decimals
    lot_decimals = min(lot_decimals_for(price), 8 - decimals)
    tick, lot = Decimal(1).scaleb(-decimals), Decimal(1).scaleb(-lot_decimals)
    filters = standard_filters(tick, lot, price)
    if rank % 7 == 3:  # exists on some symbols, in no documentation: clients must ignore it
        filters["POSITION_RISK_CONTROL"] = {
            "filterType": "POSITION_RISK_CONTROL",
            "positionControlSide": "NONE",
        }
    if rank % 5 == 4:
        filters["MARKET_LOT_SIZE"]["stepSize"] = _eight(lot)
        filters["MARKET_LOT_SIZE"]["minQty"] = _eight(lot)
    return SymbolSpec(
        symbol=base + quote,
        base=base,
        quote=quote,
        start_price=price,
        price_decimals=decimals,
        lot_decimals=lot_decimals,
        status=status,
        volatility=0.0005 + 0.00005 * (rank % 11),
        turnover=4_000_000 / (1 + rank),
        order_types=ALL_TYPES if rank % 4 != 2 else LIMIT_STOPS_ONLY,
        filters=filters,
        oto_allowed=rank % 6 != 5,
        opo_allowed=rank % 3 != 2,
    )


def _zero_filters(spec: SymbolSpec) -> SymbolSpec:
    for name, keys in (
        ("PRICE_FILTER", ("minPrice", "maxPrice", "tickSize")),
        ("MARKET_LOT_SIZE", ("minQty", "maxQty", "stepSize")),
    ):
        for key in keys:
            spec.filters[name][key] = _eight(0)
    return spec


def default_symbols(count: int = DEFAULT_COUNT) -> list[SymbolSpec]:
    """The synthetic market's symbols: `count` of them, odd ones (halted, non-ASCII, zero filters) included.

    With fewer than ten asked for there are only the popular ones.
    """
    odd: list[SymbolSpec] = []
    if count >= 10:
        cross = make_spec(CROSS[1], CROSS[2], CROSS[3], rank=8, price_decimals=5)
        cross.filters["NOTIONAL"]["minNotional"] = "0.00010000"
        odd = [
            make_spec(*(NON_ASCII[0], "USDT", NON_ASCII[1]), rank=60),
            _zero_filters(make_spec(ZERO_FILTERS[0], "USDT", ZERO_FILTERS[1], rank=70)),
            make_spec(HALTED[0], "USDT", HALTED[1], rank=80, status="BREAK"),
            cross,
        ]
    popular = [
        make_spec(base, "USDT", price, rank=rank)
        for rank, (base, price) in enumerate(list(PRICES.items())[: max(1, count - len(odd))])
    ]
    return popular + odd


def spot_info(spec: SymbolSpec, status: str, *, permission_sets: bool = True) -> dict[str, Any]:
    """The symbol as GET /api/v3/exchangeInfo shows it."""
    return {
        "symbol": spec.symbol,
        "status": status,
        "baseAsset": spec.base,
        "baseAssetPrecision": 8,
        "quoteAsset": spec.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(spec.order_types),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": spec.oto_allowed,
        "opoAllowed": spec.opo_allowed,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": list(spec.filters.values()),
        "permissions": [],
        "permissionSets": [["SPOT"]] if permission_sets else [],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_MAKER"],
    }
