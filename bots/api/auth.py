"""Login makes a token that expires, logout ends it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate, logout, user_logged_in
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from knox.models import AbstractAuthToken, get_token_model
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bots.api.errors import WrongCredentials
from bots.api.parsers import body
from bots.api.scoping import StrictQuery
from bots.api.throttles import LoginPerMinute
from tradebot.errors import InvalidInput

LONGEST = {"username": 150, "password": 4096}


class LoginSerializer(serializers.Serializer):
    """Who logs in."""

    username = serializers.CharField(max_length=LONGEST["username"])
    password = serializers.CharField(max_length=LONGEST["password"])


class TokenSerializer(serializers.Serializer):
    """A token, shown this once, and until when it holds."""

    token = serializers.CharField()
    expiry = serializers.DateTimeField()


class LoginView(StrictQuery, APIView):
    """A token for a user name and a password."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes = [LoginPerMinute]

    @extend_schema(operation_id="login", request=LoginSerializer, responses=TokenSerializer)
    def post(self, request: Request) -> Response:
        """Log in. The token goes into the header `Authorization: Token <token>`."""
        values = _credentials(body(request, tuple(LONGEST)))
        user = None
        if "\x00" not in values["username"]:
            user = authenticate(request._request, **values)
        if user is None:
            raise WrongCredentials()
        tokens = get_token_model().objects
        tokens.filter(user=user, expiry__lt=timezone.now()).delete()
        row, token = tokens.create(user)
        user_logged_in.send(sender=user.__class__, request=request._request, user=user)
        return Response(TokenSerializer({"token": token, "expiry": row.expiry}).data)


class LogoutView(StrictQuery, APIView):
    """The end of a token or a session."""

    @extend_schema(operation_id="logout", request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """Log out: the token of this request, or its session, holds no longer."""
        body(request, ())
        if isinstance(request.auth, AbstractAuthToken):
            request.auth.delete()
        else:
            logout(request._request)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _credentials(values: dict[str, Any]) -> dict[str, str]:
    faults = {}
    for name, longest in LONGEST.items():
        value = values.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= longest:
            faults[name] = f"{name.capitalize()} must be a text of 1 to {longest} characters."
    if faults:
        raise InvalidInput(" ".join(faults.values()), next(iter(faults)), faults)
    return values
