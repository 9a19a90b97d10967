"""An id for each HTTP request: in the logs, and in the answer's X-Request-ID."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from tradebot.logs import log_context

HEADER = "X-Request-ID"
_SOUND = re.compile(r"[A-Za-z0-9-]{8,64}")  # of a proxy; anything else could forge log lines


class RequestIds:
    """Django middleware: takes the id that the proxy gave, or makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request under its id."""
        given = request.headers.get(HEADER, "")
        request_id = given if _SOUND.fullmatch(given) else uuid.uuid4().hex
        with log_context(http_request=request_id):
            response = self._get_response(request)
        response[HEADER] = request_id
        return response
