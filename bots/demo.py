"""The demo: accounts and bots on the synthetic market, the processes that trade them, and what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Min

from bots import services
from bots.models import BotConfig, BotRun, ScreenRun
from marketdata import symbols
from tradebot.binance.sources import source_for
from tradebot.embedded_env import DemoSession
from tradebot.errors import ExchangeError, Refused, StaleData
from tradebot.processes import ProcessSpec
from trading.accounts import account_create, client_for
from trading.compare import compare_account
from trading.models import BotState, ExchangeAccount, Fill, Order, Trade

ACCOUNTS = 4
BOTS_PER_ACCOUNT = 25
FUTURES_BOTS = 20  # on an account of their own; every second one is short
LEVERAGES = (2, 3, 4, 5)
CAPITAL = Decimal(350)  # 25 bots of an account may all be in position on its 10,000 USDT
ADMIN = "admin"
EXCHANGE_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What a demo came to; seconds are from the start of the command, None where it did not happen."""

    screens: int
    runs: int
    orders: int
    fills: int
    trades: int
    errors: int
    first_screen_seconds: float | None
    first_trade_seconds: float | None
    books_agree: bool
    differences: list[str]
    bots: int
    symbols: int
    restarts: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For one JSON document."""
        return asdict(self)

    @property
    def is_good(self) -> bool:
        """Whether bots traded and the books agree with the exchange's."""
        return self.trades > 0 and self.books_agree


def exchange_process(session: DemoSession) -> list[ProcessSpec]:
    """The paper exchange, unless another one is used."""
    if session.paper_port is None:
        return []
    folder = session.data_dir / "paper"
    folder.mkdir(mode=0o700, exist_ok=True)
    argv = [
        sys.executable, "-m", "trading.paper", "--port", str(session.paper_port),
        "--data", str(folder / "books.sqlite3"),
    ]  # fmt: skip
    return [ProcessSpec("paper-exchange", argv)]


def trading_processes(session: DemoSession) -> list[ProcessSpec]:
    """Feed, workers by queue, scheduler and web, in the order in which the first trade needs them."""
    python = sys.executable
    manage = [python, str(settings.BASE_DIR / "manage.py")]

    def workers(name: str, processes: int, threads: int, *queues: str) -> ProcessSpec:
        argv = [
            *manage, "rundramatiq", "--processes", str(processes), "--threads", str(threads),
            "--worker-shutdown-timeout", "60000", "--queues", *queues,
        ]  # fmt: skip
        return ProcessSpec(name, argv, {"dramatiq_worker_timeout": "50", "dramatiq_queue_prefetch": "2"})

    web = [
        *[python, "-m", "gunicorn", "tradebot.wsgi", "--bind", f"127.0.0.1:{session.web_port}"],
        *["--workers", "1", "--threads", "4", "--graceful-timeout", "5", "--no-control-socket"],
    ]
    return [
        ProcessSpec("feed", [*manage, "feed"]),
        workers("worker-screen", 1, 2, "screen"),
        workers("worker-trading", 2, 4, "exits", "entries"),
        ProcessSpec("scheduler", [str(Path(python).parent / "periodiq"), "tradebot.scheduler"]),
        ProcessSpec("web", web),
        workers("worker-background", 1, 2, "background"),
        ProcessSpec("user-streams", [*manage, "user_streams"]),
    ]


def wait_for_symbols(keep_waiting: Callable[[], None]) -> list[str]:
    """Fetch the spot symbols as soon as the exchange answers; gives those that trade, popular ones first."""
    source = source_for("paper", "spot")
    end = time.monotonic() + EXCHANGE_WAIT_SECONDS
    while True:
        refreshed = symbols.refresh(source)
        if refreshed.ok:
            return [rules.symbol for rules in symbols.cached(source).trading]
        if time.monotonic() > end:
            raise StaleData(f"The exchange at {source.base_url} does not answer: {refreshed.error}")
        keep_waiting()


def futures_symbols() -> list[str]:
    """The futures that trade, once the spot symbols are there; none where the exchange has no futures."""
    source = source_for("paper", "futures")
    if not symbols.refresh(source).ok:
        return []
    return [rules.symbol for rules in symbols.cached(source).trading]


def seed(names: list[str], password: str, futures_names: Sequence[str] = ()) -> int:
    """Make the admin, the demo accounts and their bots, and start them; once for a data folder."""
    users = get_user_model().objects
    admin = users.filter(username=ADMIN).first()
    if admin is None:
        admin = users.create_superuser(ADMIN, password=password)
    if not BotConfig.objects.exists():
        wanted = names[: ACCOUNTS * BOTS_PER_ACCOUNT]
        for number in range(ACCOUNTS):
            mine = wanted[number::ACCOUNTS]
            account = account_create(user=admin, name=f"Paper {number + 1}", environment="paper")
            for symbol in mine:
                _start(_bot(admin, account, symbol), admin)
        if futures_names:
            account = account_create(user=admin, name=f"Paper {ACCOUNTS + 1} futures", environment="paper")
            for number, symbol in enumerate(futures_names[:FUTURES_BOTS]):
                _start(_futures_bot(admin, account, symbol, number), admin)
    return BotConfig.objects.filter(is_active=True).count()


def _bot(user: Any, account: ExchangeAccount, symbol: str) -> BotConfig:
    values = {
        "name": f"{symbol.removesuffix('USDT')} ema_rsi",
        "market": "spot",
        "symbol": symbol,
        "interval": "1m",
        "strategy": "ema_rsi",
        "initial_capital": CAPITAL,
        "stop_loss_perc": "1.5",
        "take_profit_perc": "3",
    }
    return services.bot_create(user=user, account=account, values=values)


def _futures_bot(user: Any, account: ExchangeAccount, symbol: str, number: int) -> BotConfig:
    side = "short" if number % 2 else "long"
    values = {
        "name": f"{symbol.removesuffix('USDT')} {side} ema_rsi",
        "market": "futures",
        "symbol": symbol,
        "interval": "1m",
        "strategy": "ema_rsi",
        "position_type": side,
        "leverage": LEVERAGES[number // 2 % len(LEVERAGES)],
        "initial_capital": CAPITAL,
        "stop_loss_perc": "1.5",
        "take_profit_perc": "3",
    }
    return services.bot_create(user=user, account=account, values=values)


def _start(bot: BotConfig, user: Any) -> None:
    try:
        services.bot_start(bot=bot, by=user)
    except Refused as refusal:  # a symbol that was halted between the list and now
        sys.stderr.write(f"{refusal}\n")


def report(session: DemoSession, since: datetime, restarts: dict[str, int]) -> DemoReport:
    """Count what happened since the command began (aware time), and compare the books with the exchange's."""
    connection.close()  # it may have died with a server that was started again meanwhile
    first_screen = ScreenRun.objects.filter(finished_at__gte=since, bots__gt=0).aggregate(
        at=Min("finished_at")
    )["at"]
    first_trade = Trade.objects.filter(created_at__gte=since).aggregate(at=Min("created_at"))["at"]
    differences = books_differences()
    return DemoReport(
        screens=ScreenRun.objects.filter(finished_at__gte=since).count(),
        runs=BotRun.objects.filter(started_at__gte=since).count(),
        orders=Order.objects.filter(created_at__gte=since).count(),
        fills=Fill.objects.filter(traded_at__gte=since).count(),
        trades=Trade.objects.filter(created_at__gte=since).count(),
        errors=BotState.objects.filter(status__startswith="error (").count()
        + BotRun.objects.filter(started_at__gte=since, outcome="failed").count(),
        first_screen_seconds=_seconds(since, first_screen),
        first_trade_seconds=_seconds(since, first_trade),
        books_agree=not differences,
        differences=differences[:20],
        bots=BotConfig.objects.filter(is_active=True).count(),
        symbols=BotConfig.objects.filter(is_active=True).values("symbol").distinct().count(),
        restarts=restarts,
    )


def _seconds(since: datetime, at: datetime | None) -> float | None:
    return None if at is None else round((at - since).total_seconds(), 1)


def books_differences() -> list[str]:
    """Journal against exchange, for every account of the demo."""
    found: list[str] = []
    for account in ExchangeAccount.objects.filter(environment="paper"):
        markets = Order.objects.filter(account=account).order_by().values_list("market", flat=True).distinct()
        for market in markets:
            try:
                client = client_for(account, market, "exit")
                found += [f"{account.name}: {one}" for one in compare_account(account, market, client)]
            except ExchangeError as error:
                found.append(f"{account.name}: the exchange does not answer: {error}")
    return found


def address(session: DemoSession) -> str:
    """Where the admin is."""
    return f"http://127.0.0.1:{session.web_port}/admin/"


def paper_address() -> str:
    """Where the exchange is."""
    return str(settings.PAPER_SPOT_URL)
