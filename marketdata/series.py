"""What one candle series is: source, symbol, interval. Pure; imported by readers, store and feed alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradebot.binance.sources import Source


@dataclass(frozen=True, slots=True)
class Series:
    """One series of candles. The market is the source's; two series are equal whatever their `candles`.

    `candles` is how many closed candles its readers need for their warm-up.
    """

    source: Source
    symbol: str
    interval: str
    candles: int = field(default=300, compare=False)

    @property
    def key(self) -> str:
        """The series' name in Redis."""
        return f"candles:{self.source.name}:{self.source.market}:{self.symbol}:{self.interval}"

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} ({self.source.name} {self.source.market})"
