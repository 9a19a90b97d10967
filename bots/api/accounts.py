"""Exchange accounts: keys go in and never come out."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from bots.api.filters import AccountFilters
from bots.api.parsers import body
from bots.api.scoping import OwnedViewSet
from bots.api.serializers import AccountSerializer, AccountSettingsSerializer
from tradebot.errors import InvalidInput
from tradebot.inputs import parse_flag, shown
from trading.accounts import (
    account_change,
    account_change_key,
    account_check,
    account_create,
    account_delete,
)
from trading.models import ExchangeAccount, ExchangeSecret

KEYS = ("api_key", "api_secret")
SETTINGS = ("name", "environment", "is_exclusive", *KEYS)
READ_ONLY = (*AccountSerializer().fields, "owner")


@extend_schema_view(
    create=extend_schema(request=AccountSettingsSerializer, responses={201: AccountSerializer}),
    update=extend_schema(request=AccountSettingsSerializer, responses=AccountSerializer),
    partial_update=extend_schema(
        request=AccountSettingsSerializer(partial=True), responses=AccountSerializer
    ),
    destroy=extend_schema(responses={204: None}),
)
class AccountViewSet(OwnedViewSet):
    """Accounts of the visitor."""

    noun = "account"
    serializer_class = AccountSerializer
    filterset_class = AccountFilters

    def rows(self) -> QuerySet[Any]:
        """All, each with whether it has a key; no key is read."""
        secrets = ExchangeSecret.objects.filter(account_id=OuterRef("pk"))
        return ExchangeAccount.objects.annotate(has_key=Exists(secrets)).select_related("user")

    def list(self, request: Request) -> Response:
        """Accounts, by default in the order in which they were made."""
        return self.listed(self.get_queryset())

    def create(self, request: Request) -> Response:
        """A new account. A paper account needs a name only: it gets a key by itself."""
        values = _checked(body(request, SETTINGS, READ_ONLY), None)
        account = account_create(user=request.user, **values)
        where = reverse("account", [account.pk], request=request)
        return Response(self._shown(account), status=status.HTTP_201_CREATED, headers={"Location": where})

    def retrieve(self, request: Request, id: int) -> Response:
        """One account."""
        return Response(self._shown(self.get_object()))

    def update(self, request: Request, id: int) -> Response:
        """Set name and is_exclusive, and with api_key and api_secret another key. The environment stays."""
        account = self.get_object()
        values = body(request, SETTINGS, READ_ONLY)
        if "name" not in values:
            raise InvalidInput("Name is missing; PATCH changes single settings.", "name")
        return self._change(account, {"is_exclusive": True} | values)

    def partial_update(self, request: Request, id: int) -> Response:
        """Change what is sent. The environment of an account never changes."""
        return self._change(self.get_object(), body(request, SETTINGS, READ_ONLY))

    def destroy(self, request: Request, id: int) -> Response:
        """Delete the account with its key. Refused where bots are, or were, on it."""
        account_delete(account=self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _change(self, account: ExchangeAccount, given: dict[str, Any]) -> Response:
        values = _checked(given, account)
        values.pop("environment", None)
        name = values.get("name", account.name)
        is_exclusive = values.get("is_exclusive", account.is_exclusive)
        keys = {field: values[field] for field in KEYS if field in values}
        with transaction.atomic():
            account_check(
                user=account.user, name=name, environment=account.environment, account=account, **keys
            )
            account_change(account=account, name=name, is_exclusive=is_exclusive)
            if any(keys.values()):
                account_change_key(
                    account=account,
                    api_key=keys.get("api_key", ""),
                    api_secret=keys.get("api_secret", ""),
                    by=self.request.user,
                )
        return Response(self._shown(account))

    def _shown(self, account: ExchangeAccount) -> dict[str, Any]:
        row = self.get_queryset().filter(pk=account.pk).first()
        if row is None:
            raise NotFound(f"There is no account {account.pk}.")
        shown_account: dict[str, Any] = AccountSerializer(row).data
        return shown_account


def _checked(values: dict[str, Any], account: ExchangeAccount | None) -> dict[str, Any]:
    """The values, each of its kind. Raises InvalidInput; no message repeats a key."""
    faults = {}
    if account is None and "name" not in values:
        faults["name"] = "Name is missing; give the account one."
    for field in KEYS:
        if field in values and not isinstance(values[field], str):
            faults[field] = f"{field} must be a text of 64 letters and digits."
    if "is_exclusive" in values:
        try:
            parse_flag(values["is_exclusive"])
        except InvalidInput as error:
            faults["is_exclusive"] = f"is_exclusive {error}"
    if account is not None and values.get("environment", account.environment) != account.environment:
        faults["environment"] = (
            f"The environment of an account never changes: it is {account.environment}, "
            f"not {shown(values['environment'])}. Make another account."
        )
    if faults:
        raise InvalidInput(" ".join(faults.values()), next(iter(faults)), faults)
    return dict(values)
