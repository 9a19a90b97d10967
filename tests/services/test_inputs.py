"""JSON from outside is read strictly: one object, or a sentence."""

from __future__ import annotations

import pytest

from tradebot.errors import InvalidInput
from tradebot.inputs import load_json_object

NOT_JSON = 'This is not JSON (line 1, column {}); write an object like {{"name": "value"}}.'
NOT_AN_OBJECT = 'The JSON must be an object like {"name": "value"}.'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", NOT_JSON.format(1)),
        (b"{", NOT_JSON.format(2)),
        (b"[]", NOT_AN_OBJECT),
        (b"null", NOT_AN_OBJECT),
        (b"7", NOT_AN_OBJECT),
        (b'{"a": 1, "a": 2}', "The JSON has the key 'a' twice."),
        (b'{"a": NaN}', "The JSON has NaN, which is not a number."),
        (b'{"a": -Infinity}', "The JSON has -Infinity, which is not a number."),
        (b'{"a": "\xff"}', "The JSON is not valid UTF-8."),
        ('{"a": "\ud800"}', "The JSON is not valid UTF-8."),
        (b'{"a":' + b"[" * 10_000, "The JSON is nested too deeply."),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "The JSON is nested too deeply."),
        (b'{"a": ' + b"1" * 5000 + b"}", 'This is not JSON; write an object like {"name": "value"}.'),
        (b'{"a": "' + b"x" * 10_000_000 + b'"}', "The JSON is larger than 1048576 bytes."),
    ],
    ids=lambda value: str(value)[:24],
)
def test_bad_json_gets_a_sentence(data: bytes | str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_json_object(data)
    assert str(caught.value) == message


def test_an_object_is_read() -> None:
    assert load_json_object('{"a": 0.1, "b": null}') == {"a": 0.1, "b": None}
