"""Who keeps the exchange's long pauses, and who is told of a ban; registered when the application starts."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from marketdata import gates
from tradebot import clock
from tradebot.binance.gate_memory import Keeper
from trading import outbox


def tell(gate: str, until: datetime) -> None:
    """Tell the superusers that the exchange has banned an address. Raises django.db.Error."""
    with transaction.atomic():  # a savepoint, where a transaction is open
        outbox.tell_superusers(
            "exchange ban",
            f"The exchange has banned this address (HTTP 418): nothing is sent through {gate} until "
            f"{until:%F %T} UTC, no entry, no exit, no question. Stops that rest on the exchange work on.",
            once=f"ban:{gate}"[:80] + f":{until:%FT%H}",
            now=clock.now(),
        )


KEEPER = Keeper(save=gates.save, load=gates.load, tell=tell)
