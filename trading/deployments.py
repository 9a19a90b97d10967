"""The nonce in the client ids of this deployment: the newest row of Deployment."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.conf import settings
from django.db.models import Q

from tradebot.errors import InvalidInput, Refused
from tradebot.inputs import shown
from trading.ids import ALPHABET, PREFIX
from trading.models import Deployment, Order, OrderRequest

NONCE_LENGTH = 6


def nonce_in_force(now: datetime) -> str:
    """The nonce for the next client id. Call it with the bot's state row locked.

    It is read each time, after the lock was taken: after_restore changes every state row in the transaction
    that writes the new nonce, so whoever has the lock sees the nonce that goes with the row. A cache in the
    process would outlive a restored backup. The first row is made of DEPLOYMENT_NONCE.
    """
    nonce = _newest()
    if nonce is None:
        first = Deployment(
            nonce=settings.DEPLOYMENT_NONCE, started_at=now, reason="DEPLOYMENT_NONCE of the environment"
        )
        Deployment.objects.bulk_create([first], ignore_conflicts=True)
        nonce = _newest() or settings.DEPLOYMENT_NONCE
    return nonce


def is_known(nonce: str) -> bool:
    """Whether ids with this nonce may have been made here, as far as the database remembers."""
    if nonce == settings.DEPLOYMENT_NONCE or Deployment.objects.filter(nonce=nonce).exists():
        return True
    start = f"{PREFIX}{nonce}-"
    return (
        OrderRequest.objects.filter(client_id__startswith=start).exists()
        or Order.objects.filter(Q(client_order_id__startswith=start)).exists()
    )


def check_new(nonce: str) -> str:
    """The nonce, if it is well-formed and was never used. Raises InvalidInput or Refused."""
    if len(nonce) != NONCE_LENGTH or not nonce.isascii() or not nonce.isalnum():
        raise InvalidInput(f"A nonce has six letters or digits, unlike {shown(nonce)}.", "nonce")
    if is_known(nonce):
        raise Refused(f"The nonce {nonce} was used before; leave --nonce out, and a new one is made.")
    return nonce


def new_nonce() -> str:
    """Six letters or digits that were never used here."""
    while True:
        made = "".join(secrets.choice(ALPHABET) for _ in range(NONCE_LENGTH))
        if not is_known(made):
            return made


def start(nonce: str, reason: str, now: datetime) -> Deployment:
    """Put the nonce in force; the caller changes every state row in the same transaction."""
    nonce_in_force(now)  # what was in force is remembered as used
    return Deployment.objects.create(nonce=nonce, started_at=now, reason=reason)


def _newest() -> str | None:
    return Deployment.objects.order_by("-id").values_list("nonce", flat=True).first()
