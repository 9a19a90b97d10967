"""manage.py bots: list bots, and create, start, pause, stop, close or delete one."""

from __future__ import annotations

import argparse
import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from bots import services
from bots.actors import wake_bot
from bots.models import BotConfig, BotInbox
from bots.validation import CHOICES, FIELDS, FLAGS, NUMBERS
from tradebot.admin_base import plain
from tradebot.commands import TradebotCommand, table
from tradebot.errors import InvalidInput
from tradebot.inputs import MAX_JSON_BYTES, load_json_object, shown
from trading.models import ExchangeAccount
from trading.strategies import STRATEGIES

ACTIONS = {
    "start": (services.bot_start, "let it trade", "Started {}."),
    "pause": (services.bot_pause, "no entries any more; exits run on", "Paused {}."),
    "stop": (services.bot_stop, "pause and close the position", "Stopped {}."),
    "close": (services.bot_close, "close the position", "Closing the position of {}."),
    "delete": (services.bot_delete, "remove it from every list", "Deleted {}."),
}
HEAD = ("ID", "NAME", "OWNER", "ACCOUNT", "SYMBOL", "INTERVAL", "ACTIVE", "STATUS", "POSITION", "ENTRY PRICE")


class Command(TradebotCommand):
    """Thin: it reads options, calls one service and wakes the bot."""

    help = "Lists bots; creates, starts, pauses, stops, closes or deletes one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The actions and their options."""
        super().add_arguments(parser)
        parser.add_argument("--user", help="only this user's bots")
        actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
        _common(actions.add_parser("list", help="list bots (also without an action)"))
        create = actions.add_parser("create", help="create a bot, paused")
        _common(create)
        _create_options(create)
        for name, (_, help_text, _) in ACTIONS.items():
            action = actions.add_parser(name, help=help_text)
            action.add_argument("bot", metavar="ID", help="the bot's number, as listed")
            _common(action)

    def run(self, **options: Any) -> dict[str, Any]:
        """One action."""
        user = _user(options.get("user"))
        action = options.get("action") or "list"
        if action == "list":
            return {"bots": [_row(bot) for bot in _bots(user)]}
        if action == "create":
            return {"bot": _row(_create(user, options))}
        bot = _bot(user, options["bot"])
        made = ACTIONS[action][0](bot=bot, by=user or bot.user)
        entry = made if isinstance(made, BotInbox) else None
        if entry and entry.handled_at is None:
            transaction.on_commit(partial(wake_bot, bot.pk, entry.pk), robust=True)
        return {"action": action, "id": bot.pk, "name": bot.name, "inbox": entry.pk if entry else None}

    def write_text(self, document: dict[str, Any]) -> None:
        """A table, or a sentence."""
        if "action" in document:
            self.stdout.write(ACTIONS[document["action"]][2].format(document["name"]))
        elif "bot" in document:
            bot = document["bot"]
            self.stdout.write(f"Created {bot['name']}. Start it: manage.py bots start {bot['id']}")
        elif document["bots"]:
            rows = [[_cell(value) for value in row.values()] for row in document["bots"]]
            self.stdout.write(table(HEAD, rows))
        else:
            self.stdout.write("No bots yet. Create one: manage.py bots create --help")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _common(parser: ArgumentParser) -> None:
    """The options that may stand before and after the action."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document")
    parser.add_argument("--user", default=argparse.SUPPRESS, help="the owner; needed to create")


def _create_options(parser: ArgumentParser) -> None:
    parser.add_argument("--file", metavar="PATH", help="a JSON object of these settings; - is stdin")
    parser.add_argument("--account", help="name or number of the account")
    parser.add_argument("--strategy-params", metavar="JSON", help='like {"ema_fast": 9, "ema_slow": 21}')
    helps = {
        **{name: ", ".join(values) for name, values in CHOICES.items()},
        "strategy": ", ".join(STRATEGIES),
    }
    for name in FIELDS:
        option = f"--{name.replace('_', '-')}"
        if name in FLAGS:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None)
        elif name != "strategy_params":
            metavar = "N" if name in NUMBERS else name.upper()
            parser.add_argument(option, metavar=metavar, help=helps.get(name))


def _create(user: Any, options: dict[str, Any]) -> BotConfig:
    if user is None:
        raise InvalidInput("Name the owner of the new bot: --user NAME.", "user")
    values = _file(options["file"]) if options.get("file") else {}
    values |= {name: options[name] for name in FIELDS if options.get(name) is not None}
    if isinstance(values.get("strategy_params"), str):
        values["strategy_params"] = load_json_object(values["strategy_params"])
    account = options.get("account") or values.pop("account", None)
    values.pop("account", None)
    return services.bot_create(user=user, account=_account(user, account), values=values)


def _file(path: str) -> dict[str, Any]:
    try:
        if path == "-":
            return load_json_object(sys.stdin.buffer.read(MAX_JSON_BYTES + 1))
        with Path(path).open("rb") as file:
            return load_json_object(file.read(MAX_JSON_BYTES + 1))
    except (OSError, ValueError):  # a NUL in a path is a ValueError
        raise InvalidInput(
            f"The file {shown(path)} can't be read; check its name and rights.", "file"
        ) from None


def _user(name: str | None) -> Any:
    if name is None:
        return None
    user = get_user_model().objects.filter(username=name).first() if "\x00" not in name else None
    if user is None:
        raise InvalidInput(f"There is no user {shown(name)}; see the users in the admin.", "user")
    return user


def _account(user: Any, name_or_id: object) -> ExchangeAccount | None:
    """The user's account of that name, else of that number; None is for the validation to refuse."""
    text = str(name_or_id or "")
    accounts = ExchangeAccount.objects.filter(user=user)
    if "\x00" in text:
        return None
    by_name = accounts.filter(name=text).first()
    return by_name or (accounts.filter(pk=int(text)).first() if _is_id(text) else None)


def _bots(user: Any) -> Any:
    bots = BotConfig.objects.filter(deleted_at__isnull=True).select_related("user", "account", "state")
    return bots.filter(user=user) if user else bots


def _bot(user: Any, text: str) -> BotConfig:
    bot = _bots(user).filter(pk=int(text)).first() if _is_id(text) else None
    if bot is None:
        raise InvalidInput(f"There is no bot {shown(text)}; `manage.py bots` lists them.", "bot")
    return bot


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _row(bot: BotConfig) -> dict[str, Any]:
    """A bot as it is listed; keys in the order of HEAD."""
    state = bot.state
    return {
        "id": bot.pk,
        "name": bot.name,
        "owner": bot.user.get_username(),
        "account": bot.account.name,
        "symbol": bot.symbol,
        "interval": bot.interval,
        "active": bot.is_active,
        "status": state.status,
        "position": plain(state.current_position_size_coins) if state.in_position else None,
        "entry_price": plain(state.entry_price) if state.in_position else None,
    }
