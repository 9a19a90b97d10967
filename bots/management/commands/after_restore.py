"""manage.py after_restore: what must be done once a backup of the database was restored."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import redis

from bots import restoring
from tradebot import clock
from tradebot.commands import TradebotCommand
from tradebot.errors import Refused

QUESTION = "Pause all bots and put a new nonce in force? Type yes: "
NEXT = (
    "Start the web and the workers, compare the books with the exchange (manage.py check_books), settle what "
    "differs, and start the bots again one by one."
)


class Command(TradebotCommand):
    """Thin: it asks, and calls one service."""

    help = "After a backup was restored: new ids for orders, all bots paused, all balances asked for again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options."""
        super().add_arguments(parser)
        parser.add_argument("--nonce", metavar="XXXXXX", help="six letters or digits; made up if left out")
        parser.add_argument("--reason", default="a backup was restored", help="for the audit log")
        parser.add_argument("--yes", action="store_true", help="don't ask")

    def run(self, **options: Any) -> dict[str, Any]:
        """All of it, or nothing."""
        if not options["yes"] and not self._is_sure():
            raise Refused("Nothing was changed. Say --yes to pause all bots and put a new nonce in force.")
        done = restoring.after_restore(
            by=None, nonce=options["nonce"], reason=str(options["reason"])[:500], now=clock.now()
        )
        try:
            restoring.drop_caches()
        except redis.RedisError as error:
            self.stderr.write(f"Redis could not be emptied of old messages ({error}); start it anew, empty.")
        return {**asdict(done), "what_next": NEXT}

    def _is_sure(self) -> bool:
        return sys.stdin.isatty() and input(QUESTION).strip() == "yes"

    def write_text(self, document: dict[str, Any]) -> None:
        """What was done, and what is next."""
        self.stdout.write(
            f"Nonce {document['nonce']} is in force (before: {document['nonce_before']}). "
            f"{document['bots_paused']} active bots were paused, {document['bots_held']} are on hold; "
            f"{document['in_position']} in position: their stops and exits run on."
        )
        self.stdout.write(document["what_next"])
