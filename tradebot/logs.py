"""Logging: secrets are masked before a handler sees them; lines carry the ids of what is being done."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from tradebot.secrets import MASK

Id = int | str
_ids: ContextVar[Mapping[str, Id]] = ContextVar("log_ids", default={})  # noqa: B039 -- never changed in place

# a name, a separator with quotes as in URLs, headers, JSON and reprs of dicts and tuples, then the value
_SECRET = re.compile(
    r"""(?P<name>(?:signature|x-mbx-apikey|api[_-]?key|api[_-]?secret|secret[_-]?key|listen[_-]?key)\b)
        (?P<between>\\?["']?\s*[:=]\s*(?:b?\\?["'])? | \\?["']\s*,\s*b?\\?["'])
        (?P<value>[^\s"'&,;)}\]\\]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_NOISY = (
    "urllib3.connectionpool",  # at DEBUG it prints the path of a request with its signature
    "urllib3.connection",
    "binance.base_client",  # its verbose mode prints signed bodies
)


def mask(text: str) -> str:
    """`text` with signatures (name and all) and the values of API keys and secrets replaced by `***`."""
    return _SECRET.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    if found["name"].lower() == "signature":
        return MASK
    return f"{found['name']}{found['between']}{MASK}"


class MaskSecrets(logging.Filter):
    """Masks message, arguments and exception text of every record. Belongs on handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always lets the record through, masked."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # arguments that don't fit: show both, as logging would not
            message = f"{record.msg} {record.args!r}"
        record.msg, record.args = mask(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if record.exc_text:
            record.exc_text = mask(record.exc_text)
        if record.stack_info:
            record.stack_info = mask(record.stack_info)
        return True


class _WarningsOnly(MaskSecrets):
    """Drops what is below WARNING, whatever level somebody sets on the logger, and masks the rest."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING and super().filter(record)


def cap_http_loggers() -> None:
    """Cap the loggers that would print signed requests at WARNING. May be called more than once."""
    for name in _NOISY:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if not any(isinstance(present, _WarningsOnly) for present in logger.filters):
            logger.addFilter(_WarningsOnly())


@contextmanager
def log_context(**ids: Id) -> Iterator[None]:
    """Have each line that is logged within the block carry these ids (bot=3), beside outer ones."""
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def add_log_ids(**ids: Id) -> None:
    """Add ids that become known later; they last until the log_context() around this ends."""
    _ids.set({**_ids.get(), **ids})


def log_ids() -> dict[str, Id]:
    """The ids that lines of this thread carry now."""
    return dict(_ids.get())


class TextLine(logging.Formatter):
    """One line for people; the ids come last: `... sent [bot=3 run=9]`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without its traceback."""
        ids = " ".join(f"{name}={value}" for name, value in _ids.get().items())
        return super().formatMessage(record) + (f" [{ids}]" if ids else "")


class JsonLine(JsonFormatter):
    """One JSON object a line: time, level, logger, message, the ids, and exception and stack where there are.

    No other attribute of a record is written: MaskSecrets has masked these only.
    """

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Fill the object; python-json-logger offers the exception unmasked, the record holds it masked."""
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()
        log_data.update(_ids.get())
        exception = record.exc_text or message_dict.get("exc_info")
        if exception:
            log_data["exception"] = mask(str(exception))
        if record.stack_info:
            log_data["stack"] = mask(record.stack_info)
