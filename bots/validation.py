"""Checks a bot's configuration, wherever it comes from: admin, command or API. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bots.models import BotConfig
from marketdata import symbols
from marketdata.intervals import INTERVALS
from tradebot.binance.sources import source_for
from tradebot.errors import InvalidInput, StaleData
from tradebot.inputs import clean_name, parse_decimal, parse_flag, parse_whole, shown
from trading import brackets
from trading.liquidation import liquidation_distance_perc
from trading.models import ExchangeAccount
from trading.strategies import STRATEGIES

HUNDRED = Decimal(100)
LARGEST_CAPITAL = Decimal(10) ** 12
NO_SYMBOL = "Symbol must be one of the exchange, written like BTCUSDT."


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a number of a bot may be. `above`, `below`: that bound is exclusive; `optional`: may be empty."""

    minimum: Decimal
    maximum: Decimal
    places: int = 4
    above: bool = True
    below: bool = False
    optional: bool = True

    def parse(self, value: object) -> Decimal:
        """The number, or InvalidInput."""
        return parse_decimal(
            value,
            minimum=self.minimum,
            maximum=self.maximum,
            places=self.places,
            above=self.above,
            below=self.below,
        )


@dataclass(frozen=True, slots=True)
class WholeBounds:
    """What a whole number of a bot may be, both ends included."""

    minimum: int
    maximum: int
    optional: bool = False

    def parse(self, value: object) -> int:
        """The number, or InvalidInput."""
        return parse_whole(value, minimum=self.minimum, maximum=self.maximum)


_ZERO, _TEN_THOUSAND = Decimal(0), Decimal(10_000)
NUMBERS: dict[str, Bounds | WholeBounds] = {
    "leverage": WholeBounds(1, 125),
    "initial_capital": Bounds(_ZERO, LARGEST_CAPITAL, places=8, optional=False),
    "position_size_perc": Bounds(_ZERO, HUNDRED, optional=False),
    "risk_per_trade_perc": Bounds(_ZERO, HUNDRED),
    "stop_loss_perc": Bounds(_ZERO, HUNDRED, below=True),
    "take_profit_perc": Bounds(_ZERO, _TEN_THOUSAND),
    "trailing_stop_perc": Bounds(_ZERO, HUNDRED, below=True),
    "trailing_activation_perc": Bounds(_ZERO, _TEN_THOUSAND),
    "trailing_step_perc": Bounds(_ZERO, HUNDRED, above=False, below=True, optional=False),
    "cooldown_minutes": WholeBounds(0, 43_200),  # thirty days
    "max_daily_trades": WholeBounds(1, 100_000, optional=True),
    "max_daily_loss_perc": Bounds(_ZERO, HUNDRED),
    "daily_target_perc": Bounds(_ZERO, _TEN_THOUSAND),
}
FLAGS = ("close_on_daily_limit", "compound")
CHOICES = {
    "market": ("spot", "futures"),
    "interval": INTERVALS,
    "position_type": ("long", "short"),
}
FIELDS = ("name", "symbol", "strategy", "strategy_params", *CHOICES, *NUMBERS, *FLAGS)


def defaults() -> dict[str, Any]:
    """What a bot has where its owner says nothing; name and symbol have no default."""
    blank = BotConfig()
    return {name: getattr(blank, name) for name in FIELDS if name not in ("name", "symbol")}


def validate_bot(
    *,
    user: Any,
    account: ExchangeAccount | None,
    values: Mapping[str, Any],
    bot: BotConfig | None = None,
) -> dict[str, Any]:
    """All values of a bot of `user` on `account`, cleaned, ready to be saved; `bot` is the one being changed.

    What `values` leaves out is the bot's present value, or the default for a new one; None and "" switch an
    optional limit off. Percentages are 0 to 100, money is in quote units.
    Raises InvalidInput whose `fields` name every input at fault, "account" and unknown names among them.
    """
    faults: dict[str, str] = {}
    for name in values:
        if name not in FIELDS:
            faults[str(name)[:40]] = f"{shown(name)} is not a setting of a bot."
    if account is None or account.user_id != user.pk:
        faults["account"] = "There is no such account; choose one of your own."
    base = {name: getattr(bot, name) for name in FIELDS} if bot else defaults()
    given = base | {name: value for name, value in values.items() if name in FIELDS}
    cleaned = _fields(given, faults)
    _name_once(user, cleaned, bot, faults)
    _rules(cleaned, faults)
    if account is not None and not faults.keys() & {"account", "symbol", "market"}:
        _symbol(account, given["symbol"], cleaned, bot, faults)
        if cleaned["market"] == "futures":
            _leverage(account, cleaned, faults)
    if faults:
        raise InvalidInput(" ".join(faults.values()), next(iter(faults)), faults)
    return cleaned


def check_symbol(environment: str, market: str, symbol: str) -> str:
    """The symbol, if it trades on that environment's exchange as far as the symbol cache knows.

    Raises InvalidInput (field "symbol") for one that is unknown, halted or not quoted in USDT, and when the
    list of symbols is not loaded yet.
    """
    try:
        rules = symbols.cached(source_for(environment, market)).by_symbol.get(symbol)
    except StaleData:
        raise InvalidInput(
            f"The list of symbols of the {environment} exchange is not loaded yet; "
            "try again when the exchange has answered.",
            "symbol",
        ) from None
    if rules is None or rules.quote != "USDT":
        raise InvalidInput(
            f"Symbol {shown(symbol)} is not a USDT symbol of the {environment} exchange's {market} market; "
            "write it exactly as the exchange does, like BTCUSDT.",
            "symbol",
        )
    if not rules.is_trading:
        raise InvalidInput(
            f"Symbol {symbol} does not trade now (status {rules.status}); choose another one or wait.",
            "symbol",
        )
    return symbol


def _fields(given: Mapping[str, Any], faults: dict[str, str]) -> dict[str, Any]:
    """Each field by itself; one at fault is None in the result."""
    cleaned: dict[str, Any] = {"symbol": None}
    if not isinstance(given.get("symbol"), str) or not given["symbol"]:
        faults["symbol"] = NO_SYMBOL
    cleaned["name"] = _try("name", clean_name, given.get("name", ""), faults)
    for name, choices in CHOICES.items():
        cleaned[name] = given[name] if given[name] in choices else None
        if cleaned[name] is None:
            faults[name] = f"{label_of(name)} must be one of {', '.join(choices)}; not {shown(given[name])}."
    for name, bounds in NUMBERS.items():
        is_off = bounds.optional and given[name] in (None, "")
        cleaned[name] = None if is_off else _try(name, bounds.parse, given[name], faults)
    for name in FLAGS:
        cleaned[name] = _try(name, parse_flag, given[name], faults)
    _strategy(given, cleaned, faults)
    return cleaned


def _try(name: str, parse: Callable[[object], Any], value: object, faults: dict[str, str]) -> Any:
    try:
        return parse(value)
    except InvalidInput as error:
        faults[name] = f"{label_of(name)} {error}"
        return None


def _strategy(given: Mapping[str, Any], cleaned: dict[str, Any], faults: dict[str, str]) -> None:
    name = given["strategy"]
    strategy = STRATEGIES.get(name) if isinstance(name, str) else None
    cleaned["strategy"], cleaned["strategy_params"] = name, None
    if strategy is None:
        faults["strategy"] = (
            f"There is no strategy {shown(name)}; choose one of {', '.join(sorted(STRATEGIES))}."
        )
        return
    try:
        cleaned["strategy_params"] = strategy.validate(given["strategy_params"])
    except InvalidInput as error:
        faults.update(error.fields or {"strategy_params": str(error)})


def _name_once(user: Any, cleaned: dict[str, Any], bot: BotConfig | None, faults: dict[str, str]) -> None:
    others = BotConfig.objects.filter(user_id=user.pk, name=cleaned["name"], deleted_at__isnull=True)
    if cleaned["name"] and others.exclude(pk=bot.pk if bot else 0).exists():
        faults["name"] = f"There is a bot named {shown(cleaned['name'])} already; choose another name."


def _rules(cleaned: dict[str, Any], faults: dict[str, str]) -> None:
    """What fields must be to each other."""
    if cleaned["market"] == "spot":
        if cleaned["position_type"] == "short":
            faults["position_type"] = "Spot bots can't be short; choose long."
        if cleaned["leverage"] is not None and cleaned["leverage"] != 1:
            faults["leverage"] = "Spot has no leverage; leave it at 1."
    stop, trailing = cleaned["stop_loss_perc"], cleaned["trailing_stop_perc"]
    if stop is not None and trailing is not None and trailing > stop:
        faults["trailing_stop_perc"] = (
            f"Trailing stop ({trailing:f} %) must not be wider than the stop-loss ({stop:f} %)."
        )
    if cleaned["trailing_activation_perc"] is not None and trailing is None:
        faults.setdefault(
            "trailing_activation_perc",
            "Trailing activation needs a trailing stop; set one or leave this empty.",
        )
    if cleaned["risk_per_trade_perc"] is not None and stop is None:
        faults.setdefault(
            "risk_per_trade_perc", "Risk per trade needs a stop-loss; set one or leave this empty."
        )


def _leverage(account: ExchangeAccount, cleaned: dict[str, Any], faults: dict[str, str]) -> None:
    """How far leverage may go, and that no stop lies where the exchange has closed the position already."""
    symbol, leverage = cleaned["symbol"], cleaned["leverage"]
    if symbol is None or leverage is None or cleaned["position_type"] is None:
        return
    source = source_for(account.environment, "futures")
    tier = brackets.load_many(source, [symbol]).get(symbol)
    if tier is not None and leverage > tier.max_leverage:
        faults["leverage"] = f"Leverage of {symbol} can be {tier.max_leverage} at most; not {leverage}."
        return
    distance = liquidation_distance_perc(
        leverage,
        is_long=cleaned["position_type"] == "long",
        maintenance_rate=tier.maintenance_rate if tier else None,
    )
    for name in ("stop_loss_perc", "trailing_stop_perc"):
        perc = cleaned[name]
        if distance is not None and perc is not None and float(perc) >= distance:
            faults.setdefault(
                name,
                f"{label_of(name)} ({perc:f} %) lies beyond the estimated liquidation price, which at "
                f"leverage {leverage} is {distance:.2f} % from the entry; make it narrower or lower the "
                "leverage.",
            )


def _symbol(
    account: ExchangeAccount,
    symbol: str,
    cleaned: dict[str, Any],
    bot: BotConfig | None,
    faults: dict[str, str],
) -> None:
    """A symbol that the bot has already stays, whatever became of it: its other settings can be changed."""
    if bot and (bot.symbol, bot.account_id, bot.market) == (symbol, account.pk, cleaned["market"]):
        cleaned["symbol"] = symbol
        return
    try:
        cleaned["symbol"] = check_symbol(account.environment, cleaned["market"], symbol)
    except InvalidInput as error:
        faults["symbol"] = str(error)


def label_of(name: str) -> str:
    """What people call the column `name`: "Stop-loss"."""
    return LABELS.get(name, name.removesuffix("_perc").replace("_", " ").capitalize())


LABELS = {
    "stop_loss_perc": "Stop-loss",
    "take_profit_perc": "Take-profit",
    "position_size_perc": "Position size",
    "max_daily_loss_perc": "Daily loss limit",
    "cooldown_minutes": "Cool-down",
    "max_daily_trades": "Daily trades limit",
}
