"""Limits across bots: those of one account, and those over all accounts of the visitor."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from bots.api.filters import LimitsFilters
from bots.api.parsers import body, row_number
from bots.api.scoping import OwnedViewSet, gone_is_404, owned
from bots.api.serializers import LimitsChangeSerializer, LimitsSerializer, LimitsSettingsSerializer
from tradebot.errors import InvalidInput
from trading.limits_service import FIELDS, limits_change, limits_create, limits_delete
from trading.models import ExchangeAccount, RiskLimits

READ_ONLY = (*LimitsSerializer().fields, "owner")


@extend_schema_view(
    create=extend_schema(request=LimitsSettingsSerializer, responses={201: LimitsSerializer}),
    partial_update=extend_schema(request=LimitsChangeSerializer(partial=True), responses=LimitsSerializer),
    destroy=extend_schema(responses={204: None}),
)
class LimitsViewSet(OwnedViewSet):
    """Limits of the visitor."""

    noun = "limits row"
    serializer_class = LimitsSerializer
    filterset_class = LimitsFilters

    def rows(self) -> QuerySet[Any]:
        """All."""
        return RiskLimits.objects.select_related("user", "account")

    def list(self, request: Request) -> Response:
        """Limits, by default in the order in which they were made."""
        return self.listed(self.get_queryset())

    def create(self, request: Request) -> Response:
        """Set the limits of an account, or over all accounts where account is null or left out."""
        values = body(request, ("account", *FIELDS), READ_ONLY)
        account = self._account(values.pop("account", None))
        user = account.user if account else request.user
        limits = limits_create(user=user, account=account, values=values)
        where = reverse("limits-row", [limits.pk], request=request)
        return Response(self._shown(limits), status=status.HTTP_201_CREATED, headers={"Location": where})

    def retrieve(self, request: Request, id: int) -> Response:
        """One row of limits."""
        return Response(self._shown(self.get_object()))

    def partial_update(self, request: Request, id: int) -> Response:
        """Change the limits that are sent; null takes one away. They count from the next entry on."""
        limits = self.get_object()
        values = body(request, FIELDS, READ_ONLY)
        with gone_is_404("limits"):
            changed = limits_change(limits=limits, by=request.user, values=values)
        return Response(self._shown(changed))

    def destroy(self, request: Request, id: int) -> Response:
        """Remove the limits."""
        with gone_is_404("limits"):
            limits_delete(limits=self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _account(self, value: object) -> ExchangeAccount | None:
        """The visitor's account of that number; None for None. Raises InvalidInput."""
        if value is None:
            return None
        number = row_number(value)
        rows = owned(ExchangeAccount.objects.select_related("user"), self.request.user)
        account = rows.filter(pk=number).first() if number else None
        if account is None:
            raise InvalidInput("There is no such account; choose one of your own.", "account")
        found: ExchangeAccount = account
        return found

    def _shown(self, limits: RiskLimits) -> dict[str, Any]:
        answer: dict[str, Any] = LimitsSerializer(limits).data
        return answer
