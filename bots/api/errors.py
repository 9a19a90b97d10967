"""One shape for every error of the API, {"error": {"code", "message", "fields"}}, and which status it has."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import redis
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from tradebot.errors import ExchangeError, InvalidInput, Refused, StaleData, TradebotError

logger = logging.getLogger(__name__)

NOTHING_HERE = "There is nothing at this address. Addresses end with a slash; /api/v1/docs/ lists them."
FAILED = "Something failed in TradeBot, and it was logged. Nothing more is known here."


class TooLarge(exceptions.APIException):
    """Raised for a body of more bytes than any configuration needs."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class Unavailable(exceptions.APIException):
    """Raised when what the answer needs does not answer itself."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "unavailable"


class WrongCredentials(exceptions.APIException):
    """Raised for a login that is none: wrong name, wrong password or a deactivated user, all the same."""

    status_code = HTTPStatus.UNAUTHORIZED
    default_code = "wrong_credentials"
    default_detail = "Username or password is wrong."


def body_of(code: str, message: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
    """The body of an error. `fields` has a sentence for each input at fault."""
    return {"error": {"code": code, "message": message, "fields": fields or {}}}


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """What an exception of a view is answered with; DRF calls it."""
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    status, code, message = _of_others(error)
    if isinstance(error, IntegrityError):
        logger.warning("%s was refused by the database: %s", context.get("view"), error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s failed", context.get("view"), exc_info=error)
        got_request_exception.send(sender=None, request=context.get("request"))
    fields = error.fields if isinstance(error, InvalidInput) else {}
    return Response(body_of(code, message, fields), status=status)


def _of_framework(error: exceptions.APIException) -> Response:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    if isinstance(error, exceptions.ValidationError):
        fields = _flat(error.detail)
        message = " ".join(dict.fromkeys(fields.values()))
        return Response(body_of("invalid", message, fields), status=error.status_code, headers=headers)
    body = body_of(str(error.default_code), str(error.detail))
    return Response(body, status=error.status_code, headers=headers)


def _of_others(error: Exception) -> tuple[HTTPStatus, str, str]:
    for kinds, status, code, message in _TABLE:
        if isinstance(error, kinds):
            return status, code, message or str(error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, "failed", FAILED


_TABLE: tuple[tuple[type[Exception] | tuple[type[Exception], ...], HTTPStatus, str, str], ...] = (
    (InvalidInput, HTTPStatus.BAD_REQUEST, "invalid", ""),
    (Refused, HTTPStatus.CONFLICT, "refused", ""),
    (StaleData, HTTPStatus.SERVICE_UNAVAILABLE, "not_known", ""),
    (ExchangeError, HTTPStatus.CONFLICT, "exchange", ""),  # it can't be asked now: nothing was done
    (TradebotError, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", ""),
    (Http404, HTTPStatus.NOT_FOUND, "not_found", NOTHING_HERE),
    (PermissionDenied, HTTPStatus.FORBIDDEN, "permission_denied", "You may not do this."),
    (RequestDataTooBig, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The request is too large."),
    (
        (SuspiciousOperation, UnreadablePostError),
        HTTPStatus.BAD_REQUEST,
        "bad_request",
        "The request can't be read; check its address, headers and body.",
    ),
    (
        IntegrityError,
        HTTPStatus.CONFLICT,
        "refused",
        "This was changed from elsewhere at the same moment; look at it and try again.",
    ),
    (
        (OperationalError, InterfaceError),
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "The database does not answer; try again in a moment.",
    ),
    (
        redis.RedisError,
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "Redis does not answer; try again in a moment.",
    ),
)


def _flat(detail: Any, name: str = "") -> dict[str, str]:
    """The sentences of a validation error, by field."""
    if isinstance(detail, dict):
        found: dict[str, str] = {}
        for key, value in detail.items():
            found |= _flat(value, f"{name}.{key}" if name else str(key))
        return found
    texts = detail if isinstance(detail, list) else [detail]
    return {name or "request": " ".join(str(text) for text in texts)}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's own 400 (an unknown Host header), in the API's shape under /api/."""
    return _plain(request, exception) or defaults.bad_request(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's own 404, in the API's shape under /api/."""
    return _plain(request, Http404()) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's own 500, in the API's shape under /api/."""
    return _plain(request, RuntimeError()) or defaults.server_error(request)


def _plain(request: HttpRequest, error: Exception) -> HttpResponse | None:
    if not request.path.startswith("/api/"):
        return None
    status, code, message = _of_others(error)
    return JsonResponse(body_of(code, message), status=status)
