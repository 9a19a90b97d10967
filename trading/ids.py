"""Client ids of requests and orders: tb1-<deployment>-<bot>-<seq>, made once and never reused."""

from __future__ import annotations

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
PREFIX = "tb1-"


def base36(number: int) -> str:
    """A non-negative integer in base 36, lower case."""
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = ALPHABET[rest] + digits
        if not number:
            return digits


def client_id(nonce: str, bot_id: int, seq: int) -> str:
    """The id of the bot's `seq`-th request in the deployment `nonce` (six characters).

    At most 36 characters of [A-Za-z0-9_-], which spot and futures both take; a leg adds one letter.
    """
    made = f"{PREFIX}{nonce}-{base36(bot_id)}-{base36(seq)}"
    if len(made) > 35:
        raise ValueError(f"client id {made} is longer than 35 characters")
    return made
