"""Which host an environment and a market mean."""

from __future__ import annotations

import pytest
from django.conf import LazySettings

from tradebot.binance.sources import source_for
from tradebot.errors import ConfigError


@pytest.mark.parametrize(
    ("environment", "market", "base_url"),
    [
        ("live", "spot", "https://api.binance.com"),
        ("live", "futures", "https://fapi.binance.com"),
        ("testnet", "spot", "https://testnet.binance.vision"),
        ("testnet", "futures", "https://demo-fapi.binance.com"),
    ],
)
def test_hosts_of_binance(environment: str, market: str, base_url: str) -> None:
    source = source_for(environment, market)
    assert (source.name, source.market, source.base_url) == (environment, market, base_url)


def test_a_paper_source_is_named_by_its_address(settings: LazySettings) -> None:
    settings.PAPER_SPOT_URL = "http://127.0.0.1:8899/"
    settings.PAPER_FUTURES_URL = "http://127.0.0.1:8898"
    source = source_for("paper", "spot")
    assert source.name == source.base_url == "http://127.0.0.1:8899"
    assert source.host == "127.0.0.1:8899"
    assert source_for("paper", "futures").base_url == "http://127.0.0.1:8898"


def test_redis_keys_of_live_have_no_prefix() -> None:
    assert source_for("live", "spot").redis_prefix == ""
    assert source_for("testnet", "spot").redis_prefix == "testnet:"


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8899", "http://", "http://host/api", "ftp://host", "http://h?x=1"]
)
def test_a_broken_paper_address_is_named(settings: LazySettings, url: str) -> None:
    settings.PAPER_SPOT_URL = url
    with pytest.raises(ConfigError, match="PAPER_SPOT_URL"):
        source_for("paper", "spot")


def test_unknown_environments_and_markets_are_refused() -> None:
    with pytest.raises(ConfigError, match="environment"):
        source_for("demo", "spot")
    with pytest.raises(ConfigError, match="market"):
        source_for("live", "margin")
