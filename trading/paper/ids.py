"""Client ids for orders and cancels that came without one."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits


def made_up_id() -> str:
    """22 letters and digits, as the exchange makes them."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(22))
