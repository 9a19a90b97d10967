"""Which bots a switch covers, what may be asked, by whom, and what the database holds."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from bots import services_kill
from bots.kill_check import LEVELS, SCOPES, check
from bots.models import BotConfig
from bots.services_kill import begin, lift
from tests.support.owners import NOW, load_symbols, make_account, make_bot, make_owner, row_counts
from tradebot.errors import InvalidInput, Refused
from trading import kill
from trading.models import AuditEntry, KillSwitch

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> dict[str, Any]:
    """Olga with two accounts and three bots, Eve with one bot, and a superuser."""
    load_symbols()
    olga, eve = make_owner("olga"), make_owner("eve")
    main, other = make_account(olga, name="main"), make_account(olga, name="other")
    return {
        "olga": olga,
        "eve": eve,
        "root": make_owner("root", superuser=True),
        "main": main,
        "other": other,
        "btc": make_bot(main, name="btc"),
        "eth": make_bot(main, name="eth", symbol="ETHUSDT"),
        "btc2": make_bot(other, name="btc2"),
        "eves": make_bot(make_account(eve, name="eve's"), name="eves"),
    }


def values(people: dict[str, Any], scope: str, **named: Any) -> dict[str, Any]:
    """A body; names of people's rows become their numbers."""
    row_ids = {name: people[value].pk if value in people else value for name, value in named.items()}
    return {"scope": scope, "level": "no_entries", "reason": "a test", **row_ids}


COVERED = [
    ("all", {}, {"btc", "eth", "btc2", "eves"}),
    ("owner", {"user": "olga"}, {"btc", "eth", "btc2"}),
    ("account", {"account": "main"}, {"btc", "eth"}),
    ("bot", {"bot": "eth"}, {"eth"}),
    ("symbol", {"symbol": "BTCUSDT"}, {"btc", "btc2", "eves"}),
    ("symbol", {"symbol": "BTCUSDT", "market": "spot", "account": "other"}, {"btc2"}),
    ("symbol", {"symbol": "BTCUSDT", "market": "futures"}, set()),
]


@pytest.mark.parametrize(("scope", "named", "names"), COVERED)
def test_a_switch_bars_exactly_the_bots_of_its_scope(people, scope, named, names) -> None:
    switch = begin(by=people["root"], values=values(people, scope, **named), now=NOW)
    bots = list(BotConfig.objects.all())
    barred = "the kill switch is on: a test"
    assert {bot.name for bot in bots if kill.entries_barred(bot)} == names
    assert {kill.entries_barred(bot) for bot in bots} <= {None, barred}
    shown = kill.Switches()
    assert {bot.name for bot in bots if shown.note(bot) == barred} == names
    assert {bot.name for bot in bots if shown.note(bot) == ""} == {bot.name for bot in bots} - names
    assert set(services_kill.covered(switch).values_list("name", flat=True)) == names
    assert {bot.name for bot in bots if kill.key_of(switch) in kill.keys_of(bot)} == names
    lift(switch=switch, by=people["root"], now=NOW)
    assert {kill.entries_barred(bot) for bot in bots} == {None}


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_is_tried_above(scope: str) -> None:
    assert scope in {row[0] for row in COVERED}


def test_without_switches_an_entry_costs_two_queries(people, django_assert_num_queries) -> None:
    with django_assert_num_queries(2):
        assert kill.entries_barred(people["btc"]) is None


@pytest.mark.parametrize(
    ("scope", "named"),
    [
        ("owner", {}),
        ("owner", {"user": "olga"}),
        ("account", {"account": "main"}),
        ("bot", {"bot": "btc"}),
        ("symbol", {"symbol": "BTCUSDT", "account": "other"}),
    ],
)
def test_owners_switch_off_what_is_theirs(people, scope, named) -> None:
    switch = begin(by=people["olga"], values=values(people, scope, **named), now=NOW)
    assert (switch.user, switch.set_by, switch.set_at) == (people["olga"], people["olga"], NOW)


@pytest.mark.parametrize(
    ("scope", "named", "field"),
    [
        ("all", {}, "scope"),
        ("owner", {"user": "eve"}, "user"),
        ("account", {"account": "eves"}, "account"),
        ("bot", {"bot": "eves"}, "bot"),
        ("symbol", {"symbol": "BTCUSDT"}, "account"),
        ("symbol", {"symbol": "btcusdt", "account": "main"}, "symbol"),
        ("symbol", {"symbol": "../../x", "account": "main"}, "symbol"),
        ("symbol", {"symbol": "", "account": "main"}, "symbol"),
        ("symbol", {"symbol": "BTCUSDT", "market": "margin", "account": "main"}, "market"),
        ("symbol", {"symbol": "A" * 41, "account": "main"}, "symbol"),
        ("account", {}, "account"),
        ("bot", {}, "bot"),
        ("bot", {"bot": -1}, "bot"),
        ("bot", {"bot": True}, "bot"),
        ("bot", {"bot": "1"}, "bot"),
        ("bot", {"bot": 10**30}, "bot"),
        ("bot", {"bot": "btc", "account": "main"}, "account"),
        ("all", {"symbol": "BTCUSDT"}, "symbol"),
        ("", {}, "scope"),
        ("everything", {}, "scope"),
        (7, {}, "scope"),
        ("owner", {"level": "some"}, "level"),
        ("owner", {"level": 1}, "level"),
        ("owner", {"reason": ""}, "reason"),
        ("owner", {"reason": None}, "reason"),
        ("owner", {"reason": "a\x00b"}, "reason"),
        ("owner", {"reason": "r" * 101}, "reason"),
        ("owner", {"reason": ["x"]}, "reason"),
    ],
)
def test_what_is_wrong_or_somebody_elses_names_its_field_and_stores_nothing(
    people, scope, named, field
) -> None:
    before = row_counts()
    asked = values(
        people, scope, **{name: value for name, value in named.items() if not isinstance(value, list)}
    )
    asked |= {name: value for name, value in named.items() if isinstance(value, list)}
    with pytest.raises(InvalidInput) as caught:
        begin(by=people["olga"], values=asked, now=NOW)
    assert caught.value.field == field
    assert str(caught.value).endswith(".")
    assert row_counts() == before


def test_a_foreign_bot_is_refused_in_the_words_of_one_that_does_not_exist(people) -> None:
    texts = set()
    for bot in (people["eves"].pk, 10**9):
        with pytest.raises(InvalidInput) as caught:
            check(by=people["olga"], values=values(people, "bot", bot=bot))
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_the_same_scope_again_raises_the_level_and_never_lowers_it(people) -> None:
    asked = values(people, "account", account="main")
    first = begin(by=people["olga"], values=asked | {"level": "cancel"}, now=NOW)
    again = begin(by=people["olga"], values=asked | {"reason": "other words"}, now=NOW)
    assert (again.pk, again.level, again.reason) == (first.pk, "cancel", "other words")
    assert begin(by=people["olga"], values=asked | {"level": "flatten"}, now=NOW).level == "flatten"
    assert KillSwitch.objects.count() == 1
    assert LEVELS == ("no_entries", "cancel", "flatten")


def test_every_action_is_in_the_audit_log(people) -> None:
    switch = begin(by=people["olga"], values=values(people, "owner"), now=NOW)
    begin(by=people["olga"], values=values(people, "owner") | {"level": "flatten"}, now=NOW)
    lift(switch=switch, by=people["olga"], reason="it is over", now=NOW)
    rows = AuditEntry.objects.filter(object_type="trading.killswitch", object_id=str(switch.pk)).order_by(
        "pk"
    )
    assert [(row.user, row.action, row.reason) for row in rows] == [
        (people["olga"], "kill switch on", "a test"),
        (people["olga"], "kill switch on again", "a test"),
        (people["olga"], "kill switch off", "it is over"),
    ]
    assert (rows[1].before["level"], rows[1].after["level"]) == ("no_entries", "flatten")
    assert (rows[2].before["lifted"], rows[2].after["lifted"]) == (False, True)


def test_lifting_is_for_whoever_set_it_and_for_operators(people) -> None:
    own = begin(by=people["olga"], values=values(people, "bot", bot="btc"), now=NOW)
    theirs = begin(by=people["root"], values=values(people, "account", account="main"), now=NOW)
    everything = begin(by=None, values=values(people, "all"), now=NOW)
    with pytest.raises(Refused, match="set by an operator"):
        lift(switch=theirs, by=people["olga"], now=NOW)
    for switch in (own, theirs, everything):
        with pytest.raises(InvalidInput, match="There is no kill switch"):
            lift(switch=switch, by=people["eve"], now=NOW)
    with pytest.raises(InvalidInput, match="There is no kill switch"):
        lift(switch=everything, by=people["olga"], now=NOW)
    lifted = lift(switch=own, by=people["olga"], now=NOW)
    assert (lifted.lifted_by, lifted.lifted_at) == (people["olga"], NOW)
    with pytest.raises(Refused, match="was lifted already"):
        lift(switch=own, by=people["olga"], now=NOW)
    lift(switch=theirs, by=people["root"], now=NOW)
    lift(switch=everything, by=None, now=NOW)
    assert not KillSwitch.objects.filter(lifted_at__isnull=True).exists()


def test_a_lifted_scope_can_be_switched_off_anew(people) -> None:
    first = begin(by=None, values=values(people, "all"), now=NOW)
    lift(switch=first, by=None, now=NOW)
    assert begin(by=None, values=values(people, "all"), now=NOW).pk != first.pk


def test_the_database_allows_one_switch_in_force_for_a_scope_and_no_half_scope(people) -> None:
    begin(by=None, values=values(people, "all"), now=NOW)
    for wrong in (
        {"scope": "all", "key": "all"},
        {"scope": "bot", "key": "bot:1"},
        {"scope": "account", "account": people["main"], "key": "account:1"},
        {"scope": "all", "key": "x", "symbol": "BTCUSDT"},
        {"scope": "symbol", "key": "y", "symbol": "BTCUSDT"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            KillSwitch.objects.create(reason="x", set_at=NOW, **wrong)
