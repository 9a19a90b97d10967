"""manage.py demo: everything on this machine, trading on the paper exchange; Ctrl-C ends all of it."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from bots import demo
from tradebot.embedded_env import HELP, add_options, current_demo
from tradebot.errors import StaleData
from tradebot.processes import Supervisor


class Command(BaseCommand):
    """The demo. manage.py has prepared folder, servers and environment (tradebot/embedded_env.py)."""

    help = HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The same options that manage.py reads before Django starts."""
        add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until Ctrl-C or --exit-after; exit code 1 if nothing traded or the books differ."""
        session = current_demo()
        since = datetime.now(UTC) - timedelta(seconds=time.monotonic() - session.began)
        seconds = options["exit_after"]
        out = self.stderr if options["json"] else self.stdout
        out.ending = "\n"
        exchange = Supervisor(
            demo.exchange_process(session), session.data_dir / "logs", warden=session.warden
        )
        trading = Supervisor(
            demo.trading_processes(session), session.data_dir / "logs", warden=session.warden
        )
        exchange.start()
        try:
            self._prepare(exchange, out)
            self._greet(out)
            until = None if seconds is None else session.began + seconds
            trading.run(lambda: self._go_on(exchange, until))
            result = demo.report(session, since, trading.restarts | exchange.restarts)
        except StaleData as error:
            self._end(str(error), 1)
        except KeyboardInterrupt:
            self._end("Stopped.", 130)
        finally:
            exchange.stop()
        if options["json"]:
            self.stdout.write(json.dumps(result.as_dict()))
        else:
            self._sum_up(result)
        if seconds is not None and not result.is_good:
            sys.exit(1)

    def _prepare(self, exchange: Supervisor, out: Any) -> None:
        out.write("Preparing the database ...")
        call_command("migrate", verbosity=0, interactive=False)

        def wait() -> None:
            exchange.poll()
            time.sleep(0.1)

        names = demo.wait_for_symbols(wait)
        futures_names = demo.futures_symbols()
        count = demo.seed(names, current_demo().admin_password, futures_names)
        out.write(f"{count} bots are active on {demo.paper_address()}.")

    def _greet(self, out: Any) -> None:
        session = current_demo()
        out.write("")
        out.write("  *** PAPER TRADING - no real money, no real orders ***")
        out.write(f"  Control room   {demo.address(session)}")
        out.write(f"  User           {demo.ADMIN}")
        out.write(f"  Password       {session.admin_password}")
        out.write(f"  Logs           {session.data_dir / 'logs'}")
        out.write("  The first trade is expected within a minute. Ctrl-C ends everything.")
        out.write("")

    def _go_on(self, exchange: Supervisor, until: float | None) -> bool:
        exchange.poll()
        current_demo().servers.poll()
        return until is None or time.monotonic() < until

    def _sum_up(self, result: demo.DemoReport) -> None:
        agree = "agree" if result.books_agree else "DIFFER"
        self.stdout.write(
            f"{result.screens} screens, {result.runs} runs, {result.orders} orders, {result.trades} trades; "
            f"the books {agree} with the exchange's."
        )
        for what, seconds, aim in (
            ("screen", result.first_screen_seconds, 10),
            ("trade", result.first_trade_seconds, 60),
        ):
            came = "did not come" if seconds is None else f"came after {seconds} s"
            self.stdout.write(f"The first {what} {came} (aim: {aim} s).")
        for difference in result.differences:
            self.stdout.write(f"  {difference}")

    def _end(self, sentence: str, code: int) -> None:
        self.stderr.write(sentence)
        sys.exit(code)
