"""manage.py paper_exchange: the paper exchange with the options of `python -m trading.paper`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.paper.cli import CannotStart, add_options, list_faults, options_from, run


class Command(BaseCommand):
    """Serve a Binance-like exchange on loopback until it is stopped. Needs no database."""

    help = "Serve a paper exchange that speaks Binance's REST protocol. Prints its address as JSON."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The same options as the stand-alone program."""
        add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run; exit code 2 with a sentence when it cannot start."""
        if options["list_faults"]:
            self.stdout.write(list_faults())
            return
        try:
            run(options_from(options), self._say)
        except CannotStart as error:
            raise CommandError(str(error), returncode=2) from error

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
