"""What the exchange answers when it refuses: code, text, HTTP status (binance-spot-api-docs, errors.md)."""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN_STATUS_TEXT = (
    "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
)


class ApiError(Exception):
    """Raised to end a request with `{"code": code, "msg": message}` and this HTTP status."""

    def __init__(
        self, code: int, message: str, *, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status
        self.headers = dict(headers or {})


def illegal_characters(name: str, legal: str) -> ApiError:
    """-1100: a parameter that does not match its pattern."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def missing(name: str) -> ApiError:
    """-1102: a mandatory parameter is not there or cannot be read."""
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def one_of_missing(first: str, second: str) -> ApiError:
    """-1102: neither of two parameters is there."""
    return ApiError(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def not_required(name: str) -> ApiError:
    """-1106: a parameter that this order type does not take."""
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def filter_failure(name: str) -> ApiError:
    """-1013: a filter of the symbol refused the order before the engine saw it."""
    return ApiError(-1013, f"Filter failure: {name}")


def rejected(message: str) -> ApiError:
    """-2010: the matching engine refused the order."""
    return ApiError(-2010, message)


def cancel_rejected(message: str = "Unknown order sent.") -> ApiError:
    """-2011: the matching engine refused the cancel."""
    return ApiError(-2011, message)


def invalid_symbol() -> ApiError:
    """-1121: no such symbol here."""
    return ApiError(-1121, "Invalid symbol.")


def no_such_order() -> ApiError:
    """-2013: a query did not find the order."""
    return ApiError(-2013, "Order does not exist.")


def key_refused() -> ApiError:
    """-2015: unknown, revoked or foreign key."""
    return ApiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)


def key_malformed() -> ApiError:
    """-2014: no key, or one with characters that no key has."""
    return ApiError(-2014, "API-key format invalid.", status=401)


INSUFFICIENT = "Account has insufficient balance for requested action."
DUPLICATE = "Duplicate order sent."
CLOSED = "Market is closed."
