"""Symbols with their age, and all of a user's bots in one answer."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from bots import services
from bots.models import BotConfig, ScreenRun
from marketdata import prices
from tests.api.support import Api, error_of
from tests.support.owners import NOW, load_symbols, make_account, make_bot, make_owner, put_in_position
from tradebot import clock
from tradebot.binance.sources import source_for
from trading.models import AccountState, BotState

pytestmark = pytest.mark.django_db


def test_symbols_that_trade_are_listed_with_their_age(api: Api) -> None:
    load_symbols()
    answer = api.get("symbols/")
    assert (answer["market"], answer["environment"], answer["stale"], answer["next"]) == (
        "spot",
        "paper",
        False,
        None,
    )
    assert 0 <= answer["age_seconds"] < 60
    assert answer["refreshed_at"].endswith("Z")
    assert {row["symbol"] for row in answer["results"]} == {"BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT"}
    row = next(row for row in answer["results"] if row["symbol"] == "BTCUSDT")
    assert (row["lot_step"], row["tick"], row["min_notional"], row["status"]) == (
        "0.00001",
        "0.01",
        "5",
        "TRADING",
    )
    assert api.get("symbols/?market=spot&environment=paper")["results"] == answer["results"]


def test_an_old_list_says_that_it_is_stale(api: Api, settings: Any) -> None:
    load_symbols()
    settings.SYMBOLS_TTL = 0
    answer = api.get("symbols/")
    assert answer["stale"] is True
    assert answer["results"]


def test_symbols_that_nobody_has_fetched_are_503_with_a_sentence(api: Api) -> None:
    for query in ("", "?environment=live", "?market=futures"):
        error = error_of(api.send("GET", f"symbols/{query}"), 503)
        assert error["code"] == "not_known"
        assert "were never fetched" in error["message"]


@pytest.mark.parametrize("query", ["market=options", "environment=moon", "market=", "symbol=BTCUSDT"])
def test_a_bad_market_is_400(api: Api, query: str) -> None:
    error_of(api.send("GET", f"symbols/?{query}"), 400)


def test_a_user_without_bots_has_an_empty_summary(api: Api) -> None:
    assert api.get("summary/") == {
        "equity": None,
        "pnl_today": "0",
        "pnl_total": "0",
        "unrealized_pnl": "0",
        "open_positions": [],
        "bots": {},
        "active_bots": 0,
        "last_screen": None,
    }


def test_the_summary_adds_up(api: Api, bot: BotConfig) -> None:
    prices.store(source_for("paper", "spot"), {"BTCUSDT": 60100.5}, clock.now())
    second = make_bot(bot.account, name="second", symbol="ETHUSDT")
    gone = make_bot(bot.account, name="gone")
    services.bot_start(bot=second, by=bot.user)
    put_in_position(bot)
    today = clock.now().date()
    BotState.objects.filter(bot=bot).update(trading_day=today, daily_pnl=5, realized_total=20)
    yesterday = today - timedelta(days=1)
    BotState.objects.filter(bot=second).update(trading_day=yesterday, daily_pnl=7, realized_total=7)
    BotState.objects.filter(bot=gone).update(realized_total=-2)
    services.bot_delete(bot=gone, by=bot.user)
    AccountState.objects.create(account=bot.account, asset="USDT", free=Decimal("9000.5"), asked_at=NOW)
    ScreenRun.objects.create(slot=NOW, trigger="minute", chunk=0, bots=2, finished_at=NOW)
    summary = api.get("summary/")
    assert summary == {
        "equity": "9601.505",  # 9000.5 and 0.01 of 60100.5
        "pnl_today": "5",
        "pnl_total": "25",
        "unrealized_pnl": "1",
        "open_positions": [
            {
                "bot": bot.pk,
                "name": "first",
                "account": bot.account_id,
                "market": "spot",
                "symbol": "BTCUSDT",
                "position_type": "long",
                "current_position_size_coins": "0.01",
                "entry_price": "60000.5",
                "price": "60100.5",
                "unrealized_pnl": "1",
            }
        ],
        "bots": {"in position": 1, "waiting": 1},
        "active_bots": 1,
        "last_screen": {"slot": "2026-04-01T12:00:00Z", "finished_at": "2026-04-01T12:00:00Z"},
    }


def test_equity_is_not_known_without_a_price(api: Api, bot: BotConfig) -> None:
    put_in_position(bot)
    AccountState.objects.create(account=bot.account, asset="USDT", free=1, asked_at=NOW)
    summary = api.get("summary/")
    assert (summary["equity"], summary["unrealized_pnl"]) == (None, "0")
    assert summary["open_positions"][0]["price"] is None


def test_the_summary_can_be_of_one_environment(api: Api, bot: BotConfig) -> None:
    load_symbols("testnet")
    make_bot(make_account(bot.user, environment="testnet"), name="on testnet")
    assert api.get("summary/")["bots"] == {"paused": 2}
    assert api.get("summary/?environment=testnet")["bots"] == {"paused": 1}
    assert api.get("summary/?environment=live")["bots"] == {}
    error_of(api.send("GET", "summary/?environment=moon"), 400)


def test_a_superusers_summary_is_of_all(bot: BotConfig) -> None:
    make_bot(make_account(make_owner()), name="x")
    assert Api(make_owner(superuser=True)).get("summary/")["bots"] == {"paused": 2}
