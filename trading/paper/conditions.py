"""What conditions change at the exchange: statuses, listings and filters, kept in memory only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trading.paper.symbols import SymbolSpec

if TYPE_CHECKING:
    from trading.paper.exchange import Exchange

EVERY = "*"


@dataclass(slots=True)
class Conditions:
    """Switched on by faults, asked by engines and routes."""

    halted: dict[tuple[str, str], str] = field(default_factory=dict)  # (market, symbol or *) -> status
    delisted: set[tuple[str, str]] = field(default_factory=set)
    maintenance: int = 0

    def status(self, market: str, symbol: str) -> str | None:
        """The status that a condition gives a symbol; None for the usual one."""
        if (market, symbol) in self.delisted:
            return "BREAK"
        return self.halted.get((market, symbol)) or self.halted.get((market, EVERY))

    def is_listed(self, market: str, symbol: str) -> bool:
        """Whether a symbol of the market is still there."""
        return not self.delisted or (market, symbol) not in self.delisted


def _decimals(step: Any, usual: int) -> int:
    """The decimals of a step; those that there were for a step of zero."""
    exponent = Decimal(str(step)).normalize().as_tuple().exponent
    if not Decimal(str(step)) or not isinstance(exponent, int):
        return usual
    return max(0, -exponent)


def _merged(spec: SymbolSpec, changes: Mapping[str, Any]) -> SymbolSpec:
    filters = {name: dict(row) for name, row in spec.filters.items()}
    for name, values in changes.items():
        if values is None:
            filters.pop(name, None)
            continue
        row = filters.setdefault(name, {"filterType": name})
        for key, value in dict(values).items():
            if key in _PLAIN:
                row[key] = value
            else:
                row[key] = f"{Decimal(str(value)):f}"
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    return replace(
        spec,
        filters=filters,
        price_decimals=_decimals(price.get("tickSize", 0), spec.price_decimals),
        lot_decimals=_decimals(lot.get("stepSize", 0), spec.lot_decimals),
    )


# values that are numbers or booleans in exchangeInfo, and not text
_PLAIN = frozenset(
    {"limit", "avgPriceMins", "applyMinToMarket", "applyMaxToMarket", "applyToMarket", "maxNumOrders"}
    | {"maxNumAlgoOrders", "maxNumOrderLists", "maxNumIcebergOrders"}
)


def changed_filters(
    exchange: Exchange, symbol: str, markets: tuple[str, ...], changes: Mapping[str, Any]
) -> Callable[[], None]:
    """Change a symbol's filters in these markets; what puts the old ones back. Raises for nonsense."""
    undo: list[Callable[[], None]] = []
    specs = exchange.market.specs
    contracts: dict[str, Any] = exchange.futures.state.contracts  # type: ignore[assignment]
    if "spot" in markets and symbol in specs:
        spec = specs[symbol]
        specs[symbol] = _merged(spec, changes)
        undo.append(lambda: specs.__setitem__(symbol, spec))
    if "futures" in markets and symbol in contracts:
        contract = contracts[symbol]
        merged = _merged(contract.spec, changes)
        info = {**contract.info, "filters": list(merged.filters.values())}
        contracts[symbol] = replace(contract, spec=merged, info=info)
        undo.append(lambda: contracts.__setitem__(symbol, contract))

    def end() -> None:
        for one in undo:
            one()

    return end
