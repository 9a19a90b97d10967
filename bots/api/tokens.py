"""Who asks, by a token (knox). Imports no views: settings name this module, and views read settings."""

from __future__ import annotations

import re
from typing import Any

from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.exceptions import AuthenticationFailed

_TOKEN_FORM = re.compile(rb"[0-9A-Za-z]{1,128}")


class TokenAuthentication(KnoxAuthentication):
    """`Authorization: Token <token>`; one of another form is refused before anybody looks for it."""

    def authenticate_credentials(self, token: bytes) -> Any:
        """The user and the token. Raises AuthenticationFailed."""
        if not _TOKEN_FORM.fullmatch(token):
            raise AuthenticationFailed("This is no token; log in to get one.")
        return super().authenticate_credentials(token)
