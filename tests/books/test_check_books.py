"""manage.py check_books, the hourly check with its alerts, metric and line of the doctor."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import call_command

from bots import health_checks, metrics
from bots.actors import check_books
from tests.books.conftest import AT_SIGNAL
from tradebot import clock
from tradebot.health import Unhealthy
from trading import books_check
from trading.models import AccountState, BooksCheck, BotState, Order, OrderRequest, OutboxMessage

pytestmark = pytest.mark.broken_books("the books are broken to see it reported")


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    capsys.readouterr()
    code = 0
    try:
        call_command("check_books", *arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_books_in_order_are_exit_code_0(desk, holder, capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert out.startswith("The books are in order (compared with paper spot; ")
    code, out, _ = run(
        capsys, "--json", "--strict", "--bot", str(holder.pk), "--account", str(desk.account.pk)
    )
    document = json.loads(out)
    assert code == 0
    assert (document["in_order"], document["findings"], document["compared"]) == (True, [], ["paper spot"])


def test_a_finding_is_exit_code_3_and_the_json_alone_on_stdout(desk, holder, capsys):
    BotState.objects.update(daily_pnl=1)
    code, out, err = run(capsys, "--json", "--no-exchange")
    document = json.loads(out)
    assert (code, err, document["compared"]) == (3, "", [])
    (found,) = document["findings"]
    assert (found["invariant"], found["object"], found["bot_id"]) == ("I7", f"bot {holder.pk}", holder.pk)
    code, out, _ = run(capsys, "--no-exchange")
    assert (code, out.startswith(f"FAIL  I7   bot {holder.pk}: counted 1 entries and 1 on ")) == (3, True)


def test_a_warning_fails_only_when_strict(holder, capsys):
    request = OrderRequest.objects.get()
    request.pk, request._state.adding = None, True
    request.client_id, request.state, request.reserved_amount = "tb1-tests0-1-q", "PREPARED", 0
    request.save()
    OrderRequest.objects.filter(pk=request.pk).update(state="QUARANTINED", reason="it contradicts itself")
    assert run(capsys, "--no-exchange")[0] == 0
    code, out, _ = run(capsys, "--no-exchange", "--strict")
    assert (code, out) == (
        3,
        "WARN  I3   request tb1-tests0-1-q: somebody must settle the quarantined request: "
        "it contradicts itself\n",
    )


def test_an_exchange_that_does_not_answer_is_named_and_fails_only_when_strict(desk, holder, capsys, settings):
    settings.PAPER_SPOT_URL = "http://127.0.0.1:1"
    code, out, _ = run(capsys, "--json")
    (failed,) = json.loads(out)["not_compared"]
    assert (code, failed["account"]) == (0, "paper spot")
    assert run(capsys, "--strict")[0] == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--account", "77"], "There is no account '77'; the accounts are in the admin."),
        (["--bot", "x"], "There is no bot 'x'; `manage.py bots` lists them."),
        (["--bot", "-1"], "There is no bot '-1'; `manage.py bots` lists them."),
    ],
)
def test_an_unknown_id_is_exit_code_2(db, capsys, arguments, sentence):
    code, out, err = run(capsys, f"{arguments[0]}={arguments[1]}")
    assert (code, out, err.strip()) == (2, "", sentence)


def test_the_hourly_check_stores_what_it_found_and_tells_the_owner_and_the_staff_once(
    desk, holder, django_user_model
):
    staff = django_user_model.objects.create_superuser("root", password="root-password-1")
    check_books()
    scopes = {check.scope: check.findings for check in BooksCheck.objects.all()}
    assert scopes == {"database": [], f"exchange:{desk.account.pk}:spot": []}
    OutboxMessage.objects.all().delete()
    BotState.objects.update(daily_pnl=1)
    check_books()
    assert [row["invariant"] for row in BooksCheck.objects.filter(scope="database")[0].findings] == ["I7"]
    told = OutboxMessage.objects.order_by("user_id")
    assert [message.user_id for message in told] == [desk.owner.pk, staff.pk]
    assert {message.payload["error"] for message in told} == {"books I7"}
    desk.wait(7200)
    check_books()
    assert OutboxMessage.objects.filter(event="error").count() == 2, "nothing new"


def test_the_accounts_whose_comparison_is_the_oldest_come_first_within_the_budget(desk, holder, monkeypatch):
    asked = []
    monkeypatch.setattr(books_check, "against_exchange", lambda pair, since: asked.append(since) or [])
    check_books()
    desk.wait(600)
    check_books()
    assert asked == [None, AT_SIGNAL - timedelta(days=1)]
    monkeypatch.setattr(books_check, "SYMBOL_WEIGHT", 10_000)
    check_books()
    assert len(asked) == 2, "it would not fit into the minute's weight"


def test_an_account_that_can_not_be_asked_is_stored_as_such(desk, holder, settings):
    settings.PAPER_SPOT_URL = "http://127.0.0.1:1"
    check_books()
    failed = BooksCheck.objects.get(scope__startswith="exchange")
    assert failed.error
    assert failed.findings == []


def test_the_metric_counts_findings_and_the_doctor_names_the_first(desk, holder):
    assert health_checks.books() == "The books were not checked yet."
    Order.objects.update(created_at=AT_SIGNAL - timedelta(hours=3))
    with pytest.raises(Unhealthy, match="not checked within the last two hours"):
        health_checks.books()
    check_books()
    assert health_checks.books() == "The books are in order."
    AccountState.objects.filter(asset="USDT").update(reserved=7)
    check_books()
    with pytest.raises(Unhealthy, match="I9 account"):
        health_checks.books()
    desk.wait(60)
    values = {
        (sample.name, sample.labels.get("invariant")): sample.value
        for metric in metrics.books(clock.now())
        for sample in metric.samples
    }
    assert values["tradebot_books_findings", "I9"] == 1
    assert values["tradebot_books_findings", "I4"] == 0
    assert values["tradebot_books_check_age_seconds", None] == 60
    assert values["tradebot_books_not_compared", None] == 0
