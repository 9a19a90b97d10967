"""The one tree of named errors, ordered by consequence. Every `except` in the project names one of these."""

from __future__ import annotations


class TradebotError(Exception):
    """Base of every error that TradeBot raises itself; its text is a sentence that says what to do."""


class ConfigError(TradebotError):
    """Raised when an environment variable or a setting is missing or broken; the text names it."""


class InvalidInput(TradebotError):
    """Raised when a user's input can't be taken; nothing was changed.

    `field` names the input at fault ("" when it is not one field's), `fields` holds all of them.
    """

    def __init__(self, message: str, field: str = "", fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.fields = fields or ({field: message} if field else {})


class Refused(TradebotError):
    """Raised when the state of things forbids what was asked (a delete while in position)."""


class ExchangeError(TradebotError):
    """Base of what can go wrong between TradeBot and the exchange."""

    def __init__(self, message: str, *, code: int | None = None, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status


class Transient(ExchangeError):
    """Raised when a read failed for a reason that passes: network, 5xx, overload. Reads may be repeated."""


class NotSent(Transient):
    """Raised when no byte of the request left: connection refused, DNS or TLS failure."""


class RateLimited(ExchangeError):
    """Raised when the exchange, or TradeBot's own budget, allows no request now."""

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float,
        code: int | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message, code=code, http_status=http_status)
        self.retry_after_seconds = retry_after_seconds


class Rejected(ExchangeError):
    """Raised when the exchange answered a definite no (4xx with a known code)."""


class OrderNotFound(Rejected):
    """Raised when the exchange says that it does not know the order (-2013, -2011). Never final by itself."""


class KeyRefused(Rejected):
    """Raised when the exchange refuses the API key or its signature (-2014, -2015, -1022, -1002, -2017)."""


class OutcomeUnknown(ExchangeError):
    """Raised when nobody can say yet whether a request took effect. Unknown is never "failed"."""


class KeyDecryptFailed(TradebotError):
    """Raised when a stored API key can't be decrypted with the configured FERNET_KEYS."""


class ClientInitFailed(TradebotError):
    """Raised when a client for an account can't be made (no key, environment not allowed)."""


class StaleData(TradebotError):
    """Raised when market data is missing or too old to act on."""


class UnknownSymbol(TradebotError):
    """Raised when a symbol is not in the symbol cache of its source."""


class BotBusy(TradebotError):
    """Raised when another run holds the bot's row lock; the run is skipped at once."""


class RiskVeto(TradebotError):
    """Raised when a rule of risk or money forbids an order; the text is the reason shown to the owner."""


class LimitReached(RiskVeto):
    """Raised when a limit across bots forbids an entry.

    `limits_id` is the row of the limits, `scope` "account" or "owner", `limit` the limit's name in words.
    """

    def __init__(self, message: str, *, limits_id: int, scope: str, limit: str) -> None:
        super().__init__(message)
        self.limits_id = limits_id
        self.scope = scope
        self.limit = limit


class IllegalTransition(TradebotError):
    """Raised when an order request is asked to leave its state by a way the protocol does not have."""


class BooksDiffer(TradebotError):
    """Raised when the journal and the exchange, or two tables of the journal, do not agree."""
