"""manage.py kill_switch: stop entries at once, for everything or for some bots; see what is on; lift it."""

from __future__ import annotations

import argparse
import sys
from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model

from bots import services_kill
from bots.actors import carry_out_kill_switch, deliver_soon, wake_bots
from bots.kill_check import LEVELS, SCOPES
from tradebot.clock import now
from tradebot.commands import UNHEALTHY, TradebotCommand, table
from tradebot.errors import InvalidInput
from tradebot.inputs import parse_decimal, shown
from trading.models import KillSwitch

HEAD = ("ID", "COVERS", "LEVEL", "BOTS", "SET AT", "DRAINED AT", "REASON")
DEFAULT_WAIT = "90"  # seconds: longer than an entry can be on its way
MOST_WAIT = Decimal(3600)


class Command(TradebotCommand):
    """Thin: it reads options, calls one service and wakes the bots."""

    help = "Stops entries at once (on), lifts that (off), or shows what is on (status)."
    _is_drained = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The actions and their options."""
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
        on = actions.add_parser("on", help="stop entries; may be repeated")
        _scope_options(on)
        on.add_argument("--level", help=f"{', '.join(LEVELS)}; default {LEVELS[0]}")
        on.add_argument(
            "--wait", default=DEFAULT_WAIT, metavar="SECONDS", help="how long for entries on their way"
        )
        off = actions.add_parser("off", help="lift a switch")
        off.add_argument("id", nargs="?", metavar="ID", help="its number, as status shows; or name its scope")
        _scope_options(off)
        _common(actions.add_parser("status", help="what is on (also without an action)"))

    def run(self, **options: Any) -> dict[str, Any]:
        """One action."""
        by = _user(options.get("as_user"))
        action = options.get("action") or "status"
        if action == "on":
            return {"action": "on", "switch": self._on(by, options)}
        if action == "off":
            switch = _switch(by, options)
            lifted = services_kill.lift(switch=switch, by=by, reason=options.get("reason") or "", now=now())
            deliver_soon()
            return {"action": "off", "switch": _row(lifted)}
        rows = services_kill.visible(KillSwitch.objects.filter(lifted_at__isnull=True), by)
        return {"switches": [_row(switch) for switch in rows.order_by("pk")]}

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 3 where an entry was still on its way in the end."""
        super().handle(*args, **options)
        if not self._is_drained:
            sys.exit(UNHEALTHY)

    def write_text(self, document: dict[str, Any]) -> None:
        """A table, or sentences."""
        if "switches" in document:
            rows = [[_cell(switch[name]) for name in _COLUMNS] for switch in document["switches"]]
            self.stdout.write(table(HEAD, rows) if rows else "No kill switch is on.")
            return
        switch = document["switch"]
        about = f"Kill switch {switch['id']} ({switch['key']})"
        if document["action"] == "off":
            self.stdout.write(f"{about} is lifted; its {switch['bots']} bots enter again by new signals.")
            return
        self.stdout.write(f"{about} is on for {switch['bots']} bots: {switch['level']}.")
        if switch["drained_at"]:
            self.stdout.write("Drained: no entry of these bots is on its way to the exchange.")
        else:
            self.stdout.write("Not drained: an entry is still on its way. Run the same again to wait for it.")
        if switch["entries_left"]:
            self.stdout.write(
                f"Entries whose outcome is open: {switch['entries_left']}. "
                "None of them can be sent any more; recovery finds out what became of each."
            )

    def _on(self, by: Any, options: dict[str, Any]) -> dict[str, Any]:
        try:
            seconds = float(parse_decimal(options["wait"], minimum=Decimal(0), maximum=MOST_WAIT, places=3))
        except InvalidInput as error:
            raise InvalidInput(f"Wait {error}", "wait") from None
        values = _values(options) | {"level": options.get("level"), "reason": options.get("reason")}
        switch = services_kill.switch_on(by=by, values=values, wake=wake_bots, wait_seconds=seconds)
        self._is_drained = switch.drained_at is not None
        deliver_soon()
        if not self._is_drained:
            carry_out_kill_switch.send(switch.pk)
        return _row(switch)


_COLUMNS = ("id", "key", "level", "bots", "set_at", "drained_at", "reason")


def _common(parser: ArgumentParser) -> None:
    """The options that may stand before and after the action."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document")
    parser.add_argument(
        "--as", dest="as_user", metavar="USER", help="act as this user, with that user's rights only"
    )


def _scope_options(parser: ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("--scope", help=", ".join(SCOPES))
    parser.add_argument("--owner", metavar="USER", help="whose bots, for the scope owner")
    parser.add_argument("--account", metavar="ID", help="number of the account, for account and symbol")
    parser.add_argument("--bot", metavar="ID", help="number of the bot, for the scope bot")
    parser.add_argument("--market", help="spot or futures, for the scope symbol; default spot")
    parser.add_argument("--symbol", help="like BTCUSDT, for the scope symbol")
    parser.add_argument("--reason", help="why, in a few words; bots show it")


def _values(options: dict[str, Any]) -> dict[str, Any]:
    values = {name: options.get(name) for name in ("scope", "market", "symbol")}
    values |= {name: _number(options.get(name)) for name in ("account", "bot")}
    if options.get("owner") is not None:
        values["user"] = _user(options["owner"]).pk
    return values


def _number(text: str | None) -> int | str | None:
    """The number; what is none is left for the check to refuse."""
    is_id = text is not None and text.isascii() and text.isdigit() and len(text) <= 18
    return int(text) if is_id and text is not None else text


def _user(name: str | None) -> Any:
    if name is None:
        return None
    user = get_user_model().objects.filter(username=name).first() if "\x00" not in name else None
    if user is None:
        raise InvalidInput(f"There is no user {shown(name)}; see the users in the admin.", "user")
    return user


def _switch(by: Any, options: dict[str, Any]) -> KillSwitch:
    """The switch that is to be lifted: by its number, or by its scope."""
    rows = services_kill.visible(KillSwitch.objects.all(), by)
    if options.get("id") is not None:
        number = _number(options["id"])
        switch = rows.filter(pk=number).first() if isinstance(number, int) else None
        if switch is None:
            raise services_kill.no_such_switch(shown(options["id"]))
        return switch
    if not options.get("scope"):
        raise InvalidInput("Say which switch: its number, as `manage.py kill_switch status` shows.", "id")
    key = services_kill.check(by=by, values=_values(options) | {"reason": "lifted"}).key
    switch = rows.filter(key=key, lifted_at__isnull=True).first()
    if switch is None:
        raise InvalidInput(
            f"No kill switch is on for {key}; `manage.py kill_switch status` lists them.", "scope"
        )
    return switch


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _row(switch: KillSwitch) -> dict[str, Any]:
    """The switch as it is shown."""
    return {
        "id": switch.pk,
        "scope": switch.scope,
        "key": switch.key,
        "level": switch.level,
        "reason": switch.reason,
        "bots": services_kill.covered(switch).count(),
        "entries_left": services_kill.entries_left(switch),
        **{
            name: moment.isoformat() if (moment := getattr(switch, name)) else None
            for name in ("set_at", "drained_at", "lifted_at")
        },
    }
