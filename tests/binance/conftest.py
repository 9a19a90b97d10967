"""A scripted exchange and clients of it; nothing is remembered from one test to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.support.fake_exchange import FakeExchange, fake_exchange
from tradebot.binance import budget, redis_guard, server_clock
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import Source
from tradebot.secrets import Secret
from tradebot.timings import DEFAULT

API_KEY = "canary-key-0123456789abcdef"
API_SECRET = "canary-secret-fedcba9876543210"
# Limits of the same shape as the real ones, a tenth of a second where those are seconds.
SHORT = replace(
    DEFAULT,
    connect_timeout_seconds=0.5,
    read_timeout_seconds=0.6,
    total_timeout_seconds=1.0,
    read_backoff_seconds=0.01,
    read_budget_seconds=2.0,
)
ORDER = "/api/v3/order"
PAYLOAD = (
    "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.00100000&newClientOrderId=tb1-x-1-1"
    "&newOrderRespType=FULL&timestamp=1700000000000&recvWindow=5000"
)

Clients = Callable[..., ExchangeClient]


@pytest.fixture(autouse=True)
def forget() -> None:
    budget.forget_process_state()
    server_clock.forget_process_state()
    redis_guard.try_again_now()


@pytest.fixture
def exchange() -> Iterator[FakeExchange]:
    with fake_exchange() as server:
        yield server


@pytest.fixture
def source(exchange: FakeExchange) -> Source:
    return Source("paper", "spot", exchange.url, exchange.url)


@pytest.fixture
def client(source: Source) -> Clients:
    def make(**changes: object) -> ExchangeClient:
        options = {
            "api_key": Secret(API_KEY),
            "api_secret": Secret(API_SECRET),
            "timings": SHORT,
            "lane": "exit",
            **changes,
        }
        return ExchangeClient(source, **options)  # type: ignore[arg-type]

    return make
