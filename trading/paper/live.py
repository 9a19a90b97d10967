"""Following a real exchange's public market data: prices are polled, candles are asked for on demand.

Nothing here needs a key. When the source does not answer, prices stand still; after STALE_MS whoever asks
for prices is told so (503), orders are refused, and what rests waits for the next price.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import aiohttp

from trading.paper.errors import ApiError
from trading.paper.live_market import Listing, LiveMarket, LiveRefused, futures_listing, spot_listing

STALE_MS = 10_000
TIMEOUT_SECONDS = 8.0
LISTING_SECONDS = 600.0
OPEN_CANDLE_MS = 2_000  # how long an answer with the open candle is good
KEPT_ANSWERS = 1_000
KEPT_RATES_MS = 7 * 86_400_000
LONGEST_WAIT_SECONDS = 3 * 86_400.0
SPOT, FUTURES = "spot", "futures"
PATHS = {
    SPOT: {"info": "/api/v3/exchangeInfo", "prices": "/api/v3/ticker/price", "klines": "/api/v3/klines"},
    FUTURES: {
        "info": "/fapi/v1/exchangeInfo",
        "prices": "/fapi/v2/ticker/price",
        "klines": "/fapi/v1/klines",
    },
}
PREMIUM = "/fapi/v1/premiumIndex"
_log = logging.getLogger(__name__)


class Unanswered(Exception):
    """Raised when the source gave no usable answer; `wait_seconds` is what it asked for."""

    def __init__(self, text: str, wait_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.wait_seconds = wait_seconds


def source_down(market: str) -> ApiError:
    """503: there are no prices to show."""
    text = f"The source of live {market} data does not answer; its last prices are too old."
    return ApiError(-1001, text, status=503)


class Source:
    """The HTTP side: one session, whole answers, no retries, no redirects."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = {market: url.rstrip("/") for market, url in urls.items()}
        self._session: aiohttp.ClientSession | None = None

    async def get(self, market: str, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON of an answer with 200. Raises ApiError for its 4xx errors, Unanswered otherwise."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout)
        try:
            url = self._urls[market] + path
            async with self._session.get(url, params=params, allow_redirects=False) as answer:
                status, headers, text = answer.status, answer.headers, await answer.text()
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            raise Unanswered(f"{path}: {type(error).__name__}") from error
        return _body(path, status, headers, text)

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()


def _body(path: str, status: int, headers: Mapping[str, str], text: str) -> Any:
    try:
        body = json.loads(text)
    except ValueError as error:
        raise Unanswered(f"{path}: {status} without JSON", _wait(status, headers)) from error
    if status == 200:
        return body
    if status == 400 and isinstance(body, dict) and isinstance(body.get("code"), int):
        raise ApiError(body["code"], str(body.get("msg", "")))
    raise Unanswered(f"{path}: {status}", _wait(status, headers))


def _wait(status: int, headers: Mapping[str, str]) -> float:
    """Retry-After of a 429 or 418 in seconds, a minute where it cannot be read."""
    if status not in (429, 418):
        return 0.0
    text = headers.get("Retry-After", "")
    seconds = float(text) if text.isascii() and text.isdigit() else 60.0
    return min(seconds, LONGEST_WAIT_SECONDS)


async def load_listing(urls: Mapping[str, str]) -> Listing:
    """What the source lists now. Raises LiveRefused."""
    source = Source(urls)
    try:
        spot, futures = await asyncio.gather(
            source.get(SPOT, PATHS[SPOT]["info"]), source.get(FUTURES, PATHS[FUTURES]["info"])
        )
    except (Unanswered, ApiError, ValueError) as error:
        raise LiveRefused(f"the source of live prices does not answer: {error}") from error
    finally:
        await source.close()
    return Listing(spot_listing(spot), futures_listing(futures))


def floats(rows: Any, name: str) -> dict[str, float]:
    """{symbol: price} of a list of objects; rows without a positive price are left out."""
    found: dict[str, float] = {}
    for row in rows if isinstance(rows, list) else []:
        try:
            symbol, price = str(row["symbol"]), float(Decimal(row[name]))
        except (KeyError, TypeError, InvalidOperation):
            continue
        if 0 < price < float("inf"):
            found[symbol] = price
    return found


class Live:
    """Polls a source into the markets, and answers for its candles. One object per exchange."""

    def __init__(
        self,
        source: Source,
        listing: Listing,
        now_ms: Callable[[], int],
        poll_seconds: float,
    ) -> None:
        self.source = source
        self.listing = listing
        self._now_ms = now_ms
        self._poll_seconds = poll_seconds
        futures_specs = {symbol: one.spec for symbol, one in listing.contracts.items()}
        self.markets = {SPOT: LiveMarket(listing.specs), FUTURES: LiveMarket(futures_specs)}
        self.marks = LiveMarket(futures_specs)
        self._rates: dict[tuple[str, int], Decimal] = {}
        self._answers: OrderedDict[tuple[Any, ...], tuple[int, list[Any]]] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, polled: Mapping[str, Callable[[int], None]]) -> None:
        """Begin to poll; `polled[market]` is called with the time of each poll."""
        for market, path in PATHS.items():
            self._tasks.append(
                asyncio.create_task(self._loop(self._poll_seconds, self._poller(market, polled[market])))
            )
            self._tasks.append(
                asyncio.create_task(
                    self._loop(LISTING_SECONDS, self._lister(market, path["info"]), LISTING_SECONDS)
                )
            )

    async def stop(self) -> None:
        """End polling."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.source.close()

    def is_stale(self, market: str, now_ms: int) -> bool:
        """Whether the prices of a market are too old to trade on."""
        return now_ms - self.age_since(market) > STALE_MS

    def age_since(self, market: str) -> int:
        """When the prices of a market were polled; the older of last and mark prices."""
        polled = self.markets[market].polled_ms
        return min(polled, self.marks.polled_ms) if market == FUTURES else polled

    def rate(self, symbol: str, at_ms: int) -> Decimal | None:
        """The funding rate that the source showed for this funding time."""
        return self._rates.get((symbol, at_ms))

    async def _loop(self, seconds: float, act: Callable[[], Awaitable[None]], first: float = 0.0) -> None:
        await asyncio.sleep(first)
        while True:
            wait = seconds
            try:
                await act()
            except (Unanswered, ApiError, LiveRefused) as error:
                wait = max(seconds, error.wait_seconds) if isinstance(error, Unanswered) else seconds
                _log.warning("live source: %s", error)
            await asyncio.sleep(wait)

    def _poller(self, market: str, polled: Callable[[int], None]) -> Callable[[], Awaitable[None]]:
        async def poll() -> None:
            if market == FUTURES:
                await self._poll_premium()
            prices = floats(await self.source.get(market, PATHS[market]["prices"]), "price")
            if not prices:
                raise Unanswered("no prices in the answer")
            now_ms = self._now_ms()
            self.markets[market].add(now_ms, prices)
            polled(now_ms)

        return poll

    async def _poll_premium(self) -> None:
        """Mark prices, and the rates of the next funding."""
        rows = await self.source.get(FUTURES, PREMIUM)
        marks = floats(rows, "markPrice")
        if not marks:
            raise Unanswered("no mark prices in the answer")
        for row in rows:
            try:
                at_ms, rate = int(row["nextFundingTime"]), Decimal(row["lastFundingRate"])
            except (KeyError, TypeError, ValueError, InvalidOperation):
                continue  # contracts without funding
            self._rates[row["symbol"], at_ms] = rate
        oldest = self._now_ms() - KEPT_RATES_MS
        self._rates = {key: rate for key, rate in self._rates.items() if key[1] >= oldest}
        self.marks.add(self._now_ms(), marks)

    def _lister(self, market: str, path: str) -> Callable[[], Awaitable[None]]:
        async def look() -> None:
            info = await self.source.get(market, path)
            if market == SPOT:
                self.listing.specs.update(spot_listing(info))
                return
            contracts = futures_listing(info)
            self.listing.contracts.update(contracts)
            self.markets[FUTURES].specs.update({name: one.spec for name, one in contracts.items()})

        return look

    async def klines(self, market: str, params: Mapping[str, str]) -> list[Any]:
        """The source's candles. An answer of closed candles is asked for once. Raises ApiError."""
        key = (market, *sorted(params.items()))
        until_ms, rows = self._answers.get(key, (0, []))
        if self._now_ms() < until_ms:
            return rows
        found = await self.ask(market, PATHS[market]["klines"], params)
        if not isinstance(found, list) or not all(isinstance(row, list) and len(row) > 6 for row in found):
            raise source_down(market)
        self._answers[key] = (self._good_until(found, params), found)
        self._answers.move_to_end(key)
        if len(self._answers) > KEPT_ANSWERS:
            self._answers.popitem(last=False)
        return found

    def _good_until(self, rows: list[Any], params: Mapping[str, str]) -> int:
        now_ms = self._now_ms()
        is_past = "endTime" in params and rows and int(rows[-1][6]) < now_ms - STALE_MS
        return 2**62 if is_past and int(params["endTime"]) < now_ms else now_ms + OPEN_CANDLE_MS

    async def ask(self, market: str, path: str, params: Mapping[str, str]) -> Any:
        """Anything else public. Raises ApiError: the source's own, or 503."""
        try:
            return await self.source.get(market, path, params)
        except Unanswered as error:
            raise source_down(market) from error
