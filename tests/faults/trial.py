"""One seeded trial: bots enter and leave while something breaks, and then the books are compared."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from django.db import DatabaseError, InterfaceError, connection
from dramatiq.errors import DramatiqError

from bots import services
from bots.actors import run_all_active_bots_every_minute, run_bot, wake_bot
from bots.models import BotConfig, BotInbox, ScreenRun
from tests.faults.figures import Figures
from tests.faults.market import NAMES, Market
from tests.faults.scenario import Scenario
from tests.faults.servers import TestServers
from tests.faults.yard import Yard
from tradebot import clock
from tradebot.errors import BotBusy, ExchangeError
from tradebot.redis import redis_client
from trading import books_check, invariants
from trading.accounts import account_create, client_for
from trading.books_check import Pair
from trading.findings import errors
from trading.ids import PREFIX
from trading.invariants import Scope
from trading.models import BotState, Fill, Order, OrderRequest
from trading.models.journal import DOUBT_STATES

TICK_SECONDS = 0.25
PATIENCE_SECONDS = 60.0
SLOTS = (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in itertools.count())
NUMBERS = itertools.count(1)
PASSING = (redis.RedisError, DramatiqError, DatabaseError, InterfaceError)
ORDER_PATHS = {"spot": "/api/v3/order", "futures": "/fapi/v1/order"}


class TrialFailed(AssertionError):
    """Raised when a trial does not come to its end, or ends with wrong books."""


@dataclass
class Trial:
    """The bots of one scenario on an account of their own."""

    yard: Yard
    market: Market
    servers: TestServers
    owner: Any
    scenario: Scenario
    figures: Figures
    must_strike: bool = False  # a phase does not end before its fault has struck

    def run(self) -> None:
        """Enter, leave, compare. Raises TrialFailed."""
        self._clean_up()
        self._set_clocks(0.0)
        self._resume_at = 0.0
        self._reacted = False
        self._killed_at: tuple[float, datetime] | None = None
        self._next_tick = 0.0
        self.account = self._with_patience(
            lambda: account_create(user=self.owner, name=f"account {next(NUMBERS)}", environment="paper")
        )
        self.bots = [self._bot(name) for name in NAMES[: self.scenario.bots]]
        try:
            with self._fault("entry"):
                for bot in self.bots:
                    self._with_patience(lambda bot=bot: services.bot_start(bot=bot, by=self.owner))
                self._until(lambda: self._quiet("entry"), "every bot has entered")
            with self._fault("exit"):
                self._leave()
                self._until(lambda: self._quiet("exit"), "every bot has left")
            self._stop_bots()
            self._until(lambda: self._quiet("exit"), "every bot is stopped")
            self._check()
        finally:
            self._clean_up()

    # The bots

    def _bot(self, symbol: str) -> BotConfig:
        is_futures = self.scenario.market == "futures"
        values = {
            "name": f"bot {next(NUMBERS)}",
            "market": self.scenario.market,
            "symbol": symbol,
            "initial_capital": "1000",
            "stop_loss_perc": "2",
            "take_profit_perc": "2",
            "max_daily_trades": 1,
            **({"position_type": self.scenario.side, "leverage": 2} if is_futures else {}),
        }
        return services.bot_create(user=self.owner, account=self.account, values=values)

    def _leave(self) -> None:
        if self.scenario.exit_by == "hand":
            self._stop_bots()
            return
        if self.scenario.exit_by == "both":  # the fills of the target race the cancel
            self._stop_bots()
        up = (self.scenario.exit_by != "stop") == (self.scenario.side == "long")
        for bot in self.bots:
            self.market.move(bot.symbol, self.market.prices[bot.symbol] * (1.03 if up else 0.97))

    def _stop_bots(self) -> None:
        for bot in self.bots:
            entry = self._with_patience(lambda bot=bot: self._stop(bot))
            if entry is not None:
                with contextlib.suppress(*PASSING):
                    for _ in range(self.scenario.copies):
                        wake_bot(bot.pk, entry.pk)

    def _stop(self, bot: BotConfig) -> BotInbox | None:
        state = BotState.objects.get(bot=bot)
        bot.refresh_from_db()
        if not bot.is_active and not state.in_position:
            return None
        return services.bot_stop(bot=bot, by=self.owner)

    # The fault

    @contextlib.contextmanager
    def _fault(self, phase: str) -> Iterator[None]:
        """Arm the scenario's faults if it is their phase; afterwards nothing is armed."""
        scenario = self.scenario
        if phase == scenario.phase:
            self._set_clocks(scenario.shift)
            for one in scenario.network:
                self.yard.paper.control("/paper/faults", {**self._where(), **one})
            if scenario.stale_seconds:
                stale = {"kind": "stale_order", "seconds": scenario.stale_seconds}
                self.yard.paper.control("/paper/faults", stale)
            if scenario.kill_again:
                self.yard.arm(scenario.kill_again, "kill")
            if scenario.action != "none":
                self.yard.arm(scenario.step, self._failpoint(), skip=scenario.skip)
        yield
        self._resume()
        self.figures.restarts += self.yard.restart_dead()
        self.yard.disarm()
        self.yard.paper.control("/paper/faults", method="DELETE")

    def _set_clocks(self, shift: float) -> None:
        """Start the traders whose clocks are to be off by something else."""
        for group in self.yard.groups:
            if group.name.startswith("trader") and group.shift != shift:
                self.yard.kill(group)
                group.shift = shift
                self.yard.start(group)

    def _where(self) -> dict[str, str]:
        """The requests that the network fault is for."""
        if not self.scenario.any_post:
            return {"method": "POST", "path": ORDER_PATHS[self.scenario.market]}
        return {"method": "POST" if self.scenario.seed % 2 else "DELETE"}

    def _failpoint(self) -> str:
        action = self.scenario.action
        if action.startswith(("kill", "freeze", "crash")):
            return action.split()[0]
        return "timeout" if action == "interrupt" else "hold"

    def _tend(self) -> None:
        """React to a failpoint that struck, let a frozen worker go on when it is time, start dead ones."""
        struck = self.scenario.action != "none" and self.yard.struck(self.scenario.step)
        if struck and not self._reacted:
            self._reacted = True
            self.figures.struck += 1
            self._react(struck)
        if self._resume_at and time.monotonic() > self._resume_at:
            self._resume()
        self.figures.restarts += self.yard.restart_dead()
        if self._killed_at is not None:
            began, slot = self._killed_at
            if ScreenRun.objects.filter(slot__gt=slot, finished_at__isnull=False).exists():
                self.figures.first_ticks.append(time.monotonic() - began)
                self._killed_at = None

    def _react(self, pid: int) -> None:
        action = self.scenario.action
        if action == "kill all":
            self._killed_at = (time.monotonic(), self._slot)
            for group in self.yard.groups:
                self.yard.kill(group)
            redis_client().flushdb()
        elif action.startswith("freeze"):
            if action == "freeze and cut":
                self.servers.cut_sessions()
            self._resume_at = time.monotonic() + self.scenario.seconds
        elif action in self.servers.redis_troubles:
            with self.servers.redis_troubles[action]():
                self.yard.release(self.scenario.step)
                time.sleep(self.scenario.seconds)
        else:
            self._while_held(action, pid)
            self.yard.release(self.scenario.step)

    def _while_held(self, action: str, pid: int) -> None:
        if action == "terminate":
            self.yard.terminate(self.yard.group_of(pid))
        elif action == "cut":
            self.servers.cut_sessions()
        elif action == "flush":
            redis_client().flushdb()
        elif action == "postgres":
            self.servers.restart_postgres()

    def _resume(self) -> None:
        self._resume_at = 0.0
        pid = self.scenario.action.startswith("freeze") and self.yard.struck(self.scenario.step)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    # Time

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Send ticks until the condition holds."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(*PASSING):
                self._tend()
                if time.monotonic() > self._next_tick:
                    self._tick()
                if condition():
                    return
            if time.monotonic() > end:
                raise TrialFailed(f"not within {PATIENCE_SECONDS:.0f} s: {what}\n{self._story()}")
            self._recover_connection()
            time.sleep(0.02)

    def _recover_connection(self) -> None:
        if connection.connection is not None and connection.connection.closed:
            connection.close()

    def _with_patience(self, act: Callable[[], Any]) -> Any:
        """A service's answer; a busy bot, or a server that is away, is asked again."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return act()
            except (BotBusy, ExchangeError, *PASSING):
                if time.monotonic() > end:
                    raise
            self._recover_connection()
            with contextlib.suppress(*PASSING):
                self._tend()
            time.sleep(0.05)

    def _tick(self) -> None:
        self._next_tick = time.monotonic() + TICK_SECONDS
        self._slot = next(SLOTS)
        self.market.enters = self.scenario.side
        self.market.publish()
        for _ in range(self.scenario.schedulers):
            run_all_active_bots_every_minute.send(self._slot.isoformat())
        if self.scenario.copies > 1:
            for bot in self.bots:
                for _ in range(self.scenario.copies):
                    run_bot.send(bot.pk, self._slot.isoformat(), "minute", self._slot.isoformat())

    def _quiet(self, phase: str) -> bool:
        """Whether the bots are where the phase takes them and nothing is open."""
        account, wanted = self.account, self.must_strike and self.scenario.action != "none"
        if wanted and phase == self.scenario.phase and not self._reacted:
            return False
        if BotState.objects.filter(bot__account=account).exclude(in_position=phase == "entry").exists():
            return False
        if OrderRequest.objects.filter(account=account, state__in=DOUBT_STATES).exists():
            return False
        if (
            phase == "entry"
            and BotState.objects.filter(bot__account=account, naked_since__isnull=False).exists()
        ):
            return False
        if phase == "exit" and Order.objects.filter(account=account, live=True).exists():
            return False
        if BotInbox.objects.filter(bot__account=account, handled_at__isnull=True).exists():
            return False
        unbooked = Order.objects.filter(account=account, live=False, fills_complete=False)
        return not unbooked.filter(executed_quantity__gt=0).exists()

    def _clean_up(self) -> None:
        """Nothing armed, nothing frozen, everybody alive."""
        for group in self.yard.groups:
            if group.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group.pid, signal.SIGCONT)
        self.yard.disarm()
        self.yard.paper.control("/paper/faults", method="DELETE")
        self.yard.restart_dead()

    # The books

    def _check(self) -> None:
        client = client_for(self.account, self.scenario.market, "exit")
        account = {"account": self.account}
        found = self._duplicates(client)
        self.figures.duplicates += len(found)
        findings = invariants.check_database(Scope(account_id=self.account.pk), now=clock.now())
        findings += self._with_patience(
            lambda: books_check.against_exchange(Pair(self.account, self.scenario.market))
        )
        wrong = [f"{one.invariant} {one.object}: {one.sentence}" for one in errors(findings)]
        self.figures.lost_fills += sum(one.startswith("I13") for one in wrong)
        self.figures.differences += len(wrong)
        self.figures.trials += 1
        for row in OrderRequest.objects.filter(**account):
            self.figures.note_doubt(row)
            self.figures.states[row.state] += 1
        for state in BotState.objects.filter(bot__account=self.account):
            self.figures.note_naked(state.naked_longest_seconds)
        late = [kind for kind, doubt in self.figures.doubts.items() if doubt.late]
        self.figures.fills += Fill.objects.filter(**account).count()
        found += [*wrong, *(f"a doubt ended late: {kind}" for kind in late)]
        if found:
            raise TrialFailed("\n".join([*found, self._story()]))

    def _duplicates(self, client: Any) -> list[str]:
        """Exchange orders beyond the one that each decision may have."""
        rows = [row for bot in self.bots for row in client.all_orders(bot.symbol)]
        ours = [row for row in rows if row["clientOrderId"].startswith(PREFIX)]
        self.figures.orders += len(ours)
        found = [
            f"{number} orders of the id {name}"
            for name, number in Counter(row["clientOrderId"] for row in ours).items()
            if number > 1
        ]
        known = {order.client_order_id: order for order in Order.objects.filter(account=self.account)}
        decisions: Counter[tuple[Any, ...]] = Counter()
        for row in ours:
            order = known.get(row["clientOrderId"])
            if order is None:
                found.append(f"an order that the journal lacks: {row['clientOrderId']}")
            elif order.purpose == "ENTRY" and float(row["executedQty"]):
                decisions[order.bot_id, order.purpose] += 1  # one entry a bot and trial
            elif float(row["executedQty"]) and order.status == "FILLED":
                decisions[order.bot_id, "EXIT"] += 1  # by hand, at the stop or at the target
        twice = [(name, number) for name, number in decisions.items() if number > 1]
        found += [f"{number} orders for one decision: {name}" for name, number in twice]
        return found

    def _story(self) -> str:
        """What the journal holds of this trial, for a failure."""
        lines = [str(self.scenario)]
        with contextlib.suppress(*PASSING):
            for bot in self.bots:
                state = BotState.objects.get(bot=bot)
                lines.append(
                    f"bot {bot.pk} {bot.symbol}: {state.status} {state.status_reason} hold={state.hold!r} "
                    f"in_position={state.in_position} exit_wanted={state.exit_wanted!r} "
                    f"{state.last_error_message}"
                )
            for row in OrderRequest.objects.filter(account=self.account).order_by("id"):
                lines.append(
                    f"{row.client_id} {row.lane} {row.state}: {row.reason} "
                    f"{row.created_at:%H:%M:%S.%f} to {row.resolved_at}"
                )
        lines.append(self.yard.log())
        return "\n".join(lines)
