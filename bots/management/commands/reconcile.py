"""manage.py reconcile: compare accounts with the exchange now, book what the journal lacks."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from bots import reconciling
from bots.actors import wake_bot
from tradebot import clock
from tradebot.commands import FAILED, UNHEALTHY, TradebotCommand
from tradebot.errors import InvalidInput
from tradebot.inputs import shown
from trading import orphans
from trading.models import ExchangeAccount, Orphan


class Command(TradebotCommand):
    """A sweep of all accounts, or of one. Exit codes: 0 nothing found, 1 one can't be asked, 3 findings."""

    help = "Compares accounts with the exchange now and prints what differs; see docs/operations.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--account and --json."""
        super().add_arguments(parser)
        parser.add_argument("--account", metavar="ID", help="only this account, by its number")

    def run(self, **options: Any) -> dict[str, Any]:
        """Sweep. Raises InvalidInput for an unknown account."""
        rows = [self._one(*key) for key in reconciling.all_accounts(_wanted(options["account"]))]
        has_failed = any(row["error"] for row in rows)
        has_found = any(row["findings"] or row["orphans"] or row["look_again"] for row in rows)
        self._code = FAILED if has_failed else UNHEALTHY if has_found else 0
        return {"clean": self._code == 0, "accounts": rows}

    def write_text(self, document: dict[str, Any]) -> None:
        """A line an account, and what was found under it."""
        if not document["accounts"]:
            self.stdout.write("No account has bots; there is nothing to compare.")
        for row in document["accounts"]:
            found = [*row["findings"], *row["orphans"]]
            words = row["error"] or (f"{len(found)} findings" if found else "agrees with the exchange")
            if row["look_again"] and not row["error"]:
                words += "; something differs and is looked at again in a moment"
            self.stdout.write(f"{row['name']} {row['market']}: {words}")
            for sentence in found:
                self.stdout.write(f"  {sentence}")

    def handle(self, *args: Any, **options: Any) -> None:
        """As every command; what was found makes the exit code."""
        super().handle(*args, **options)
        if self._code:
            sys.exit(self._code)

    def _one(self, account_id: int, market: str) -> dict[str, Any]:
        swept, wakes = reconciling.reconcile(account_id, market, clock.now(), "background")
        for wake in wakes:
            wake_bot(wake.bot_id, wake.inbox_id)
        account = ExchangeAccount.objects.get(pk=account_id)
        found = Orphan.objects.filter(account=account, market=market, resolved_at__isnull=True)
        sentences = [orphans.describe(one) for one in found.order_by("pk")]
        return {
            "account": account_id,
            "name": account.name,
            "market": market,
            "findings": [one for one in swept.findings if one not in sentences],
            "orphans": sentences,
            "booked": swept.booked,
            "bots_held": sorted(swept.held),
            "bots_woken": sorted(wake.bot_id for wake in wakes),
            "look_again": swept.look_again_at is not None and not swept.error,
            "error": "It is being compared right now; try again." if swept.is_busy else swept.error,
        }


def _wanted(text: str | None) -> list[int] | None:
    if text is None:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) < 19
    if not is_number or not ExchangeAccount.objects.filter(pk=int(text)).exists():
        raise InvalidInput(f"There is no account {shown(text)}; look in the admin for its number.", "account")
    return [int(text)]
