"""A trading desk for tests: a stepped paper exchange, made candles with one known buy signal, and bots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bots import runner, schedule, services
from bots.models import BotConfig, BotRun
from bots.runs import RunResult
from marketdata import symbols
from marketdata.feed import Feed
from tests.support.paper import Paper, start_paper
from tradebot import clock
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import source_for
from trading.accounts import account_create, client_for
from trading.compare import compare_account
from trading.models import BotState, ExchangeAccount

FIRST = datetime(2026, 4, 1, tzinfo=UTC)
HISTORY = 800  # candles before the signal: more than the warm-up of ema_rsi
AFTER = 400
SIGNAL = FIRST + timedelta(minutes=HISTORY)  # close of the candle that crosses

OPENED: list[Desk] = []  # of the test that runs; its books are compared when it ends (tests/support/books.py)


def crossing_closes(*, falls: bool = False) -> list[float]:
    """A slow fall, one candle that jumps by 0.8 % (EMA 9 crosses above 21 at RSI 66), and a flat rest.

    `falls` is the mirror around 110: a slow rise and a drop, for a short.
    """
    fall = [110 - 0.01 * minute + (0.05 if minute % 2 else -0.05) for minute in range(HISTORY - 1)]
    top = round(fall[-1] + 0.8, 2)
    rest = [top + (0.01 if minute % 2 else 0.0) for minute in range(AFTER)]
    closes = [*fall, top, *rest]
    return [round(220 - close if falls else close, 2) for close in closes]


def write_candles(folder: Path, names: Iterable[str], *, falls: bool = False) -> Path:
    """The same candles for each symbol, as files that the paper exchange replays."""
    folder.mkdir(exist_ok=True)
    lines = ["open_time_ms,open,high,low,close,volume"]
    before = 110.0
    for minute, close in enumerate(crossing_closes(falls=falls)):
        opened = clock.to_ms(FIRST + timedelta(minutes=minute))
        lines.append(f"{opened},{before},{max(before, close)},{min(before, close)},{close},1000")
        before = close
    for name in names:
        (folder / f"{name}-1m.csv").write_text("\n".join(lines) + "\n")
    return folder


@dataclass
class Desk:
    """The exchange, one owner with one account, and the feed, all on the stepped clock."""

    paper: Paper
    owner: Any
    account: ExchangeAccount
    feed: Feed
    market: str = "spot"
    bots: list[BotConfig] = field(default_factory=list)

    def go_to(self, moment: datetime) -> None:
        """Step the clock, and feed what has closed by then."""
        self.paper.control("/paper/clock", {"now_ms": clock.to_ms(moment)})
        clock.step_to(moment)
        now = clock.now()
        self.feed.refresh_series()
        self.feed.warm_up(now)
        self.feed.poll_closed(now)
        self.feed.poll_prices(now)

    def wait(self, seconds: float) -> None:
        """Step the clock alone."""
        self.go_to(clock.now() + timedelta(seconds=seconds))

    def add_bot(self, symbol: str = "BTCUSDT", **values: Any) -> BotConfig:
        """A started bot of the desk's market; 1,000 USDT unless told otherwise."""
        settings = {
            "name": f"{symbol} {len(self.bots)}",
            "market": self.market,
            "symbol": symbol,
            "initial_capital": "1000",
        }
        bot = services.bot_create(user=self.owner, account=self.account, values={**settings, **values})
        services.bot_start(bot=bot, by=self.owner)
        self.bots.append(bot)
        return bot

    def run(self, bot: BotConfig, key: str = "") -> RunResult:
        """One run of the minute that the clock shows."""
        slot = clock.slot_of(clock.now())
        return runner.run_bot(bot.pk, trigger=BotRun.Trigger.MINUTE, key=key or slot.isoformat(), slot=slot)

    def state(self, bot: BotConfig) -> BotState:
        """The bot's state as it is in the database."""
        return BotState.objects.get(bot=bot)

    @property
    def client(self) -> ExchangeClient:
        """The account's client."""
        return client_for(self.account, self.market, "exit")

    def exchange_orders(self, symbol: str = "BTCUSDT") -> list[dict[str, Any]]:
        """What the exchange knows of the account's orders."""
        return self.client.all_orders(symbol)

    def differences(self) -> list[str]:
        """Journal against exchange."""
        return compare_account(self.account, self.market, self.client)


def open_desk(
    tmp_path: Path,
    settings: Any,
    users: Any,
    names: Iterable[str] = ("BTCUSDT",),
    *,
    market: str = "spot",
    falls: bool = False,
) -> Desk:
    """Start the exchange a moment before the signal; the caller stops `desk.paper`."""
    folder = write_candles(tmp_path / "candles", names, falls=falls)
    paper = start_paper(tmp_path, candles=folder, clock="stepped", shift_days=0)
    settings.PAPER_SPOT_URL = settings.PAPER_FUTURES_URL = paper.url
    settings.CLOCK = "stepped"
    before = SIGNAL - timedelta(seconds=30)
    paper.control("/paper/clock", {"now_ms": clock.to_ms(before)})
    clock.step_to(before)
    assert symbols.refresh(source_for("paper", market)).ok
    owner = users.objects.create_user("owner", password="owner-password-1")
    account = account_create(user=owner, name="paper", environment="paper")
    feed = Feed(schedule.series_in_use, lambda slot: None, ExchangeClient, clock.now)
    desk = Desk(paper, owner, account, feed, market)
    OPENED.append(desk)
    return desk
