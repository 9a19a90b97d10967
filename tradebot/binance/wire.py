"""python-binance with our own wire: base URL, session, clock, signing, budget and errors.

python-binance 1.0.37 replaces the caller's timestamp and recvWindow, encodes only `symbol`, keeps one
session per client and raises errors that hold the signed URL. Its methods that name the endpoints are used;
what sends is not.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tradebot.binance import budget, transport
from tradebot.binance.answers import (
    TOO_MANY_ORDERS,
    Answer,
    code_of,
    message_of,
    order_answer,
    parse,
    read_answer,
)
from tradebot.binance.answers import wait_seconds as wait_of
from tradebot.binance.budget import Lane
from tradebot.binance.sources import Source
from tradebot.binance.transport import Failure, Limits, Reply
from tradebot.binance.weights import HEADER_NOT_ACCURATE, orders_of, weight_of
from tradebot.errors import KeyRefused, RateLimited
from tradebot.secrets import Secret
from tradebot.timings import Timings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # python-binance 1.0.37 uses old names of websockets
    from binance.base_client import BaseClient
    from binance.client import Client

FORM = "application/x-www-form-urlencoded"


class Wire(Client):  # type: ignore[misc]
    """The endpoints of python-binance over one source. Makes no request by itself and holds no connection."""

    def __init__(
        self,
        source: Source,
        api_key: Secret | None,
        api_secret: Secret | None,
        timings: Timings,
        lane: Lane,
        now_ms: Callable[[], int],
    ) -> None:
        # A loop is given because python-binance would make one (three open files) for WebSockets that we
        # don't use.
        BaseClient.__init__(self, loop=object())
        self.API_URL = source.base_url + "/api"
        self.FUTURES_URL = source.base_url + "/fapi"
        self.deadline = math.inf  # monotonic time at which the next question must have its answer
        self._source, self._timings, self._lane, self._now_ms = source, timings, lane, now_ms
        self._key, self._secret = api_key, api_secret
        self._account = budget.account_tag(api_key) if api_key else ""

    def _init_session(self) -> None:
        """No session here: connections belong to threads (transport)."""

    def futures_account_v3(self, **params: Any) -> Any:
        """GET /fapi/v3/account, of which python-binance 1.0.37 has version 2 only."""
        return self._request_futures_api("get", "account", True, 3, data=params)

    def _hmac_signature(self, query_string: str) -> str:
        if self._secret is None:
            raise KeyRefused("This request needs an API key, and the client has none.")
        secret = self._secret.reveal().encode()
        return hmac.new(secret, query_string.encode(), hashlib.sha256).hexdigest()

    def _generate_signature(self, data: dict[str, Any], uri_encode: bool = True) -> str:
        return self._hmac_signature(encode(data))

    def _request(self, method: str, uri: str, signed: bool, force_params: bool = False, **kwargs: Any) -> Any:
        """One question or cancel, sent once. Raises the ExchangeErrors of answers.read_answer."""
        deadline = self.deadline  # asking for the time below sets another
        params = {name: value for name, value in (kwargs.get("data") or {}).items() if value is not None}
        path = urlsplit(uri).path
        query = encode(params)
        if signed:
            own = {"recvWindow": self._timings.recv_window_ms, "timestamp": self._now_ms()}
            query = encode({**params, **own})
            query += f"&signature={self._hmac_signature(query)}"
        charged = budget.reserve(self._source, weight_of(method, path, params), self._lane)
        outcome = transport.send(
            method.upper(), uri, query=query, headers=self._headers(), limits=self._limits(deadline)
        )
        self._account_for(charged, path, outcome)
        return read_answer(self._without_key(outcome))

    def post_once(self, path: str, payload: str) -> Answer:
        """POST an order's committed payload, byte for byte, with the signature behind it; once."""
        if self._secret is None:
            return Answer("NOT_SENT", message="The client has no API key.")
        body = f"{payload}&signature={self._hmac_signature(payload)}".encode()
        try:
            charged = budget.reserve(
                self._source,
                weight_of("POST", path, {}),
                self._lane,
                orders=orders_of(path),
                account=self._account,
            )
        except RateLimited as error:
            return Answer("NOT_SENT", message=str(error), retry_after_seconds=error.retry_after_seconds)
        outcome = transport.send(
            "POST",
            self._source.base_url + path,
            body=body,
            headers={**self._headers(), "Content-Type": FORM},
            limits=self._limits(math.inf),
            once=True,
        )
        self._account_for(charged, path, outcome)
        return order_answer(self._source.market, path, self._without_key(outcome))

    def _without_key(self, outcome: Reply | Failure) -> Reply | Failure:
        """An exchange or a proxy that echoes our key must not bring it into an error's text."""
        if self._key is None or isinstance(outcome, Failure):
            return outcome
        key = self._key.reveal().encode()
        return replace(outcome, body=outcome.body.replace(key, b"***")) if key in outcome.body else outcome

    def _headers(self) -> dict[str, str]:
        return {"X-MBX-APIKEY": self._key.reveal()} if self._key else {}

    def _limits(self, deadline: float) -> Limits:
        timings = self._timings
        total = min(timings.total_timeout_seconds, deadline - time.monotonic())
        return Limits(timings.connect_timeout_seconds, timings.read_timeout_seconds, total)

    def _account_for(self, charged: budget.Reservation, path: str, outcome: Reply | Failure) -> None:
        """Correct the budget by the answer, and close the gate when the exchange asks for it."""
        if isinstance(outcome, Failure):
            budget.settle(self._source, charged, {})
            return
        budget.settle(self._source, charged, outcome.headers, accurate=path not in HEADER_NOT_ACCURATE)
        if outcome.status == 200:
            return
        parsed = parse(outcome)
        body = parsed if isinstance(parsed, dict) else {}
        code = code_of(body)
        seconds = wait_of(outcome, code, message_of(outcome, body))
        if seconds is None:
            return
        # The count of orders is the account's, and comes without Retry-After: others may go on.
        only_orders = code == TOO_MANY_ORDERS and "Retry-After" not in outcome.headers
        budget.close_gate(self._source, seconds, account=self._account if only_orders else "")


def encode(params: Mapping[str, Any]) -> str:
    """Parameters as they are signed and sent: percent-encoded before signing (else -1022)."""
    return urlencode({name: _text(value) for name, value in params.items()}, quote_via=quote, safe="")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        return format(value, "f")  # 0.00001, never 1E-5: the exchange refuses the latter
    return str(value)
