"""For processes of the canary test only: every logger speaks, and a bot on CRASH...USDT crashes.

A worker loads it beside the actors; `python -m tests.secrets.sabotage COMMAND ...` stands in for manage.py.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradebot.settings")
    django.setup()

from trading import orders

CRASHING = "CRASH"
TALKATIVE = ("binance", "binance.base_client", "dramatiq", "requests", "urllib3", "urllib3.connectionpool")


def speak_up() -> None:
    """Every logger at DEBUG, also those that the project had set to say less."""
    logging.getLogger().setLevel(logging.DEBUG)
    for name in {*TALKATIVE, *logging.root.manager.loggerDict}:
        logging.getLogger(name).setLevel(logging.DEBUG)


def crash_in_the_middle_of_a_run() -> None:
    """After the answer came, before it is booked: an error that shows what its author had at hand."""
    book_order = orders.book_order

    def crashing(*, request: Any, client: Any, **values: Any) -> None:
        if request.symbol.startswith(CRASHING):
            logging.getLogger("sabotage").debug("client %r, wire %r", vars(client), vars(client._wire))
            raise RuntimeError(f"no books: {client!r} {vars(client)} {vars(client._wire)} {values}")
        book_order(request=request, client=client, **values)

    orders.book_order = crashing


speak_up()
crash_in_the_middle_of_a_run()

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *sys.argv[1:]])
