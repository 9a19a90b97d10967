"""manage.py doctor: what is wrong with this deployment, and what to do about it."""

from __future__ import annotations

import sys
from typing import Any

from bots import health_checks
from tradebot import health
from tradebot.commands import UNHEALTHY, TradebotCommand


class Command(TradebotCommand):
    """All health checks, each with a line on what to do. Needs neither database nor Redis to start."""

    help = "Checks database, Redis, migrations, workers, schedule, feed, keys, exchanges, clock and disk."
    requires_system_checks: list[str] = []

    def run(self, **options: Any) -> dict[str, Any]:
        """Ask all of them."""
        found = health.examine(health_checks.ALL)
        self._is_healthy = all(check.ok for check in found)
        return {"healthy": self._is_healthy, "checks": [check.as_dict() for check in found]}

    def write_text(self, document: dict[str, Any]) -> None:
        """One line a check, and below it what to do."""
        width = max(len(check["name"]) for check in document["checks"])
        for check in document["checks"]:
            mark = "ok  " if check["ok"] else "FAIL"
            self.stdout.write(f"{mark}  {check['name'].ljust(width)}  {check['message']}")
            if check["what_to_do"]:
                self.stdout.write(f"      {' ' * width}  -> {check['what_to_do']}")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 0 healthy, 3 not."""
        super().handle(*args, **options)
        if not self._is_healthy:
            sys.exit(UNHEALTHY)
