"""Logging: what looks like a key, a secret or a signature is masked before a handler sees it."""

from __future__ import annotations

import logging
import re
import traceback

from tradebot.secrets import MASK

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
