"""One run of one bot: recover, then decide and carry out step after step until nothing is left to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings

from bots import deciding, futures, inbox, probes, run_watch, runs
from bots.deciding import Prepared, Run
from bots.models import BotConfig
from bots.runs import RunResult
from bots.snapshot import MarketCache
from marketdata import prices, symbols
from marketdata.types import Price
from tradebot import clock, failpoints
from tradebot.binance.answers import says_symbol_changed
from tradebot.errors import (
    BotBusy,
    ClientInitFailed,
    ExchangeError,
    IllegalTransition,
    KeyDecryptFailed,
    KeyRefused,
)
from tradebot.logs import add_log_ids, log_context
from trading import money, orders, recovery, resting
from trading.accounts import client_for
from trading.models import BotState, OrderRequest
from trading.models.journal import OPEN_STATES

logger = logging.getLogger(__name__)

STILL_OPEN_SECONDS = 1  # a withdrawn order that is not over yet is looked at again after this


def run_bot(
    bot_id: int, *, trigger: str, key: str, slot: datetime, now: Callable[[], datetime] = clock.now
) -> RunResult:
    """Run the bot once, for real. Called by an actor or a command, never inside a transaction.

    A busy bot, or a run that was already made for this (trigger, key), ends at once and no order leaves.
    Failures are written to the bot's state (`error (...)`) and told in the result; other bots go on.
    """
    with log_context(bot=bot_id):
        return _run_bot(bot_id, trigger, key, slot, now)


def _run_bot(bot_id: int, trigger: str, key: str, slot: datetime, now: Callable[[], datetime]) -> RunResult:
    config, row_version = probes.read_bot(bot_id)
    with run_watch.watched(config, now()):
        return _run_config(config, row_version, trigger, key, slot, now)


def _run_config(
    config: BotConfig, row_version: str, trigger: str, key: str, slot: datetime, now: Callable[[], datetime]
) -> RunResult:
    try:
        client = client_for(config.account, config.market, "exit")
    except KeyDecryptFailed as error:
        return runs.fail(config, trigger, key, slot, "api key decrypt failed", str(error), now())
    except ClientInitFailed as error:
        return runs.fail(config, trigger, key, slot, "client init failed", str(error), now())
    started = now()
    market = MarketCache([config], started, has_switches=False)
    run = Run(config, row_version, trigger, key, slot, now, client, market, started)
    try:
        return _run(run)
    except (BotBusy, IllegalTransition):
        return RunResult("busy")  # another worker has the bot, or ended the request meanwhile
    except KeyRefused as error:
        return runs.fail(config, trigger, key, slot, "api key refused", str(error), now(), hold="key")
    except ExchangeError as error:
        return runs.fail(config, trigger, key, slot, "exchange", str(error), now())


def _run(run: Run) -> RunResult:
    deadline = time.monotonic() + settings.TIMINGS.run_budget_seconds
    recovered = None
    found = probes.before(run.config, _quote(run), run.started)
    if found.has_kill_switch:
        run.market.read_switches()
    if found.has_doubts:
        _know_rules(run)  # without them what is found would be booked, and the balances left as they are
        rules = run.market.rules(run.config)
        recovered = recovery.recover(run.config.pk, client=run.client, rules=rules, now=run.now())
        run.sellable = recovered.sellable
        run.started = run.now()
        found = probes.before(run.config, _quote(run), run.started)
    _freshen(run, found.has_fresh_balance)
    run.asked = found.order_news
    if found.has_live:
        _ask_for_orders(run)
    futures.make_sure(run.config, run.client, run.fresh_price, run.started)
    while True:
        prepared = deciding.decide_and_prepare(run)
        prepared, goes_on = _carry_out(run, prepared)
        if not goes_on or time.monotonic() >= deadline:
            break
    ended = run.looked_at or run.now()
    result = runs.finish(run.row, run.requests, prepared.outcome, run.reasons, ended, run.said)
    if run.has_filled and not run.requests:
        result = "filled"
    if recovered is not None and recovered.look_again_at is not None:
        run.look_again_at = recovered.look_again_at
    if run.requests and run.requests[-1].state in OPEN_STATES:
        run.look_again_at = run.requests[-1].next_ask_at
    return RunResult(result, tuple(run.reasons), run.look_again_at)


def _know_rules(run: Run) -> None:
    """The symbol's rules are fetched where Redis lacks them."""
    if run.market.rules(run.config) is None and symbols.refresh_if_missing(run.client.source):
        run.market = MarketCache([run.config], run.now())


def _quote(run: Run) -> str:
    rules = run.market.rules(run.config)
    return rules.quote if rules else "USDT"


def _freshen(run: Run, has_fresh_balance: bool) -> None:
    """Before the lock: a balance older than 60 s is asked for, and a price that the feed does not have."""
    now = run.started
    _know_rules(run)
    if not has_fresh_balance:
        money.refresh(run.config.account_id, run.config.market, _quote(run), run.client, now)
    price = run.market.view(run.config).price
    if price is not None and (now - price.at).total_seconds() <= settings.TIMINGS.price_max_age_seconds:
        return
    try:
        run.fresh_price = Price(float(run.client.price(run.config.symbol)), now)
    except KeyRefused:
        raise
    except ExchangeError as error:
        run.price_error = str(error)
    else:
        prices.store(run.client.source, {run.config.symbol: run.fresh_price.price}, now)


def _ask_for_orders(run: Run) -> None:
    """What rests on the exchange is asked for when it is old, was heard of, or the price has passed it."""
    live = resting.live_orders([run.config.pk]).get(run.config.pk, [])
    accepted = [order for order in live if order.request.state == OrderRequest.State.ACCEPTED]
    if not accepted:
        return
    price = run.market.view(run.config, run.fresh_price).price
    is_due = (
        resting.is_due(accepted, run.now())
        or bool(run.asked)
        or any(price is not None and resting.is_passed(order, price.price) for order in accepted)
    )
    if is_due:
        rules = run.market.rules(run.config)
        run.has_filled |= resting.ask(run.config.pk, client=run.client, rules=rules, now=run.now)


def _carry_out(run: Run, prepared: Prepared) -> tuple[Prepared, bool]:
    """Do the step that T1 committed; gives what it came to, and whether to decide again."""
    if prepared.request is not None:
        return _send(run, prepared)
    if prepared.withdrawal is None:
        if prepared.outcome == "in flight" or not inbox.has_open(run.config.pk):
            return prepared, False
        run.asked = inbox.order_news(run.config.pk)
        _ask_for_orders(run)
        return prepared, True
    is_over = resting.withdraw(
        prepared.withdrawal, run.config.pk, client=run.client, rules=prepared.rules, now=run.now
    )
    failpoints.reached("withdraw.before_place")
    if not is_over:
        run.look_again_at = run.now() + timedelta(seconds=STILL_OPEN_SECONDS)
    return prepared, is_over


def _send(run: Run, prepared: Prepared) -> tuple[Prepared, bool]:
    """T2: send the committed request, then say on the state what came of it."""
    request = prepared.request
    if request is None or prepared.rules is None:
        raise IllegalTransition("there is nothing to send")
    add_log_ids(request=request.client_id)
    failpoints.reached("prepare.committed")
    sent = orders.send(
        request.pk,
        bot_id=run.config.pk,
        epoch=request.epoch,
        client=run.client.for_lane(_lane(request)),
        still_wanted=_why_not_wanted,
        rules=prepared.rules,
        now=run.now,
        bot=run.config,
    )
    failpoints.reached("send.committed")
    run.requests[-1] = sent
    if orders.finds_no_position(sent):
        gone = futures.book_gone(run.config, run.client, prepared.rules, run.now())
        run.reasons.insert(0, gone.text)
        return replace(prepared, outcome="external"), False
    if sent.state != "ACCEPTED":
        runs.note_outcome(run.config.pk, sent)
    if sent.state == "REJECTED" and says_symbol_changed(run.config.market, sent.code, sent.reason):
        symbols.refresh_after_refusal(run.client.source)  # for the next slot; nothing is locked here
    if sent.code == orders.ORDERS_IN_THE_WAY and not run.withdraw_first:
        run.withdraw_first = True
        return prepared, True
    if orders.came_too_late(sent):
        return prepared, True
    return prepared, sent.state == "ACCEPTED" and deciding.is_more_to_do(run)


def _lane(request: OrderRequest) -> Literal["entry", "exit"]:
    return "entry" if request.lane == "entry" else "exit"


def _why_not_wanted(state: BotState) -> str | None:
    """Why a committed entry is not wanted any more; send() has read the bot again under the lock."""
    if not state.bot.is_active:
        return "the bot was paused"
    if state.hold:
        return f"the bot is paused ({state.hold})"
    if state.exit_wanted:
        return state.exit_wanted
    return None
