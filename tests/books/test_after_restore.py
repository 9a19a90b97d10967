"""A restored backup: a new nonce in every worker at once, bots held, positions still protected."""

from __future__ import annotations

import json

import dramatiq
import pytest
from django.core.management import call_command
from django.db import connection

from bots import runner, services
from bots.actors import wake_bot
from bots.restoring import after_restore
from tests.books.conftest import AT_SIGNAL
from tradebot import clock
from tradebot.errors import InvalidInput, Refused
from trading import deployments, ids, orders
from trading.models import (
    AccountState,
    AccountSweep,
    AuditEntry,
    BotState,
    Deployment,
    Order,
    OrderRequest,
    SymbolClaim,
)


def restore(nonce: str | None = None):
    return after_restore(by=None, nonce=nonce, reason="the disk died", now=clock.now())


def nonce_of(request: OrderRequest) -> str:
    parts = ids.parse(request.client_id)
    assert parts is not None
    return parts.nonce


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tb1-abc123-1z-zz", ("abc123", 71, 1295, "")),
        ("tb1-abc123-1-zzS", ("abc123", 1, 1295, "S")),
        ("tb1-abc123-1-", None),
        ("tb1-abc12-1-1", None),
        ("x-abc123-1-1", None),
        ("tb1-abc123-1-1-1", None),
        ("", None),
    ],
)
def test_a_client_id_is_taken_apart(text, parts):
    assert ids.parse(text) == parts
    if parts is not None and not parts[3]:
        assert ids.client_id(*parts[:3]) == text


def test_the_first_nonce_is_that_of_the_environment(db, settings):
    assert deployments.nonce_in_force(clock.now()) == settings.DEPLOYMENT_NONCE
    settings.DEPLOYMENT_NONCE = "later0"
    assert deployments.nonce_in_force(clock.now()) == "tests0"
    assert Deployment.objects.get().reason == "DEPLOYMENT_NONCE of the environment"


def test_after_a_restore_bots_are_held_and_the_next_order_has_the_new_nonce(desk, holder):
    assert nonce_of(OrderRequest.objects.get()) == "tests0"
    AccountSweep.objects.update_or_create(
        account=desk.account, market="spot", defaults={"doubtful": False, "doubt": ""}
    )
    done = restore("new123")
    assert (done.nonce_before, done.nonce, done.bots_paused, done.bots_held) == ("tests0", "new123", 1, 1)
    assert (done.in_position, done.accounts) == (1, 1)
    state = desk.state(holder)
    assert (state.hold, state.status, state.in_position) == ("drift", "paused (drift)", True)
    assert not AccountState.objects.filter(asked_at__isnull=False).exists()
    assert AccountSweep.objects.get().doubt.startswith("a backup was restored")
    services.bot_close(bot=holder, by=desk.owner)
    assert desk.run(holder, key="close").outcome == "traded"
    assert nonce_of(OrderRequest.objects.filter(lane="exit").get()) == "new123"
    entry = AuditEntry.objects.get(action="after_restore")
    assert (entry.before, entry.after["nonce"], entry.reason) == (
        {"nonce": "tests0"},
        "new123",
        "the disk died",
    )


def test_a_held_bot_does_not_enter_even_when_started(desk):
    bot = desk.add_bot()
    restore()
    services.bot_start(bot=bot, by=desk.owner)
    desk.go_to(AT_SIGNAL)
    assert desk.run(bot).outcome == "held"
    assert not Order.objects.exists()


def test_a_request_prepared_before_the_restore_is_not_sent_after_it(desk, monkeypatch):
    bot = desk.add_bot()
    desk.go_to(AT_SIGNAL)
    sent = []
    really = orders.send

    def restored_first(request_id: int, **options: object):
        if not sent:
            restore("new123")
        sent.append(really(request_id, **options))  # type: ignore[arg-type]
        return sent[-1]

    monkeypatch.setattr(runner.orders, "send", restored_first)
    desk.run(bot)
    (request,) = sent
    assert request.state == "PREPARED"
    assert desk.exchange_orders() == []


@pytest.mark.broken_books("an id is changed by hand")
def test_a_nonce_is_never_used_twice(desk, holder):
    for used in ("tests0", "new123"):
        if used == "new123":
            restore(used)
        before = BotState.objects.get().epoch
        with pytest.raises(Refused, match=f"The nonce {used} was used before"):
            restore(used)
        assert BotState.objects.get().epoch == before
    Deployment.objects.all().delete()
    with connection.cursor() as cursor:  # an id that only the journal remembers
        cursor.execute("UPDATE trading_order SET client_order_id = 'tb1-journl-1-1'")
    with pytest.raises(Refused):
        restore("journl")
    made = {restore().nonce for _ in range(3)}
    assert len(made) == 3


@pytest.mark.parametrize("nonce", ["", "abc", "abc-12", "abcdefg", "äbcdef"])
def test_a_malformed_nonce_changes_nothing(db, nonce):
    with pytest.raises(InvalidInput, match="six letters or digits"):
        deployments.check_new(nonce)
    assert not Deployment.objects.exists()


def test_flat_bots_give_their_symbols_free_and_old_messages_are_dropped(desk, holder):
    wake_bot(holder.pk, 1)
    broker = dramatiq.get_broker()
    assert broker.do_qsize("exits") == 1
    call_command("after_restore", "--yes")
    assert broker.do_qsize("exits") == 0
    assert SymbolClaim.objects.filter(bot=holder).exists(), "it is in position"
    services.bot_close(bot=holder, by=desk.owner)
    desk.wait(5)
    desk.run(holder, key="close")
    call_command("after_restore", "--yes")
    assert not SymbolClaim.objects.exists()


def test_the_command_asks_first_and_answers_in_json(desk, holder, capsys):
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        call_command("after_restore")
    assert ended.value.code == 4
    assert "Say --yes" in capsys.readouterr().err
    assert not Deployment.objects.filter(reason="a backup was restored").exists()
    call_command("after_restore", "--yes", "--json", "--nonce", "cmd123", "--reason", "a test")
    document = json.loads(capsys.readouterr().out)
    assert (document["nonce"], document["bots_paused"]) == ("cmd123", 1)
    with pytest.raises(SystemExit) as ended:
        call_command("after_restore", "--yes", "--json", "--nonce", "cmd123")
    assert ended.value.code == 4
    with pytest.raises(SystemExit) as ended:
        call_command("after_restore", "--yes", "--nonce", "x")
    assert ended.value.code == 2
