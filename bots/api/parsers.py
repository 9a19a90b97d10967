"""Request bodies: one strict JSON object of at most 1 MiB, or an error; numbers keep their digits."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import IO, Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from bots.api.errors import TooLarge
from tradebot.errors import InvalidInput
from tradebot.inputs import MAX_JSON_BYTES, load_json_object, shown

logger = logging.getLogger(__name__)

TOO_LARGE = f"The body is larger than {MAX_JSON_BYTES} bytes."


class StrictJSONParser(BaseParser):
    """Reads JSON as tradebot.inputs does: no key twice, no NaN, no deep nesting; 0.1 is Decimal("0.1")."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The object. Raises InvalidInput, or TooLarge without reading further."""
        data = stream.read(MAX_JSON_BYTES + 1)
        if len(data) > MAX_JSON_BYTES:
            raise TooLarge(TOO_LARGE)
        return load_json_object(data, exact=True)


class JSONOnly(DefaultContentNegotiation):
    """Answers JSON whatever the client accepts: there is nothing else to choose from."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        """The first renderer."""
        return renderers[0], renderers[0].media_type


def body(request: Request, writable: Collection[str], read_only: Collection[str] = ()) -> dict[str, Any]:
    """The request's object. Raises InvalidInput, with the known fields, for a field that nobody may set.

    An empty body is an empty object.
    """
    values = dict(request.data)
    known = f"Fields are: {', '.join(writable)}." if writable else "No field is taken here."
    faults = {}
    for name in values:
        if name in read_only and name not in writable:
            faults[name] = f"{shown(name)} can only be read. {known}"
        elif name not in writable:
            faults[str(name)[:40]] = f"There is no field {shown(name)}. {known}"
    if tried := sorted(set(values) & set(read_only) - set(writable)):
        logger.warning("user %s tried to set %s at %s", request.user.pk, ", ".join(tried), request.path)
    if faults:
        raise InvalidInput(" ".join(faults.values()), next(iter(faults)), faults)
    return values


def row_number(value: object) -> int | None:
    """The number of a row that a field names, or None where it can be none."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**18
    return int(value) if is_number else None  # type: ignore[call-overload,no-any-return]
