"""Signals survive the cache to the bit; poisoned cache values are refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import signal
from trading.signal_codec import signal_from_json, signal_to_json
from trading.types import Signal

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.integers(-(10**12), 4 * 10**12).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)


@given(
    st.builds(
        Signal,
        as_of=TIMES,
        close=NUMBERS,
        ready=st.booleans(),
        enter_long=st.booleans(),
        exit_long=st.booleans(),
        enter_short=st.booleans(),
        exit_short=st.booleans(),
        values=st.dictionaries(st.text(), NUMBERS),
        texts=st.lists(st.text()).map(tuple),
    )
)
def test_a_signal_reads_back_as_itself(value: Signal) -> None:
    assert signal_from_json(json.loads(json.dumps(signal_to_json(value), allow_nan=False))) == value


def test_whole_numbers_read_back_as_floats() -> None:
    data = signal_to_json(signal(close=5.0)) | {"close": 5, "values": {"rsi": 7}}
    read = signal_from_json(data)
    assert (read.close, read.values) == (5.0, {"rsi": 7.0})
    assert isinstance(read.close, float)


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    moment = datetime.fromisoformat("2026-04-01T14:01:00+02:00")
    assert signal_from_json(signal_to_json(signal(as_of=moment))).as_of == moment


@pytest.mark.parametrize(
    "changes",
    [
        {"close": float("nan")},
        {"values": {"rsi": float("inf")}},
        {"as_of": datetime(2026, 4, 1, 12, 1, 0, 1, tzinfo=UTC)},
    ],
)
def test_what_json_cannot_say_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        signal_to_json(signal(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"schema": None},
        {"unknown": 1},
        {"as_of_ms": "1"},
        {"as_of_ms": 1.5},
        {"as_of_ms": True},
        {"as_of_ms": 10**18},
        {"close": None},
        {"close": "100"},
        {"close": True},
        {"close": float("nan")},
        {"close": 10**400},
        {"ready": 1},
        {"enter_long": "true"},
        {"exit_short": None},
        {"values": []},
        {"values": {"rsi": None}},
        {"values": {"rsi": float("inf")}},
        {"values": {1: 1.0}},
        {"texts": "text"},
        {"texts": [1]},
        {"texts": None},
    ],
)
def test_a_poisoned_value_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        signal_from_json(signal_to_json(signal()) | changes)


@pytest.mark.parametrize("data", [None, [], "x", 5, {}, {"schema": 1}])
def test_what_is_no_signal_at_all_is_refused(data: object) -> None:
    with pytest.raises(ValueError):
        signal_from_json(data)


def test_a_missing_field_is_refused() -> None:
    for name in signal_to_json(signal()):
        data = signal_to_json(signal())
        del data[name]
        with pytest.raises(ValueError):
            signal_from_json(data)
