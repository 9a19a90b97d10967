"""Strict reading of what users type or send: numbers, names, JSON. Raises InvalidInput; all may import it."""

from __future__ import annotations

import json
import re
import unicodedata
from decimal import Decimal
from typing import Any

from tradebot.errors import InvalidInput

MAX_JSON_BYTES = 1_048_576
MAX_JSON_DEPTH = 20
NAME_LENGTH = 100
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, format (RTL, zero width), unassigned


def shown(value: object) -> str:
    """A user's value as it may stand in a message: short, quoted, and without invisible characters."""
    text = str(value)
    text = text if len(text) <= 40 else f"{text[:40]}…"
    return repr(
        "".join("?" if unicodedata.category(character) in _INVISIBLE else character for character in text)
    )


def parse_decimal(
    value: object,
    *,
    minimum: Decimal,
    maximum: Decimal,
    places: int,
    above: bool = False,
    below: bool = False,
) -> Decimal:
    """The number in `value`, exactly as written: "0.1" and the JSON number 0.1 are both Decimal("0.1").

    Bounds are inclusive; `above` and `below` make the lower and the upper one exclusive. Plain digits with a
    point only: NaN, infinity, "-0", "1,5", "1e5", full-width digits, spaces and booleans are refused.
    Raises InvalidInput with a sentence that says what the number must be.
    """
    wanted = f"must be a number {_range_text(minimum, maximum, above=above, below=below)}"
    text = _number_text(value)
    if text is None or not _PLAIN_NUMBER.fullmatch(text) or (text.startswith("-") and not Decimal(text)):
        raise InvalidInput(f"{wanted}, written like 2.5; not {shown(value)}.")
    number = Decimal(text)
    if number < minimum or number > maximum or (above and number == minimum) or (below and number == maximum):
        raise InvalidInput(f"{wanted}; not {shown(value)}.")
    if -int(number.normalize().as_tuple().exponent) > places:
        raise InvalidInput(f"must have at most {places} decimals; {shown(value)} has more.")
    return number


def parse_whole(value: object, *, minimum: int, maximum: int) -> int:
    """The whole number in `value`, an int or its digits. Raises InvalidInput, for 2.0 and True too."""
    is_plain = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        is_plain = True
    number = int(value) if is_plain else None  # type: ignore[call-overload]
    if number is None or not minimum <= number <= maximum or value == "-0":
        raise InvalidInput(f"must be a whole number from {minimum} to {maximum}; not {shown(value)}.")
    return int(number)


def parse_flag(value: object) -> bool:
    """True or False. Raises InvalidInput for anything that only looks like one (1, "yes")."""
    if not isinstance(value, bool):
        raise InvalidInput(f"must be true or false; not {shown(value)}.")
    return value


def clean_name(value: object) -> str:
    """A name that can be read: 1 to 100 visible characters, spaces at the ends removed.

    Raises InvalidInput for control characters (NUL too), zero-width characters, text-direction overrides.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"must be a text; not {shown(value)}.")
    name = value.strip()
    if not name:
        raise InvalidInput("must not be empty; give it a name.")
    if len(name) > NAME_LENGTH:
        raise InvalidInput(f"must have at most {NAME_LENGTH} characters; it has {len(name)}.")
    for character in name:
        if unicodedata.category(character) in _INVISIBLE:
            raise InvalidInput(
                f"must not contain invisible or control characters; U+{ord(character):04X} is one. "
                "Type the name anew."
            )
    return unicodedata.normalize("NFC", name)


def load_json_object(data: bytes | str, *, exact: bool = False) -> dict[str, Any]:
    """The JSON object in `data`. Raises InvalidInput with a sentence; nothing else gets out.

    Numbers with a fraction are floats, or Decimals with the very digits where `exact`.
    Refused: more than 1 MiB, text that is not UTF-8, another value than an object, a key that stands twice,
    NaN and infinities, nesting that no configuration needs, half a surrogate pair.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_JSON_BYTES:
        raise InvalidInput(f"The JSON is larger than {MAX_JSON_BYTES} bytes.")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_once_each,
            parse_constant=_refuse_constant,
            parse_float=Decimal if exact else float,
        )
    except UnicodeDecodeError:
        raise InvalidInput("The JSON is not valid UTF-8.") from None
    except RecursionError:
        raise InvalidInput("The JSON is nested too deeply.") from None
    except ValueError as error:  # JSONDecodeError is one, and so is a number of too many digits
        place = (
            f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise InvalidInput(f'This is not JSON{place}; write an object like {{"name": "value"}}.') from None
    if not isinstance(value, dict):
        raise InvalidInput('The JSON must be an object like {"name": "value"}.')
    _check_tree(value)
    return value


def _number_text(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value) if abs(value) < 10**30 else "too large"
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() and abs(value.adjusted()) < 40 else str(value)
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return None


def _range_text(minimum: Decimal, maximum: Decimal, *, above: bool, below: bool) -> str:
    lower = f"above {minimum:f}" if above else f"from {minimum:f}"
    upper = f"below {maximum:f}" if below else f"at most {maximum:f}"
    return f"{lower} and {upper}"


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidInput(f"The JSON has the key {shown(twice)} twice.")
    return found


def _check_tree(value: object) -> None:
    """Refuse what is nested too deeply to be shown in a message, and texts that UTF-8 can't hold."""
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_JSON_DEPTH:
            raise InvalidInput("The JSON is nested too deeply.")
        if isinstance(item, dict):
            waiting += ((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, list):
            waiting += ((part, depth + 1) for part in item)
        elif isinstance(item, str) and not _is_encodable(item):
            raise InvalidInput("The JSON has half a surrogate pair, which is no character.")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> Any:
    raise InvalidInput(f"The JSON has {name}, which is not a number.")
