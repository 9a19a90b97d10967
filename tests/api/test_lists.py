"""Lists: pages, filters, orderings, and one number of queries however many rows there are."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bots import services
from bots.models import BotConfig
from tests.api.support import Api, error_of, make_run, make_trade
from tests.support.owners import load_symbols, make_account, make_bot, make_owner, put_in_position
from trading.models import BotState, ExchangeAccount

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.broken_books("rows are made up to be shown"),
]


def names(api: Api, query: str = "") -> list[str]:
    return [row["name"] for row in api.get(f"bots/{query}")["results"]]


@pytest.fixture
def three(account: ExchangeAccount) -> list[BotConfig]:
    """Bots a, b and c on three symbols."""
    pairs = (("a", "BTCUSDT"), ("b", "ETHUSDT"), ("c", "BNBUSDT"))
    return [make_bot(account, name=name, symbol=symbol) for name, symbol in pairs]


def test_pages_follow_each_other_to_the_end(api: Api, three: list[BotConfig]) -> None:
    first = api.get("bots/?page_size=2&ordering=-name")
    assert [row["name"] for row in first["results"]] == ["c", "b"]
    assert first["next"] == "http://testserver/api/v1/bots/?ordering=-name&page=2&page_size=2"
    second = api.get(first["next"].removeprefix("http://testserver"))
    assert ([row["name"] for row in second["results"]], second["next"]) == (["a"], None)
    assert set(first) == {"next", "results"}
    assert api.get("bots/?page=3&page_size=2") == {"next": None, "results": []}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=-1", "page"),
        ("page=0", "page"),
        ("page=x", "page"),
        ("page=", "page"),
        ("page=1.5", "page"),
        ("page=1000000000", "page"),
        ("page=\uff11", "page"),
        ("page_size=1000000000", "page_size"),
        ("page_size=201", "page_size"),
        ("page_size=0", "page_size"),
        ("page_size=-5", "page_size"),
        ("ordering=owner__password", "ordering"),
        ("ordering=user", "ordering"),
        ("ordering=--name", "ordering"),
        ("ordering=name,id", "ordering"),
        ("ordering=account__secret__api_key", "ordering"),
        ("secret__api_key=x", "secret__api_key"),
        ("account__secret__key_hash=x", "account__secret__key_hash"),
        ("account=abc", "account"),
        ("account=-1", "account"),
        ("account=" + "9" * 30, "account"),
        ("account=1e999999999", "account"),
        ("is_active=maybe", "is_active"),
        ("is_active=1", "is_active"),
        ("market=options", "market"),
        ("status=nonsense", "status"),
        ("symbol=" + "X" * 41, "symbol"),
    ],
)
def test_a_bad_page_filter_or_ordering_is_400_at_its_name(api: Api, query: str, field: str) -> None:
    error = error_of(api.send("GET", f"bots/?{query}"), 400)
    assert list(error["fields"]) == [field]
    assert field in error["fields"][field]


def test_bots_are_filtered(api: Api, three: list[BotConfig]) -> None:
    first, second, third = three
    services.bot_start(bot=first, by=first.user)
    BotState.objects.filter(bot=second).update(status="paused (daily loss)")
    BotState.objects.filter(bot=third).update(status="error (exchange)")
    other = make_bot(make_account(first.user, name="other"), name="d")
    assert names(api, "?is_active=true") == ["a"]
    assert names(api, "?is_active=false") == ["b", "c", "d"]
    assert names(api, "?status=paused") == ["b", "d"]
    assert names(api, "?status=error") == ["c"]
    assert names(api, "?status=waiting") == ["a"]
    assert names(api, "?symbol=ETHUSDT") == ["b"]
    assert names(api, "?symbol=nope") == []
    assert names(api, f"?account={other.account_id}") == ["d"]
    assert names(api, "?market=spot&symbol=BNBUSDT") == ["c"]
    assert names(api, "?market=futures") == []


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [("", "abc"), ("id", "abc"), ("-id", "cba"), ("symbol", "cab"), ("-symbol", "bac"), ("-name", "cba")],
)
def test_bots_are_ordered(api: Api, three: list[BotConfig], ordering: str, expected: str) -> None:
    assert "".join(names(api, f"?ordering={ordering}" if ordering else "")) == expected


def test_equal_rows_are_ordered_by_their_id(api: Api, three: list[BotConfig]) -> None:
    assert names(api, "?ordering=status") == ["a", "b", "c"]
    assert names(api, "?ordering=-status") == ["c", "b", "a"]


def test_trades_are_filtered_and_ordered(api: Api, bot: BotConfig) -> None:
    other = make_bot(bot.account, name="other", symbol="ETHUSDT")
    trades = [make_trade(bot, 0, side="BUY"), make_trade(bot, 1), make_trade(other, 2, realized_pnl=-3)]
    ids = [trade.pk for trade in trades]

    def found(path: str) -> list[int]:
        return [ids.index(row["id"]) for row in api.get(path)["results"]]

    assert found("trades/") == [2, 1, 0]
    assert found(f"bots/{bot.pk}/trades/") == [1, 0]
    assert found(f"trades/?bot_config={other.pk}") == [2]
    assert found("trades/?symbol=BTCUSDT&side=BUY") == [0]
    assert found("trades/?ordering=realized_pnl") == [2, 0, 1]
    assert found("trades/?created_at_after=2026-04-01T12:01:00Z") == [2, 1]
    assert found("trades/?created_at_before=2026-04-01T14:01:00%2B02:00") == [0]
    assert found("trades/?created_at_after=2026-04-01T12:01Z&created_at_before=2026-04-01T12:02Z") == [1]
    row = api.get(f"bots/{bot.pk}/trades/?page_size=1")["results"][0]
    assert (row["price"], row["quantity_filled"], row["realized_pnl"]) == ("60000.5", "0.01", "1.25")
    assert row["created_at"] == "2026-04-01T12:01:00Z"


@pytest.mark.parametrize(
    "query",
    [
        "created_at_after=0000-00-00",
        "created_at_after=5%25 of %25s",
        "created_at_after=10000-01-01T00:00:00Z",
        "created_at_after=0001-01-01T00:00:00%2B14:00",
        "created_at_after=9999-12-31T23:59:59-14:00",
        "created_at_after=2026-04-01T12:00:00",
        "created_at_after=2026-04-01",
        "created_at_after=2026-04-01T12:00:00+02:00",
        "created_at_after=2026-02-30T12:00:00Z",
        "created_at_after=yesterday",
        "created_at_after=1775044800",
        "created_at_before=2026-04-01T11:00Z&created_at_after=2026-04-01T12:00Z",
        "created_at_before=2026-04-01T12:00Z&created_at_after=2026-04-01T12:00Z",
    ],
)
def test_a_bad_span_is_400(api: Api, bot: BotConfig, query: str) -> None:
    for path in ("trades/", f"bots/{bot.pk}/trades/"):
        error = error_of(api.send("GET", f"{path}?{query}"), 400)
        assert list(error["fields"]) == [query.split("=")[0]]


def test_runs_are_listed_newest_first_and_each_has_its_address(api: Api, bot: BotConfig) -> None:
    first, second = make_run(bot, 0, reasons="bought"), make_run(bot, 1, trigger="candle")
    make_run(make_bot(bot.account, name="other"), 2)
    assert [row["id"] for row in api.get(f"bots/{bot.pk}/runs/")["results"]] == [second.pk, first.pk]
    assert [row["id"] for row in api.get(f"bots/{bot.pk}/runs/?trigger=minute")["results"]] == [first.pk]
    query = "started_at_after=2026-04-01T12:01Z"
    assert [row["id"] for row in api.get(f"bots/{bot.pk}/runs/?{query}")["results"]] == [second.pk]
    assert api.get(f"runs/{first.pk}/")["reasons"] == "bought"


def test_the_number_of_queries_does_not_grow_with_the_rows(api: Api, owner: Any) -> None:
    load_symbols()
    account = make_account(owner, name="main")
    bot = make_bot(account, name="the first")
    counts: dict[int, dict[str, int]] = {}
    for size in (5, 50):
        for number in range(size):
            made = make_bot(account, name=f"{size} {number}")
            put_in_position(made)
            make_trade(bot, number)
            make_run(bot, size * 1000 + number)
            make_account(owner, name=f"{size} {number}")
        paths = (
            "bots/",
            "accounts/",
            "trades/",
            f"bots/{bot.pk}/trades/",
            f"bots/{bot.pk}/runs/",
            "summary/",
        )
        counts[size] = {path: _queries(api, path) for path in paths}
    assert counts[5] == counts[50]
    assert max(counts[50].values()) <= 10, counts


def _queries(api: Api, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        rows = api.get(path if path == "summary/" else f"{path}?page_size=200")
    assert len(rows.get("results", rows.get("open_positions"))) >= 5
    return len(captured)


def test_a_superuser_lists_every_owners_rows(bot: BotConfig) -> None:
    make_bot(make_account(make_owner()), name="second")
    assert names(Api(make_owner(superuser=True))) == ["first", "second"]


@pytest.mark.parametrize("value", ["%", "%s", "%(a)s", "100%%"])
def test_a_percent_sign_in_a_filter_is_shown_as_it_was_sent(api: Api, bot: BotConfig, value: str) -> None:
    error = error_of(api.send("GET", f"bots/{bot.pk}/runs/?started_at_after={quote(value)}"), 400)
    assert repr(value) in error["fields"]["started_at_after"]
