"""One tick: 10,000 idle bots decided, 200 bots that all trade, beside a raw lock-and-update loop.

Run: .venv/bin/python benchmarks/tick.py [--bots 10000] [--runs 5]. Prints one JSON document of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values
from surroundings import servers

SYMBOLS = [f"COIN{number:02}USDT" for number in range(50)]
TRADERS = 200
CYCLE_MINUTES = 80
HISTORY_MINUTES = 820
CHUNK = 100
WORKERS = {"dramatiq_worker_timeout": "50", "dramatiq_queue_prefetch": "2"}  # as in docker-compose.yml
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def closes(cycles: int) -> list[float]:
    """A long slow fall, then `cycles` times a jump that crosses the averages and another fall."""
    prices = [200 - 0.01 * minute + (0.05 if minute % 2 else -0.05) for minute in range(HISTORY_MINUTES - 1)]
    for _ in range(cycles):
        top = prices[-1] + 0.85
        prices += [top - 0.01 * minute + (0.05 if minute % 2 else -0.05) for minute in range(CYCLE_MINUTES)]
    return [round(price, 2) for price in prices]


def processes_below(pid: int) -> list[int]:
    """The process and everything below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in processes_below(int(child)))]


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of the processes so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / CLOCK_TICKS


def memory_mib(pids: list[int]) -> float:
    """Proportional set size: shared pages count once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return round(total / 1024, 1)


def floor_seconds(bots: int) -> float:
    """Raw psycopg2: lock 100 rows, update them by VALUES, commit; until all are done."""
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE floor (id int PRIMARY KEY, status text, epoch int)")
        execute_values(
            cursor, "INSERT INTO floor VALUES %s", [(number, "waiting", 0) for number in range(bots)]
        )
        connection.commit()
        began = time.perf_counter()
        for start in range(0, bots, CHUNK):
            ids = list(range(start, start + CHUNK))
            cursor.execute("SELECT id, epoch FROM floor WHERE id = ANY(%s) FOR NO KEY UPDATE NOWAIT", [ids])
            rows = [(number, "waiting", epoch + 1) for number, epoch in cursor.fetchall()]
            execute_values(
                cursor,
                "UPDATE floor SET status = v.status, epoch = v.epoch "
                "FROM (VALUES %s) AS v(id, status, epoch) WHERE floor.id = v.id",
                rows,
            )
            connection.commit()
        elapsed = time.perf_counter() - began
    connection.close()
    return elapsed


class Bench:
    """The bots, the exchange and the workers that are measured."""

    def __init__(self, folder: Path, bots: int, runs: int) -> None:
        from django.conf import settings
        from django.contrib.auth import get_user_model

        from bots import schedule
        from marketdata import symbols
        from marketdata.feed import Feed
        from tests.support import desk
        from tests.support.cluster import worker_spec
        from tests.support.paper import start_paper
        from tradebot import clock
        from tradebot.binance.client import ExchangeClient
        from tradebot.binance.sources import source_for
        from tradebot.processes import Supervisor

        self.clock, self.runs, self.number = clock, runs, bots
        files = folder / "candles"
        files.mkdir()
        lines, before = ["open_time_ms,open,high,low,close,volume"], 200.0
        for minute, close in enumerate(closes(2 * runs + 3)):
            opened = clock.to_ms(desk.FIRST + timedelta(minutes=minute))
            lines.append(f"{opened},{before},{max(before, close)},{min(before, close)},{close},1000")
            before = close
        for name in SYMBOLS:
            (files / f"{name}-1m.csv").write_text("\n".join(lines) + "\n")
        self.paper = start_paper(
            folder, candles=files, clock="stepped", shift_days=0, weight_limit=1_000_000, order_limit=100_000
        )
        settings.PAPER_SPOT_URL = settings.PAPER_FUTURES_URL = self.paper.url
        self.first = desk.FIRST + timedelta(minutes=HISTORY_MINUTES)
        self._clock_to(self.first - timedelta(minutes=runs + 5))
        self.source = source_for("paper", "spot")
        assert symbols.refresh(self.source).ok
        self.owner = get_user_model().objects.create_user("owner")
        self._make_bots(bots)
        self.asked = asked = {"requests": 0, "weight": 0}

        class CountingClient(ExchangeClient):
            """Counts what the feed asks for; weights by binance-spot-api-docs, rest-api.md."""

            def klines(self, *args: Any, **options: Any) -> list[list[Any]]:
                """One series."""
                asked["requests"] += 1
                asked["weight"] += 2
                return super().klines(*args, **options)

            def prices(self) -> dict[str, str]:
                """All prices at once."""
                asked["requests"] += 1
                asked["weight"] += 4
                return super().prices()

        self.feed = Feed(schedule.series_in_use, lambda slot: None, CountingClient, clock.now)
        env = {"PAPER_SPOT_URL": self.paper.url, "PAPER_FUTURES_URL": self.paper.url, **WORKERS}
        specs = [
            worker_spec("screen", env, "screen", processes=2, threads=1),
            worker_spec("trading", env, "exits", "entries", processes=2, threads=4),
        ]
        self.workers = Supervisor(specs, folder / "logs")
        self.workers.start()

    def _make_bots(self, count: int) -> None:
        from bots.models import BotConfig
        from trading.accounts import account_create
        from trading.models import BotState

        rows = []
        for number in range(max(1, count // len(SYMBOLS))):
            account = account_create(user=self.owner, name=f"account {number}")
            rows += [
                BotConfig(
                    user=self.owner, account=account, name=f"{name} {number}", symbol=name, is_active=True,
                    initial_capital=Decimal(150),
                )
                for name in SYMBOLS
            ]  # fmt: skip
        BotConfig.objects.bulk_create(rows)
        BotState.objects.bulk_create([BotState(bot=row) for row in BotConfig.objects.all()])

    def _clock_to(self, moment: Any) -> None:
        self.paper.control("/paper/clock", {"now_ms": self.clock.to_ms(moment)})
        self.clock.step_to(moment)

    def go_to(self, moment: Any) -> dict[str, int]:
        """Step the clock and feed the market; gives the requests and the weight that it took."""
        self._clock_to(moment)
        self.asked.update(requests=0, weight=0)
        self.feed.refresh_series()
        self.feed.warm_up(self.clock.now())
        self.feed.poll_closed(self.clock.now())
        self.feed.poll_prices(self.clock.now())
        return dict(self.asked)

    def tick(self) -> tuple[float, float]:
        """Send the scheduler's actor, wait until all is done; gives wall and workers' CPU seconds."""
        from bots.actors import run_all_active_bots_every_minute
        from tests.support.cluster import wait_until_idle

        pids = [pid for root in self.workers.pids.values() for pid in processes_below(root)]
        cpu, began = cpu_seconds(pids), time.perf_counter()
        run_all_active_bots_every_minute.send(self.clock.slot_of(self.clock.now()).isoformat())
        wait_until_idle(120, every_seconds=0.01)
        return time.perf_counter() - began, cpu_seconds(pids) - cpu

    def idle(self) -> dict[str, Any]:
        """All bots hold: nothing but the screens happens."""
        from bots.models import ScreenRun

        walls, cpus, asked = [], [], []
        for run in range(self.runs + 1):
            minutes = self.runs + 2 - run  # before the first signal, a closed candle each time
            asked.append(self.go_to(self.first - timedelta(minutes=minutes) + timedelta(seconds=2)))
            wall, cpu = self.tick()
            if run:  # the first one warms the workers up
                walls.append(wall)
                cpus.append(cpu)
        latest = ScreenRun.objects.latest("finished_at")
        assert ScreenRun.objects.filter(slot=latest.slot).exists()
        wall = statistics.median(walls)
        floor = statistics.median(floor_seconds(self.number) for _ in range(self.runs))
        pids = [pid for root in self.workers.pids.values() for pid in processes_below(root)]
        return {
            "bots": self.number,
            "symbols": len(SYMBOLS),
            "seconds": round(wall, 3),
            "bots_per_s": round(self.number / wall),
            "cpu_us_per_bot": round(statistics.median(cpus) / self.number * 1e6, 1),
            "requests_per_closed_candle": statistics.median(one["requests"] for one in asked[1:]),
            "weight_per_closed_candle": statistics.median(one["weight"] for one in asked[1:]),
            "workers_pss_mib": memory_mib(pids),
            "floor_seconds": round(floor, 3),
            "floor_bots_per_s": round(self.number / floor),
            "times_the_floor": round(wall / floor, 2),
        }

    def trading(self, *, protected: bool = False) -> dict[str, Any]:
        """200 bots enter at the same close, and leave a minute later by hand.

        `protected`: with stop and target, one order list in the same run; the second time that it is called.
        """
        from bots import inbox
        from bots.models import BotConfig
        from trading.models import OrderRequest

        traders = list(BotConfig.objects.order_by("pk")[:TRADERS].values_list("pk", flat=True))
        BotConfig.objects.exclude(pk__in=traders).update(is_active=False)
        wanted = {"enter": TRADERS, "leave": TRADERS}
        if protected:
            BotConfig.objects.filter(pk__in=traders).update(stop_loss_perc=5, take_profit_perc=10)
            wanted["enter"] *= 2
        rates, cpus = [], []
        for run in range(self.runs + 1):
            cycle = run + (self.runs + 1) * protected
            moment = self.first + timedelta(minutes=cycle * CYCLE_MINUTES, seconds=2)
            for step in ("enter", "leave"):
                if step == "leave":
                    moment += timedelta(minutes=1)
                    for bot_id in traders:
                        inbox.put(bot_id, "close", moment)
                self.go_to(moment)
                before = OrderRequest.objects.filter(state="ACCEPTED").count()
                wall, cpu = self.tick()
                placed = OrderRequest.objects.filter(state="ACCEPTED").count() - before
                if placed != wanted[step]:
                    raise SystemExit(f"{placed} requests of {wanted[step]} at {step} {run}")
                if run:
                    rates.append(placed / wall)
                    cpus.append(cpu / placed)
        return {
            "bots": TRADERS,
            "orders_per_s": round(statistics.median(rates), 1),
            "cpu_ms_per_order": round(statistics.median(cpus) * 1000, 2),
            "orders": self.runs * sum(wanted.values()),
        }

    def close(self) -> None:
        """End what runs."""
        self.workers.stop()
        self.feed.close()
        self.paper.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bots", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with servers(CLOCK="stepped") as folder:
        bench = Bench(folder, options.bots, options.runs)
        try:
            result = {
                "runs": options.runs,
                "cores": os.cpu_count(),
                "idle": bench.idle(),
                "trading": bench.trading(),
                "trading_with_stop_and_target": bench.trading(protected=True),
            }
        finally:
            bench.close()
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
