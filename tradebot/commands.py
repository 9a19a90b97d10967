"""The base of TradeBot's commands: exit codes, one JSON document, one sentence for an error."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, NoReturn

import redis
from django.core.management.base import BaseCommand
from django.db import OperationalError

from tradebot.errors import InvalidInput, Refused, TradebotError

DONE, FAILED, USAGE, UNHEALTHY, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 130


class TradebotCommand(BaseCommand):
    """A command that answers with what its run() gives, or ends with a sentence on stderr and an exit code.

    0 done · 1 failed · 2 usage: bad input, unknown id, and nothing was changed · 3 unhealthy · 4 refused ·
    130 Ctrl-C. With --json there is exactly one JSON document on stdout, in an error too.
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--json; a command with arguments of its own calls this first."""
        parser.add_argument("--json", action="store_true", help="one JSON document on stdout")

    def run(self, **options: Any) -> dict[str, Any]:
        """Do the work and give the document. Raises errors of tradebot.errors."""
        raise NotImplementedError

    def write_text(self, document: dict[str, Any]) -> None:
        """Write the document for people, to stdout."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, and translate errors to exit codes."""
        as_json = bool(options.get("json"))
        try:
            document = self.run(**options)
        except InvalidInput as error:
            self._end(USAGE, str(error), as_json, error.fields)
        except Refused as error:
            self._end(REFUSED, str(error), as_json)
        except TradebotError as error:
            self._end(FAILED, str(error), as_json)
        except OperationalError:
            self._end(FAILED, "The database does not answer; check DATABASE_URL and that it runs.", as_json)
        except redis.RedisError:
            self._end(FAILED, "Redis does not answer; check REDIS_URL and that it runs.", as_json)
        except KeyboardInterrupt:
            self._end(INTERRUPTED, "Stopped.", as_json)
        if as_json:
            self.stdout.write(json.dumps(document))
        else:
            self.write_text(document)

    def _end(self, code: int, sentence: str, as_json: bool, fields: dict[str, str] | None = None) -> NoReturn:
        if as_json:
            self.stdout.write(json.dumps({"error": sentence, "fields": fields or {}}))
        self.stderr.write(sentence)
        sys.exit(code)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a head, in columns as wide as their longest text."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)
