"""Client ids of requests and orders: tb1-<deployment>-<bot>-<seq>, made once and never reused."""

from __future__ import annotations

import re
from typing import NamedTuple

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
PREFIX = "tb1-"
_FORM = re.compile(r"tb1-([A-Za-z0-9]{6})-([0-9a-z]{1,12})-([0-9a-z]{1,13})([A-Z]?)")


class ClientId(NamedTuple):
    """A client id, taken apart; `leg` is the letter of an order of a list, "" for the request itself."""

    nonce: str
    bot_id: int
    seq: int
    leg: str


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

    At most 36 characters of [A-Za-z0-9_-], which spot and futures both take; a leg adds one capital letter.
    """
    made = f"{PREFIX}{nonce}-{base36(bot_id)}-{base36(seq)}"
    if len(made) > 35:
        raise ValueError(f"client id {made} is longer than 35 characters")
    return made


def parse(text: str) -> ClientId | None:
    """The parts of an id that client_id() made, or a leg's; None for any other text."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    nonce, bot, seq, leg = found.groups()
    return ClientId(nonce, int(bot, 36), int(seq, 36), leg)
