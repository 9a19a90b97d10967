"""The exchange client that the project uses: questions with retries, one order POST without, one clock."""

from __future__ import annotations

import math
import random
import time
from datetime import datetime
from typing import Any

from tradebot.binance import server_clock
from tradebot.binance.answers import CLOCK_CODES, Answer
from tradebot.binance.budget import Lane, note_limits
from tradebot.binance.futures import FuturesQuestions
from tradebot.binance.lists import ListQuestions
from tradebot.binance.sources import Source
from tradebot.binance.wire import Wire
from tradebot.errors import ClientInitFailed, ExchangeError, RateLimited, Transient
from tradebot.secrets import Secret
from tradebot.timings import DEFAULT, Timings

__all__ = ["Answer", "ExchangeClient"]

READ_TRIES = 4
WAIT_AT_MOST_SECONDS = 2.0  # a longer wait is the caller's: it holds a lock or a worker
BACKOFF_CAP_SECONDS = 2.0
TIME_BUDGET_SECONDS = 5.0

# python-binance's method for each question, by market
_METHODS = {
    "spot": {
        "time": "get_server_time",
        "exchange_info": "get_exchange_info",
        "klines": "get_klines",
        "ticker": "get_symbol_ticker",
        "account": "get_account",
        "order": "get_order",
        "open_orders": "get_open_orders",
        "all_orders": "get_all_orders",
        "my_trades": "get_my_trades",
        "cancel": "cancel_order",
        "order_list": "v3_get_order_list",
        "cancel_order_list": "v3_delete_order_list",
    },
    "futures": {
        "time": "futures_time",
        "exchange_info": "futures_exchange_info",
        "klines": "futures_klines",
        "ticker": "futures_symbol_ticker",
        "account": "futures_account_v3",
        "order": "futures_get_order",
        "open_orders": "futures_get_open_orders",
        "all_orders": "futures_get_all_orders",
        "my_trades": "futures_account_trades",
        "cancel": "futures_cancel_order",
        "position_risk": "futures_position_information",
        "symbol_config": "futures_symbol_config",
        "position_mode": "futures_get_position_mode",
        "set_position_mode": "futures_change_position_mode",
        "set_leverage": "futures_change_leverage",
        "set_margin_type": "futures_change_margin_type",
        "income": "futures_income_history",
        "leverage_brackets": "futures_leverage_bracket",
        "algo_order": "futures_get_algo_order",
        "cancel_algo_order": "futures_cancel_algo_order",
        "open_algo_orders": "futures_get_open_algo_orders",
    },
}


class ExchangeClient(FuturesQuestions, ListQuestions):
    """One account (or nobody) at one source. Cheap to make; used by one thread at a time.

    Every question raises Transient or NotSent (after its retries), RateLimited, KeyRefused, OrderNotFound
    or Rejected. Times are milliseconds of the exchange's clock, prices and quantities strings as the
    exchange writes them.
    """

    def __init__(
        self,
        source: Source,
        *,
        api_key: Secret | None = None,
        api_secret: Secret | None = None,
        timings: Timings = DEFAULT,
        lane: Lane = "background",
    ) -> None:
        """Make no request. Raises ClientInitFailed for a malformed key, or scaled times on a live source."""
        if source.environment == "live" and timings != DEFAULT:
            raise ClientInitFailed("A live account takes the default timings only.")
        if (api_key is None) != (api_secret is None):
            raise ClientInitFailed("An API key and its secret are needed together.")
        _check("API key", api_key)
        _check("API secret", api_secret)
        self.source = source
        self._timings = timings
        self._made_with = (source, api_key, api_secret, timings)
        self._has_key = api_key is not None
        self._wire = Wire(source, api_key, api_secret, timings, lane, self.now_ms)

    def for_lane(self, lane: Lane) -> ExchangeClient:
        """The same account with the request budget of another lane."""
        source, key, secret, timings = self._made_with
        return ExchangeClient(source, api_key=key, api_secret=secret, timings=timings, lane=lane)

    def server_time_ms(self) -> int:
        """The exchange's time, asked for now, within some seconds: later it would be of no use."""
        answer = self._ask("time", dict, tries=2, seconds=TIME_BUDGET_SECONDS)
        if not isinstance(answer.get("serverTime"), int):
            raise Transient("The exchange's answer holds no time.")
        return int(answer["serverTime"])

    def now_ms(self, now: datetime | None = None) -> int:
        """The exchange's time by the local clock and the shared offset (measured anew when old).

        `now` is the local time where the caller has just read it. Raises Transient or RateLimited only when
        no offset is known at all.
        """
        age, ask = self._timings.clock_sync_seconds, self.server_time_ms
        return server_clock.server_ms(self.source, age, ask, now)

    def sync_clock(self) -> int:
        """Measure the offset now, share it, and return it in ms."""
        return server_clock.sync(self.source, self.server_time_ms)

    def exchange_info(self) -> dict[str, Any]:
        """Symbols, filters and limits; the limits are noted for the request budget."""
        info: dict[str, Any] = self._ask("exchange_info", dict)
        note_limits(self.source, info)
        return info

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
    ) -> list[list[Any]]:
        """Candles, oldest first; the last one may still be open. At most 1000 (futures 1500)."""
        answer: list[list[Any]] = self._ask(
            "klines",
            list,
            symbol=symbol,
            interval=interval,
            startTime=start_ms,
            endTime=end_ms,
            limit=limit,
        )
        return answer

    def prices(self) -> dict[str, str]:
        """The last price of every symbol, in one request."""
        rows = self._ask("ticker", list)
        try:
            return {row["symbol"]: row["price"] for row in rows}
        except (TypeError, KeyError):
            failure = Transient("The exchange's prices can't be read.")
        raise failure

    def price(self, symbol: str) -> str:
        """The last price of one symbol."""
        answer = self._ask("ticker", dict, symbol=symbol)
        if not isinstance(answer.get("price"), str):
            raise Transient("The exchange's answer holds no price.")
        return str(answer["price"])

    def account(self) -> dict[str, Any]:
        """Balances and rights of the account."""
        answer: dict[str, Any] = self._ask("account", dict)
        return answer

    def order(self, symbol: str, client_order_id: str) -> dict[str, Any]:
        """One order by its client id. OrderNotFound on -2013, which may be a lag and is never final."""
        answer: dict[str, Any] = self._ask("order", dict, symbol=symbol, origClientOrderId=client_order_id)
        return answer

    def open_orders(self, symbol: str | None = None) -> list[dict[str, Any]]:
        """Open orders of a symbol, or of all (20 times the weight)."""
        answer: list[dict[str, Any]] = self._ask("open_orders", list, symbol=symbol)
        return answer

    def all_orders(
        self,
        symbol: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
    ) -> list[dict[str, Any]]:
        """Orders of a symbol, open or not, oldest first."""
        answer: list[dict[str, Any]] = self._ask(
            "all_orders", list, symbol=symbol, startTime=start_ms, endTime=end_ms, limit=limit
        )
        return answer

    def my_trades(
        self,
        symbol: str,
        *,
        order_id: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        from_id: int | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """The account's trades of a symbol, oldest first; a span of 24 hours at most (futures 7 days)."""
        answer: list[dict[str, Any]] = self._ask(
            "my_trades",
            list,
            symbol=symbol,
            orderId=order_id,
            startTime=start_ms,
            endTime=end_ms,
            fromId=from_id,
            limit=limit,
        )
        return answer

    def cancel_order(self, symbol: str, client_order_id: str) -> dict[str, Any]:
        """Cancel by client id. Idempotent, hence retried like a question.

        Raises OrderNotFound on -2011: "not open", never "not executed"; ask for the order afterwards.
        """
        answer: dict[str, Any] = self._ask("cancel", dict, symbol=symbol, origClientOrderId=client_order_id)
        return answer

    def cancel_order_by_id(self, symbol: str, order_id: int) -> dict[str, Any]:
        """The same by the exchange's number: two orders may have had one client id after each other."""
        answer: dict[str, Any] = self._ask("cancel", dict, symbol=symbol, orderId=order_id)
        return answer

    def post_order(self, path: str, payload: str) -> Answer:
        """POST `payload` to `path` ("/api/v3/order") once, byte for byte, the signature appended.

        `payload` is the urlencoded text that was committed, with timestamp and recvWindow. Never retried,
        and never raises for an outcome: the Answer says what is known.
        """
        answer = self._wire.post_once(path, payload)
        if answer.code in CLOCK_CODES:
            server_clock.distrust(self.source)
        return answer

    def _ask(
        self,
        question: str,
        shape: type,
        *,
        tries: int = READ_TRIES,
        seconds: float | None = None,
        **params: Any,
    ) -> Any:
        """One question, retried on what passes, on a wrong clock and on short waits; bounded."""
        method = getattr(self._wire, _METHODS[self.source.market][question])
        ends = time.monotonic() + min(self._timings.read_budget_seconds, seconds or math.inf)
        for attempt in range(1, tries + 1):
            self._wire.deadline = min(ends, time.monotonic() + self._timings.total_timeout_seconds)
            failure: ExchangeError
            try:
                answer = method(**params)
            except Transient as error:
                failure = error
                wait = random.uniform(0.5, 1.0) * self._backoff_seconds(attempt)
            except RateLimited as error:
                failure = error
                wait = error.retry_after_seconds
            else:
                if isinstance(answer, shape):
                    return answer
                raise Transient("The exchange's answer has another shape than documented.")
            if failure.code in CLOCK_CODES:
                server_clock.distrust(self.source)
            too_long = wait > WAIT_AT_MOST_SECONDS or time.monotonic() + wait >= ends
            if attempt == tries or too_long:
                break
            time.sleep(wait)
        raise failure

    def _backoff_seconds(self, attempt: int) -> float:
        doubled: float = self._timings.read_backoff_seconds * 2 ** (attempt - 1)
        return min(doubled, BACKOFF_CAP_SECONDS)


def _check(name: str, secret: Secret | None) -> None:
    if secret is None:
        return
    text = secret.reveal()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ClientInitFailed(
            f"The {name} is malformed: it must be printable ASCII without spaces. Enter it again."
        )
