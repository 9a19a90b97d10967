"""manage.py run_bot ID: run one bot now, for real; with --dry only decide and print why."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from bots import explain, inbox, runner
from bots.models import BotConfig, BotInbox, BotRun
from tradebot import clock

DONE, FAILED, USAGE = 0, 1, 2


class Command(BaseCommand):
    """One run by hand, through the bot's inbox, like the button in the admin."""

    help = "Runs one bot now. --dry decides and prints the reasons, and changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The bot's id, --dry and --json."""
        parser.add_argument("bot_id", type=int, metavar="ID")
        parser.add_argument("--dry", action="store_true", help="only decide, print the reasons")
        parser.add_argument("--json", action="store_true", help="one JSON document on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 1 when the run failed, 2 for an unknown id."""
        config = BotConfig.objects.filter(pk=options["bot_id"], deleted_at__isnull=True).first()
        if config is None:
            self.stderr.write(f"There is no bot {options['bot_id']}; `manage.py bots` lists them.")
            sys.exit(USAGE)
        answer = self._dry(config) if options["dry"] else self._run(config)
        if options["json"]:
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(f"{config.name}: {answer['outcome']}")
            for reason in answer["reasons"]:
                self.stdout.write(f"  {reason}")
        sys.exit(FAILED if answer["outcome"] == "failed" else DONE)

    def _dry(self, config: BotConfig) -> dict[str, Any]:
        decision = explain.explain(config, clock.now())
        return {
            "bot": config.pk,
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
        return {
            "bot": config.pk,
            "outcome": result.outcome,
            "reasons": list(result.reasons),
            "inbox": row.pk,
        }
