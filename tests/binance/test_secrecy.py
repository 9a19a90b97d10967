"""No key, no secret and no signature in any text that leaves the client."""

from __future__ import annotations

import logging
import pickle
import traceback

import pytest

from tests.binance.conftest import API_KEY, API_SECRET, ORDER, PAYLOAD, Clients
from tests.support.fake_exchange import FakeExchange, Script, error, hang_up, raw, reply, reset, silent
from tradebot.binance.client import ExchangeClient
from tradebot.errors import ExchangeError, TradebotError
from tradebot.redis import redis_client

CANARIES = (API_KEY, API_SECRET, "signature=")


def _is_clean(text: str, exchange: FakeExchange) -> bool:
    signatures = [seen.target.partition("signature=")[2] for seen in exchange.requests]
    signatures += [seen.body.decode().partition("signature=")[2] for seen in exchange.requests]
    return not any(word in text for word in (*CANARIES, *filter(None, signatures)))


def _echo(status: int) -> Script:
    """An answer whose message repeats the request, as some proxies do."""
    text = f"bad request: /api/v3/order?symbol=X&signature=0123abcd X-MBX-APIKEY: {API_KEY}"
    return error(status, -1100, text)


OUTCOMES = {
    "silent": silent,
    "reset": reset,
    "closed": hang_up,
    "broken header": raw(b"HTTP/1.1 200 OK\r\nContent-Length 5\r\n broken\r\n\r\nhello", keep=False),
    "not HTTP": raw(b"what\r\n\r\n", keep=False),
    "502": reply(502, b"<html>"),
    "400": error(400, -1022, "Signature for this request is not valid."),
    "429": error(429, -1003, "Too many requests."),
    "401": error(401, -2015, "Invalid API-key, IP, or permissions for action."),
    "redirect": reply(302, b"", {"Location": "/elsewhere"}),
    "echo": _echo(400),
    "bare echo": error(400, -1100, f"nobody knows {API_KEY}"),
    "good": reply(200, {"orderId": 1}),
}


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Somebody switched on every logger that there is, after the project had set them."""
    caplog.set_level(logging.DEBUG)
    for name in (
        "urllib3",
        "urllib3.connectionpool",
        "urllib3.connection",
        "binance",
        "requests",
        "tradebot",
    ):
        caplog.set_level(logging.DEBUG, logger=name)
    caplog.set_level(logging.DEBUG, logger="binance.base_client")
    return caplog


def _ask(client: ExchangeClient) -> str:
    """The whole trace of a signed question, with the exceptions behind it."""
    try:
        client.order("BTCUSDT", "tb1-x-1-1")
    except ExchangeError as failure:
        text = "".join(traceback.format_exception(failure)) + repr(failure) + str(failure.args)
        behind: BaseException | None = failure
        while behind is not None:
            text += repr(behind) + repr(vars(behind))
            behind = behind.__context__ or behind.__cause__
        return text
    return ""


@pytest.mark.parametrize("script", OUTCOMES.values(), ids=OUTCOMES.keys())
def test_neither_errors_nor_answers_nor_logs_hold_a_secret(
    exchange: FakeExchange,
    client: Clients,
    everything_logged: pytest.LogCaptureFixture,
    script: Script,
) -> None:
    exchange.on(ORDER, script)
    one = client()
    texts = [repr(one.post_order(ORDER, PAYLOAD)), _ask(one), repr(one), repr(vars(one))]
    assert not any(part in text for text in texts for part in ("recvWindow=5000", "origClientOrderId=tb1"))
    texts += [repr(vars(one._wire))]
    texts += [record.getMessage() + repr(record.args) for record in everything_logged.records]
    assert exchange.to(ORDER)
    assert _is_clean("\n".join(texts), exchange)


def test_nothing_in_redis_holds_a_secret(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(ORDER, reply(200, {"orderId": 1}))
    client().post_order(ORDER, PAYLOAD)
    client().order("BTCUSDT", "tb1-x-1-1")
    dump = b"".join(name + redis_client().dump(name) for name in redis_client().keys("*"))
    assert _is_clean(dump.decode("latin-1"), exchange)


def test_the_innermost_errors_hide_no_signed_address(exchange: FakeExchange, client: Clients) -> None:
    exchange.on(ORDER, reset)
    with pytest.raises(TradebotError) as raised:
        client().order("BTCUSDT", "tb1-x-1-1")
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


def test_a_client_can_t_be_pickled_into_a_message(client: Clients) -> None:
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(client())
