"""manage.py run_bot ID: run one bot now, for real; with --dry only decide and print why."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from bots import explain, inbox, runner
from bots.models import BotConfig, BotInbox, BotRun
from bots.services import no_such_bot
from tradebot import clock
from tradebot.commands import FAILED, TradebotCommand


class Command(TradebotCommand):
    """One run by hand, through the bot's inbox, like the button in the admin."""

    help = "Runs one bot now. --dry only decides and prints the reasons, and changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The bot's id, --dry and --json."""
        super().add_arguments(parser)
        parser.add_argument("bot", metavar="ID", help="the bot's number, as listed by manage.py bots")
        parser.add_argument("--dry", action="store_true", help="only decide, print the reasons")

    def run(self, **options: Any) -> dict[str, Any]:
        """Run, or only decide. Raises InvalidInput for an unknown id."""
        text = str(options["bot"])
        is_number = text.isascii() and text.isdigit() and len(text) < 19
        config = (
            BotConfig.objects.filter(pk=int(text), deleted_at__isnull=True).first() if is_number else None
        )
        if config is None:
            raise no_such_bot(text)
        return self._dry(config) if options["dry"] else self._run(config)

    def write_text(self, document: dict[str, Any]) -> None:
        """The outcome and its reasons, a line each."""
        self.stdout.write(f"{document['name']}: {document['outcome']}")
        for reason in document["reasons"]:
            self.stdout.write(f"  {reason}")

    def handle(self, *args: Any, **options: Any) -> None:
        """As every command; a run that failed ends with exit code 1."""
        self._failed = False
        super().handle(*args, **options)
        if self._failed:
            sys.exit(FAILED)

    def _dry(self, config: BotConfig) -> dict[str, Any]:
        decision = explain.explain(config, clock.now()).decision
        return {
            "bot": config.pk,
            "name": config.name,
            "outcome": decision.status,
            "reasons": list(decision.reasons),
            "wishes": [
                {"purpose": wish.purpose, "side": wish.side, "type": wish.type, "lots": wish.lots}
                for wish in decision.wishes
            ],
        }

    def _run(self, config: BotConfig) -> dict[str, Any]:
        now = clock.now()
        row = inbox.put(config.pk, BotInbox.Kind.RUN, now)
        result = runner.run_bot(
            config.pk, trigger=BotRun.Trigger.INBOX, key=str(row.pk), slot=clock.slot_of(now)
        )
        self._failed = result.outcome == "failed"
        return {
            "bot": config.pk,
            "name": config.name,
            "outcome": result.outcome,
            "reasons": list(result.reasons),
            "inbox": row.pk,
        }
