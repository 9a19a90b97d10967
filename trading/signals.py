"""Signals shared by all bots: computed once per closed candle and parameters, kept in Redis."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from marketdata import candles
from marketdata.intervals import last_close
from marketdata.series import Series
from tradebot.binance.sources import Source
from tradebot.clock import to_ms
from tradebot.errors import StaleData
from tradebot.redis import redis_client
from trading.signal_codec import signal_from_json, signal_to_json
from trading.strategies import STRATEGIES
from trading.types import Signal

logger = logging.getLogger(__name__)

KEEP_SECONDS = 3 * 86_400


@dataclass(frozen=True, slots=True)
class SignalKey:
    """What a signal depends on, and nothing else. `params` is canonical JSON of the cleaned parameters."""

    source: Source
    symbol: str
    interval: str
    strategy: str
    params: str

    @property
    def redis_key(self) -> str:
        """The key of the signal in Redis; a new version of the strategy has new keys."""
        digest = hashlib.sha256(self.params.encode()).hexdigest()[:16]
        version = STRATEGIES[self.strategy].version
        return (
            f"signal:{self.source.name}:{self.source.market}:{self.symbol}:{self.interval}:"
            f"{self.strategy}:{version}:{digest}"
        )

    def series(self) -> list[Series]:
        """The candle series it is computed from, with the candles that the warm-up needs; its own first."""
        strategy, params = STRATEGIES[self.strategy], json.loads(self.params)
        need = strategy.warm_up(params)
        return [
            Series(self.source, self.symbol, interval, need)
            for interval in strategy.intervals(self.interval, params)
        ]


def key_for(
    source: Source, symbol: str, interval: str, strategy: str, params: Mapping[str, Any]
) -> SignalKey:
    """The key of a bot's signal. Raises InvalidInput for parameters that the strategy does not take."""
    return SignalKey(
        source, symbol, interval, strategy, _canonical(strategy, json.dumps(params, sort_keys=True))
    )


@lru_cache(maxsize=10_000)  # many bots share few sets of parameters
def _canonical(strategy: str, params: str) -> str:
    return json.dumps(STRATEGIES[strategy].validate(json.loads(params)), sort_keys=True)


def load_many(keys: Iterable[SignalKey], now: datetime) -> dict[SignalKey, Signal]:
    """The newest signals; those whose candle has closed since are computed and kept.

    A key without usable candles is left out, or has its last signal, which is stale by its `as_of`.
    """
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    values = redis_client().mget([key.redis_key for key in wanted])
    found: dict[SignalKey, Signal] = {}
    for key, value in zip(wanted, values, strict=True):
        signal = _decoded(value)
        if signal is not None:
            found[key] = signal
    old = [key for key in wanted if key not in found or found[key].as_of < last_close(now, key.interval)]
    if old:
        found |= _compute(old, found)
    return found


def _decoded(value: bytes | str | None) -> Signal | None:
    if value is None:
        return None
    try:
        return signal_from_json(json.loads(value))
    except (ValueError, UnicodeDecodeError):
        logger.warning("a signal in Redis is broken and counts as missing")
        return None


def _compute(keys: list[SignalKey], known: Mapping[SignalKey, Signal]) -> dict[SignalKey, Signal]:
    series = {key: key.series() for key in keys}
    loaded = candles.load_many(one for parts in series.values() for one in parts)
    fresh: dict[SignalKey, Signal] = {}
    pipeline = redis_client().pipeline(transaction=False)
    for key, parts in series.items():
        base = loaded.get(parts[0])
        if base is None or (
            key in known and to_ms(known[key].as_of) >= int(base.open_time_ms[-1]) + base.interval_ms
        ):
            continue
        try:
            signal = STRATEGIES[key.strategy].signals(
                {part.interval: loaded[part] for part in parts if part in loaded}, json.loads(key.params)
            )
        except StaleData as error:
            logger.info("no signal of %s: %s", parts[0], error)
            continue
        fresh[key] = signal
        pipeline.set(key.redis_key, json.dumps(signal_to_json(signal)), ex=KEEP_SECONDS)
    pipeline.execute()
    return fresh
