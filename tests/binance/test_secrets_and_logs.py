"""The Secret type and the logging filter."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
from dataclasses import asdict, dataclass

import pytest

from tradebot.logs import MaskSecrets, cap_http_loggers, mask
from tradebot.secrets import Secret

TEXT = "canary-0123456789"


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret(TEXT)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>5}",
        f"{secret!r}",
        "".join(map(str, [secret])),
        repr([secret]),
    ]
    assert not any(TEXT in text for text in shown)
    assert secret.reveal() == TEXT


def test_a_secret_does_not_leave_the_process() -> None:
    secret = Secret(TEXT)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert not hasattr(secret, "__dict__")


def test_secrets_compare_by_text_and_only_with_secrets() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret("other")
    assert Secret(TEXT) != TEXT
    assert len({Secret(TEXT), Secret(TEXT)}) == 1
    assert not Secret("")
    assert copy.deepcopy(Secret(TEXT)) == Secret(TEXT)


def test_a_secret_inside_a_dataclass_stays_hidden() -> None:
    @dataclass
    class Key:
        secret: Secret

    assert TEXT not in repr(Key(Secret(TEXT)))
    assert TEXT not in repr(asdict(Key(Secret(TEXT))))


SHAPES = [
    f"GET /api/v3/order?symbol=X&timestamp=1&signature={TEXT}",
    f"signature={TEXT}&x=1",
    f"/order?signature={TEXT} HTTP/1.1",
    f"{{'X-MBX-APIKEY': '{TEXT}'}}",
    f'{{"X-MBX-APIKEY": "{TEXT}"}}',
    f"X-MBX-APIKEY: {TEXT}",
    f"x-mbx-apikey={TEXT}",
    f"[('X-MBX-APIKEY', '{TEXT}')]",
    f"b'X-MBX-APIKEY: {TEXT}\\r\\n'",
    f'{{"apiKey": "{TEXT}", "secretKey": "{TEXT}"}}',
    f"{{'api_key': '{TEXT}', 'api_secret': '{TEXT}'}}",
    f"api_key={TEXT}",
    f"my_api_secret = {TEXT}",
    f'{{\\"listenKey\\": \\"{TEXT}\\"}}',
]


@pytest.mark.parametrize("text", SHAPES)
def test_values_of_secrets_are_masked(text: str) -> None:
    assert TEXT not in mask(text)
    assert "***" in mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "Invalid API-key, IP, or permissions for action.",
        "Signature for this request is not valid.",
        "symbol=BTCUSDT&side=BUY&quantity=0.1",
        "API-key format invalid.",
        "",
    ],
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert mask(text) == text


def _logged(log: logging.Logger) -> io.StringIO:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(MaskSecrets())
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.DEBUG)
    return out


def test_the_filter_masks_messages_arguments_and_tracebacks() -> None:
    log = logging.getLogger("test.masking")
    out = _logged(log)
    log.info("sent %s", f"signature={TEXT}")
    log.info("headers %s", {"X-MBX-APIKEY": TEXT})
    log.info("signature=%s", TEXT)
    log.info("secret %s %r", Secret(TEXT), Secret(TEXT))
    log.info("wrong %d %s", f"apiKey={TEXT}")
    try:
        raise ValueError(f"/api?signature={TEXT}")
    except ValueError:
        log.exception("failed", stack_info=True)
    assert TEXT not in out.getvalue()
    assert "ValueError: /api?***" in out.getvalue()
    assert "secret *** ***" in out.getvalue()


def test_the_loggers_of_the_http_libraries_say_nothing_below_warning() -> None:
    cap_http_loggers()
    log = logging.getLogger("urllib3.connectionpool")
    handlers, propagate = log.handlers, log.propagate
    out = _logged(log)
    try:
        log.debug("GET /api/v3/order?signature=%s", TEXT)
        log.info("plain")
        log.warning("Failed to parse headers (url=/order?signature=%s)", TEXT)
    finally:
        log.handlers, log.propagate = handlers, propagate
    assert out.getvalue() == "Failed to parse headers (url=/order?***)\n"
