"""The OpenAPI schema, its Swagger page from our own static files, and the answer where nothing is."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from bots.api.errors import NOTHING_HERE
from bots.api.scoping import StrictQuery

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "fields"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "A sentence that says what to do."},
                "fields": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "description": "A sentence for each input at fault.",
                },
            },
        }
    },
}


class TokenScheme(KnoxTokenScheme):
    """How a token is sent."""

    target_class = "bots.api.tokens.TokenAuthentication"


class OnceGenerator(SchemaGenerator):
    """Makes the schema once a process: it is the same for everybody, and takes a while."""

    _made: dict[bool, Any] = {}

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        """The schema."""
        if public not in self._made:
            self._made[public] = super().get_schema(request, public)
        return self._made[public]


def add_errors(result: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Give every operation its errors: they all have one shape."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for operations in result.get("paths", {}).values():
        for operation in operations.values():
            operation["responses"]["4XX"] = {
                "description": "Not done; nothing was changed.",
                "content": content,
            }
            operation["responses"]["503"] = {"description": "Something does not answer.", "content": content}
    return result


class SchemaView(StrictQuery, SpectacularAPIView):
    """The schema, as JSON unless YAML is asked for by the Accept header."""

    generator_class = OnceGenerator
    content_negotiation_class = DefaultContentNegotiation
    permission_classes = [AllowAny]
    renderer_classes = [
        OpenApiJsonRenderer2,
        OpenApiJsonRenderer,
        OpenApiYamlRenderer,
        OpenApiYamlRenderer2,
    ]


class DocsView(StrictQuery, SpectacularSwaggerSplitView):
    """The Swagger page; nothing on it comes from elsewhere."""

    permission_classes = [AllowAny]
    query_names = ("script",)


class NothingHereView(APIView):
    """Every other address, for every method."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    schema = None

    def initial(self, request: Request, *args: Any, **options: Any) -> None:
        """404 before anything else."""
        raise Http404(NOTHING_HERE)
