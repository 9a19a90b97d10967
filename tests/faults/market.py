"""The market as the trials need it: fresh prices and, for every symbol, a signal to enter at each close."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from marketdata import prices, symbols
from marketdata.intervals import last_close
from tests.support.paper import Paper
from tradebot import clock
from tradebot.binance import outage
from tradebot.binance.sources import Source, source_for
from tradebot.redis import redis_client
from trading import signals
from trading.signal_codec import signal_to_json
from trading.types import Signal

NAMES = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")


@dataclass
class Market:
    """Stands in for the feed: what it writes to Redis is written here, at once, whenever it is asked to."""

    paper: Paper
    prices: dict[str, float] = field(default_factory=dict)
    enters: str = "long"

    def load(self) -> None:
        """The symbols and the present prices of the exchange, which stand from now on."""
        for source in self.sources():
            assert symbols.refresh(source).ok
        answer = self.paper.public("/api/v3/ticker/price").json()
        rows = {row["symbol"]: float(row["price"]) for row in answer}
        for name in NAMES:
            self.move(name, rows[name])

    def sources(self) -> tuple[Source, Source]:
        """The paper exchange's two markets."""
        return source_for("paper", "spot"), source_for("paper", "futures")

    def move(self, symbol: str, price: float) -> None:
        """Set the price on the exchange; publish() tells the bots."""
        self.paper.control("/paper/price", {"symbol": symbol, "price": f"{price:.8f}"})
        self.prices[symbol] = price

    def publish(self) -> None:
        """Prices and signals as of now, and a good probe of the exchange for each source."""
        now = clock.now()
        as_of = last_close(now, "1m")
        for source in self.sources():
            if not redis_client().exists(symbols.key_of(source)):
                symbols.refresh(source)
            prices.store(source, self.prices, now)
            outage.note_good_probe(source)
            for name, price in self.prices.items():
                key = signals.key_for(source, name, "1m", "ema_rsi", {})
                signal = Signal(
                    as_of,
                    price,
                    ready=True,
                    enter_long=self.enters == "long",
                    enter_short=self.enters == "short",
                )
                redis_client().set(key.redis_key, json.dumps(signal_to_json(signal)))
