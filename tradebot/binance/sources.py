"""Where market data and orders come from: one exchange host for each environment and market."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

from django.conf import settings

from tradebot.errors import ConfigError

Environment = Literal["live", "testnet", "paper"]
Market = Literal["spot", "futures"]

# binance-spot-api-docs rest-api.md and testnet/general-info.md; USDS-M futures general-info
_HOSTS = {
    ("live", "spot"): "https://api.binance.com",
    ("live", "futures"): "https://fapi.binance.com",
    ("testnet", "spot"): "https://testnet.binance.vision",
    ("testnet", "futures"): "https://demo-fapi.binance.com",
}
_PAPER_SETTINGS = {"spot": "PAPER_SPOT_URL", "futures": "PAPER_FUTURES_URL"}


@dataclass(frozen=True, slots=True)
class Source:
    """One market of one environment. `base_url` is scheme://host:port without a path.

    `name` is "live", "testnet", or the base URL of the paper server.
    """

    environment: str
    market: str
    name: str
    base_url: str

    @property
    def host(self) -> str:
        """host:port, by which the exchange counts request weight."""
        return urlsplit(self.base_url).netloc

    @property
    def redis_prefix(self) -> str:
        """What stands before the market in Redis keys: nothing for live, "<name>:" for others."""
        return "" if self.environment == "live" else f"{self.name}:"


@lru_cache(maxsize=64)  # asked for each bot of a screen
def _paper(market: str, variable: str, base_url: str) -> Source:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise ConfigError(
            f"{variable} must look like http://127.0.0.1:8899, without a path; it is {base_url!r}."
        )
    return Source("paper", market, base_url, base_url)


def source_for(environment: str, market: str) -> Source:
    """The source of an account's environment and a bot's market.

    Raises ConfigError for an environment or market that does not exist, or a broken paper address.
    """
    if market not in _PAPER_SETTINGS:
        raise ConfigError(f"There is no market {market!r}; use spot or futures.")
    if environment == "paper":
        variable = _PAPER_SETTINGS[market]
        return _paper(market, variable, str(getattr(settings, variable, "") or "").rstrip("/"))
    if (environment, market) not in _HOSTS:
        raise ConfigError(f"There is no environment {environment!r}; use paper, testnet or live.")
    return Source(environment, market, environment, _HOSTS[environment, market])
