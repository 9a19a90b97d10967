"""manage.py check_books: every invariant of docs/orders.md, in the database and against the exchange."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.apps import apps

from tradebot import clock
from tradebot.commands import UNHEALTHY, TradebotCommand
from tradebot.errors import InvalidInput, TradebotError
from tradebot.inputs import shown
from trading import books_check, invariants
from trading.findings import errors
from trading.models import ExchangeAccount


class Command(TradebotCommand):
    """Exit code 0 in order, 2 usage, 3 something is wrong; with --strict also for warnings."""

    help = "Checks the books: the invariants in the database, and the journal against the exchange."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options."""
        super().add_arguments(parser)
        parser.add_argument("--strict", action="store_true", help="warnings count too")
        parser.add_argument("--account", metavar="ID", help="only this account, by its number")
        parser.add_argument("--bot", metavar="ID", help="only this bot, by its number")
        parser.add_argument("--no-exchange", action="store_true", help="the database alone; asks nobody")

    def run(self, **options: Any) -> dict[str, Any]:
        """Ask the database, then the exchange of each account that has orders."""
        begun = time.monotonic()
        account_id, bot_id = _account(options["account"]), _bot(options["bot"])
        scope = invariants.Scope(account_id=account_id, bot_id=bot_id)
        found = invariants.check_database(scope, now=clock.now())
        compared, failed = [], []
        for pair in [] if options["no_exchange"] else books_check.pairs(account_id, bot_id):
            name = f"{pair.account.name} {pair.market}"
            self._say(f"asking the exchange of {name}")
            try:
                found += books_check.against_exchange(pair)
                compared.append(name)
            except TradebotError as error:
                failed.append({"account": name, "reason": str(error)})
        self._is_wrong = bool(errors(found)) or (options["strict"] and bool(found or failed))
        return {
            "in_order": not found,
            "findings": [one.as_dict() for one in found],
            "compared": compared,
            "not_compared": failed,
            "seconds": round(time.monotonic() - begun, 3),
        }

    def _say(self, text: str) -> None:
        if sys.stderr.isatty():
            self.stderr.write(text)

    def write_text(self, document: dict[str, Any]) -> None:
        """A line a finding."""
        for row in document["findings"]:
            mark = "WARN" if row["severity"] == "warning" else "FAIL"
            self.stdout.write(f"{mark}  {row['invariant'].ljust(4)} {row['object']}: {row['sentence']}")
        for row in document["not_compared"]:
            self.stdout.write(f"WARN  {row['account']} could not be compared: {row['reason']}")
        if document["in_order"]:
            compared = ", ".join(document["compared"]) or "no exchange"
            self.stdout.write(f"The books are in order (compared with {compared}; {document['seconds']} s).")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 3 when something is wrong."""
        super().handle(*args, **options)
        if self._is_wrong:
            sys.exit(UNHEALTHY)


def _account(text: str | None) -> int | None:
    return _id(text, ExchangeAccount, "account", "the accounts are in the admin")


def _bot(text: str | None) -> int | None:
    return _id(text, apps.get_model("bots", "BotConfig"), "bot", "`manage.py bots` lists them")


def _id(text: str | None, model: Any, what: str, where: str) -> int | None:
    if text is None:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= 18
    if not is_number or not model.objects.filter(pk=int(text)).exists():
        raise InvalidInput(f"There is no {what} {shown(text)}; {where}.", what)
    return int(text)
