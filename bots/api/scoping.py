"""The base of every view: rows of their owner, known query parameters only, 404 for others' rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from bots.api.pagination import PARAMETERS
from tradebot.errors import InvalidInput
from tradebot.inputs import shown


def owned(rows: QuerySet[Any], user: Any, owner_path: str = "user") -> QuerySet[Any]:
    """Those of the rows that `user` may see: a superuser all, others their own."""
    return rows if user.is_superuser else rows.filter(**{owner_path: user})


@contextmanager
def gone_is_404(noun: str) -> Iterator[None]:
    """A row that was deleted between look-up and lock is answered as if it had never been there."""
    try:
        yield
    except InvalidInput as error:
        if error.field != noun:
            raise
        raise NotFound(str(error)) from None


class StrictQuery:
    """Refuses query parameters that the view does not know, and texts that no database takes."""

    query_names: tuple[str, ...] = ()

    def known_parameters(self) -> tuple[str, ...]:
        """Names that may stand behind the question mark."""
        return self.query_names

    def initial(self, request: Request, *args: Any, **options: Any) -> None:
        """Check before the view does anything. Raises InvalidInput."""
        super().initial(request, *args, **options)  # type: ignore[misc]
        known = self.known_parameters()
        faults = {}
        for name, values in request.query_params.lists():
            if name not in known:
                names = f"Parameters are: {', '.join(known)}." if known else "No parameter is taken here."
                faults[name[:40]] = f"There is no parameter {shown(name)}. {names}"
            elif len(values) > 1:
                faults[name] = f"{name} stands twice; give it once."
            elif "\x00" in values[0]:
                faults[name] = f"{name} must not contain a NUL character."
        if faults:
            raise InvalidInput(" ".join(faults.values()), next(iter(faults)), faults)


class OwnedViewSet(StrictQuery, GenericViewSet):
    """Rows by owner. A row of somebody else is answered like one that does not exist, whatever the method.

    A view says which rows there are (`rows`), what they are called (`noun`), and the way to their owner.
    """

    owner_path = "user"
    noun = "row"
    lookup_field = "id"
    filterset_class: Any = None

    def rows(self) -> QuerySet[Any]:
        """All rows that this view is about, whoever owns them."""
        raise NotImplementedError

    def get_queryset(self) -> QuerySet[Any]:
        """Those that the visitor may see."""
        if getattr(self, "swagger_fake_view", False):
            return self.rows().none()
        return owned(self.rows(), self.request.user, self.owner_path)

    def get_object(self) -> Any:
        """The row of the address. Raises NotFound."""
        row = self.get_queryset().filter(pk=self.kwargs["id"]).first()
        if row is None:
            raise NotFound(f"There is no {self.noun} {self.kwargs['id']}.")
        return row

    def known_parameters(self) -> tuple[str, ...]:
        """Filters and pages of a list; elsewhere none."""
        if self.action != "list":
            return self.query_names
        filters = tuple(self.filterset_class.base_filters) if self.filterset_class else ()
        return (*filters, *PARAMETERS)

    def http_method_not_allowed(self, request: Request, *args: Any, **options: Any) -> Response:
        """405, but 404 comes first: somebody else's row does not exist for any method."""
        if "id" in self.kwargs:
            self.get_object()
        answer: Response = super().http_method_not_allowed(request, *args, **options)
        return answer

    def listed(self, rows: QuerySet[Any]) -> Response:
        """A page of the rows, filtered and ordered as asked for."""
        page = self.paginate_queryset(self.filter_queryset(rows))
        answer: Response = self.get_paginated_response(self.get_serializer(page, many=True).data)
        return answer
