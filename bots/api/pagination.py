"""Pages of lists: {next, results}, without counting the rows that nobody asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from tradebot.errors import InvalidInput
from tradebot.inputs import parse_whole

PAGE_SIZE, LARGEST_PAGE_SIZE, LAST_PAGE = 50, 200, 100_000
PARAMETERS = ("page", "page_size")


class Pages(BasePagination):
    """`page` from 1 on and `page_size` up to 200; `next` is the address of the next page, or null."""

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: Any = None) -> list[Any]:
        """The page's rows, in one query that looks one row further. Raises InvalidInput."""
        self.request = request
        self.page = _whole(request, "page", 1, LAST_PAGE)
        size = _whole(request, "page_size", PAGE_SIZE, LARGEST_PAGE_SIZE)
        first = (self.page - 1) * size
        rows = list(queryset[first : first + size + 1])
        self.has_next = len(rows) > size
        return rows[:size]

    def get_paginated_response(self, data: Sequence[Any]) -> Response:
        """The page with the address of the next one."""
        here = self.request.build_absolute_uri()
        following = replace_query_param(here, "page", self.page + 1) if self.has_next else None
        return Response({"next": following, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The shape, for the OpenAPI schema."""
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {
                "next": {"type": "string", "format": "uri", "nullable": True},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """The two parameters, for the OpenAPI schema."""
        return [
            _parameter("page", 1, LAST_PAGE, "Which page, from 1 on."),
            _parameter("page_size", PAGE_SIZE, LARGEST_PAGE_SIZE, "Rows on a page."),
        ]


def _whole(request: Request, name: str, default: int, maximum: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return parse_whole(text, minimum=1, maximum=maximum)
    except InvalidInput as error:
        raise InvalidInput(f"{name} {error}", name) from None


def _parameter(name: str, default: int, maximum: int, text: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
