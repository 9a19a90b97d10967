"""What a route is: path, weight, security, and the call that its handler gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trading.paper.books import Account
from trading.paper.exchange import Exchange
from trading.paper.futures_contracts import Contract
from trading.paper.params import Params
from trading.paper.symbols import SymbolSpec


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a handler sees it. `now_ms` is the server time at which it is carried out."""

    exchange: Exchange
    params: Params
    now_ms: int
    signer: Account | None = None

    @property
    def account(self) -> Account:
        """Whose signed request this is."""
        assert self.signer is not None  # only signed routes ask
        return self.signer

    @property
    def specs(self) -> dict[str, SymbolSpec]:
        """The spot symbols that are listed."""
        exchange = self.exchange
        specs, conditions = exchange.market.specs, exchange.conditions
        if not conditions.delisted:
            return specs
        return {name: spec for name, spec in specs.items() if conditions.is_listed("spot", name)}

    @property
    def contracts(self) -> Mapping[str, Contract]:
        """The futures contracts that are listed."""
        contracts, conditions = self.exchange.futures.state.contracts, self.exchange.conditions
        if not conditions.delisted:
            return contracts
        return {name: one for name, one in contracts.items() if conditions.is_listed("futures", name)}


Handler = Callable[[Call], Any | Awaitable[Any]]
Weight = int | Callable[[Params], int]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `engine` routes reach the matching engine, and cost no weight when they succeed.

    `counted` routes of futures answer with the order counts; `keyed` ones need a key but no signature.
    `priced` ones cannot answer while a live market is stale.
    """

    method: str
    path: str
    handler: Handler
    weight: Weight
    market: str = "spot"
    signed: bool = False
    engine: bool = False
    counted: bool = False
    keyed: bool = False
    priced: bool = False

    def weight_of(self, params: Params) -> int:
        """The request weight of a request with these parameters."""
        return self.weight(params) if callable(self.weight) else self.weight
