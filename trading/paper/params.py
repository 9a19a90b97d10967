"""Request parameters: query and body, their signature and their types, with the exchange's own complaints."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from urllib.parse import unquote_plus

from trading.paper.errors import ApiError, illegal_characters, missing

DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER_RANGE = r"^[0-9]{1,20}$"
SYMBOL_RANGE = r"^[\w\-._&&[^a-z]]{1,50}$"  # as the exchange words it: word characters, no lower case
CLIENT_ID_RANGE = r"^[a-zA-Z0-9-_]{1,36}$"
KEY_RANGE = re.compile(r"[A-Za-z0-9_-]{1,128}")
MICROSECONDS_FROM = 10**15
LARGEST_INTEGER = 2**63 - 1
DEFAULT_RECV_WINDOW = Decimal(5000)
LONGEST_RECV_WINDOW = Decimal(60_000)
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_INTEGER = re.compile(r"[0-9]{1,20}")
_SYMBOL = re.compile(r"[\w\-.]{1,50}")
_LOWER_ASCII = re.compile(r"[a-z]")
_CLIENT_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}")
_SIGNATURE = re.compile(r"(?:^|&)signature=([^&]*)$")


def split_signature(query: str, body: str) -> tuple[str, str | None]:
    """The signed payload (query and body without separator) and the signature, which ends one of them.

    The bytes are those that came over the wire: nothing is decoded or put in another order.
    """
    for place, text in enumerate((query, body)):
        found = _SIGNATURE.search(text)
        if found:
            rest = text[: found.start()]
            return (rest + body if place == 0 else query + rest), found.group(1)
    return query + body, None


def signature_of(secret: str, payload: str) -> str:
    """Hex HMAC-SHA256 of the payload (rest-api.md, "SIGNED Endpoint security")."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def check_time(timestamp: int, recv_window: Decimal, server_ms: int, *, late_only: bool = False) -> None:
    """Raise -1021 unless timestamp < server + 1000 and server - timestamp <= recvWindow ("Timing security").

    `late_only` is the second check, just before the matching engine, which looks at the second part again.
    """
    milliseconds = timestamp / Decimal(1000) if timestamp >= MICROSECONDS_FROM else Decimal(timestamp)
    if not late_only and milliseconds >= server_ms + 1000:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if server_ms - milliseconds > recv_window:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


class Params:
    """Parameters by name. Each is taken once with the type it should have; `finish` refuses what is left."""

    def __init__(self, query: str, body: str) -> None:
        """Parse both; a name in both counts as in the query, a name twice in one of them is -1101."""
        values = _parse(body)
        values.update(_parse(query))
        self.was_signed = values.pop("signature", None) is not None
        self._values = values
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def sent(self, *names: str) -> dict[str, str]:
        """Those of these parameters that were sent, as they are; they count as taken."""
        self._taken.update(names)
        return {name: self._values[name] for name in names if name in self._values}

    def peek(self, name: str) -> str | None:
        """A value without taking it."""
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        """A value as it is; -1105 when it was sent empty."""
        self._taken.add(name)
        value = self._values.get(name)
        if value is not None and not value.strip():
            raise ApiError(-1105, f"Parameter '{name}' was empty.")
        return value

    def needed(self, name: str) -> str:
        """A value that must be there; -1102 when it is not."""
        value = self._values.get(name)
        self._taken.add(name)
        if value is None or not value.strip():
            raise missing(name)
        return value

    def decimal(self, name: str) -> Decimal | None:
        """A number without sign and exponent; -1100 otherwise."""
        value = self.text(name)
        if value is None:
            return None
        if not _DECIMAL.fullmatch(value) or not value.isascii():
            raise illegal_characters(name, DECIMAL_RANGE)
        return Decimal(value)

    def integer(self, name: str, default: int | None = None) -> int | None:
        """A whole number without sign; -1100 otherwise, -1108 beyond 63 bits."""
        value = self.text(name)
        if value is None:
            return default
        if not _INTEGER.fullmatch(value) or not value.isascii():
            raise illegal_characters(name, INTEGER_RANGE)
        if int(value) > LARGEST_INTEGER:
            raise ApiError(-1108, f"Parameter '{name}' overflowed.")
        return int(value)

    def limit(self, default: int, largest: int) -> int:
        """The limit parameter, cut at the largest that the endpoint gives; -1102 for zero."""
        value = self.integer("limit", default)
        assert value is not None  # there is a default
        if value == 0:
            raise missing("limit")
        return min(value, largest)

    def boolean(self, name: str, default: bool) -> bool:
        """true or false in any case; -1102 otherwise."""
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise missing(name)
        return value.lower() == "true"

    def symbol(self, name: str = "symbol") -> str:
        """A symbol's name, which may be non-ASCII; -1100 for lower case and other characters."""
        value = self.needed(name)
        if not _SYMBOL.fullmatch(value) or _LOWER_ASCII.search(value):
            raise illegal_characters(name, SYMBOL_RANGE)
        return value

    def client_id(self, name: str) -> str | None:
        """A client order id; -1100 for other characters or more than 36."""
        value = self.text(name)
        if value is not None and not _CLIENT_ID.fullmatch(value):
            raise illegal_characters(name, CLIENT_ID_RANGE)
        return value

    def choice(self, name: str, allowed: Iterable[str], error: ApiError) -> str | None:
        """One of `allowed`; otherwise `error`."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise error
        return value

    def names(self, name: str) -> list[str] | None:
        """A JSON list of strings, as in symbols=["BTCUSDT","ETHUSDT"]; -1100 or -1151 otherwise."""
        value = self.text(name)
        if value is None:
            return None
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if not isinstance(found, list) or not found or not all(isinstance(x, str) for x in found):
            raise illegal_characters(name, '^\\["..."(,"...")*\\]$')
        if len(set(found)) != len(found):
            raise ApiError(-1151, "Symbol is present multiple times in the list.")
        return found

    def finish(self) -> None:
        """Refuse parameters that nobody took: -1104."""
        unread = set(self._values) - self._taken
        if unread:
            sent = len(self._values)
            raise ApiError(
                -1104,
                f"Not all sent parameters were read; read '{sent - len(unread)}' parameter(s) "
                f"but was sent '{sent}'.",
            )


def _parse(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in text.split("&") if text else []:
        name, _, value = part.partition("=")
        name = unquote_plus(name, errors="replace")
        if name in values:
            raise ApiError(-1101, f"Duplicate values for parameter '{name}' detected.")
        values[name] = unquote_plus(value, errors="replace")
    return values
