"""The form of a bot. Fields take what was typed; bots.validation is the one that judges it."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from bots.models import BotConfig
from bots.services import change_refusal, differences
from bots.validation import FIELDS, NUMBERS, label_of, validate_bot
from marketdata import symbols
from marketdata.intervals import INTERVALS
from tradebot.admin_base import plain
from tradebot.binance.sources import source_for
from tradebot.errors import InvalidInput, StaleData
from tradebot.inputs import load_json_object
from trading.models import BotState
from trading.models.fields import Market
from trading.strategies import STRATEGIES

SYMBOL_LIST_ID = "symbols-that-trade"


class SymbolInput(forms.TextInput):
    """A text field with the symbols that trade offered for choice, popular ones first."""

    environments: tuple[str, ...] = ("paper",)

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """The field and its list."""
        field = super().render(name, value, {**(attrs or {}), "list": SYMBOL_LIST_ID}, renderer)
        options = format_html_join("", '<option value="{}">', ((symbol,) for symbol in self._offered()))
        return format_html('{}<datalist id="{}">{}</datalist>', field, SYMBOL_LIST_ID, options)

    def _offered(self) -> list[str]:
        offered: dict[str, None] = {}
        for environment, market in itertools.product(self.environments, Market.values):
            try:
                cache = symbols.cached(source_for(environment, market))
            except StaleData:
                continue
            offered.update(dict.fromkeys(rules.symbol for rules in cache.trading))
        return list(offered)


def _typed(choices: Any = None, **options: Any) -> forms.CharField:
    """A field that hands on what was typed, spaces too: the validation says what is wrong with it."""
    if choices is not None:
        options["widget"] = forms.Select(choices=choices)
    return forms.CharField(required=False, strip=False, **options)


def _strategy_help() -> str:
    lines = [f"{name}: {json.dumps(dict(STRATEGIES[name].defaults))}" for name in sorted(STRATEGIES)]
    return "A JSON object; what is left out has its default. " + " · ".join(lines)


def _number(name: str) -> forms.CharField:
    """A number as it was typed, with the label, help and default of its column."""
    column: Any = BotConfig._meta.get_field(name)
    default = column.get_default()
    return _typed(
        label=f"{label_of(name)} (%)" if name.endswith("_perc") else label_of(name),
        help_text=column.help_text,
        initial=plain(default) if isinstance(default, Decimal) else default,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "size": 16}),
    )


NumberFields = type("NumberFields", (forms.Form,), {name: _number(name) for name in NUMBERS})


class BotForm(NumberFields, forms.ModelForm):  # type: ignore[valid-type, misc]
    """A bot as its owner enters it."""

    name = _typed()
    market = _typed(Market.choices, initial="spot")
    symbol = _typed(widget=SymbolInput(attrs={"autocomplete": "off"}))
    interval = _typed([(name, name) for name in INTERVALS], initial="1m")
    strategy = _typed([(name, name) for name in sorted(STRATEGIES)])
    strategy_params = _typed(
        label="Strategy parameters",
        widget=forms.Textarea(attrs={"rows": 4, "cols": 60, "spellcheck": "false"}),
        help_text=_strategy_help(),
    )
    position_type = _typed(BotConfig.PositionType.choices, initial="long")
    visitor: Any = None  # set by the admin for each request
    validated: dict[str, Any] | None = None

    class Meta:
        model = BotConfig
        fields = ["account", *FIELDS]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "symbol" in self.fields and self.visitor is not None:
            found = self.visitor.accounts.order_by().values_list("environment", flat=True).distinct()
            widget = self.fields["symbol"].widget
            widget.environments = tuple(sorted(found)) or ("paper",)  # type: ignore[attr-defined]

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        """Numbers without zeros at their end, parameters as JSON: what nobody touched is unchanged."""
        value = super().get_initial_for_field(field, field_name)
        if field_name in NUMBERS and value is not None:
            return plain(Decimal(value))
        return json.dumps(value) if field_name == "strategy_params" and isinstance(value, dict) else value

    def clean_strategy_params(self) -> dict[str, Any]:
        """The object that was typed; nothing typed means the defaults."""
        text = self.cleaned_data["strategy_params"].strip()
        try:
            return load_json_object(text) if text else {}
        except InvalidInput as error:
            raise ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        """Judge all values together and put each fault at its field."""
        cleaned = super().clean() or self.cleaned_data
        account = cleaned.get("account")
        bot = self.instance if self.instance.pk else None
        owner = account.user if account and self.visitor.is_superuser else self.visitor
        if bot:
            owner = bot.user
        values = {name: cleaned[name] for name in FIELDS if name in cleaned}
        try:
            self.validated = validate_bot(user=owner, account=account, values=values, bot=bot)
        except InvalidInput as error:
            self._add_faults(error.fields)
            return self.cleaned_data
        if bot and (refusal := self._refusal(bot, account)):
            raise ValidationError(refusal)
        return {**cleaned, **self.validated}

    def _post_clean(self) -> None:
        """The model's own checks are for values that passed ours: before, they are only texts."""
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]

    def _refusal(self, bot: BotConfig, account: Any) -> str | None:
        """A first look without a lock; the service looks again under it."""
        state = BotState.objects.get(bot=bot)
        return change_refusal(bot, state, differences(bot, account, self.validated or {}))

    def _add_faults(self, faults: dict[str, str]) -> None:
        for field, text in faults.items():
            name = field.split(".")[0]
            if name not in self.fields:
                self.add_error(None, text)
            elif name not in self.errors or name != field:
                self.add_error(name, text)


BOT_FIELDSETS = [
    (None, {"fields": ["name", "account", "market", "symbol", "interval"]}),
    ("Strategy", {"fields": ["strategy", "strategy_params", "position_type", "leverage"]}),
    (
        "Size",
        {"fields": ["initial_capital", "position_size_perc", "risk_per_trade_perc", "compound"]},
    ),
    (
        "Exits",
        {
            "description": "In percent of the entry price. An open position keeps what it was opened with.",
            "fields": [
                "stop_loss_perc",
                "take_profit_perc",
                "trailing_stop_perc",
                "trailing_activation_perc",
                "trailing_step_perc",
            ],
        },
    ),
    (
        "Limits",
        {
            "fields": [
                "cooldown_minutes",
                "max_daily_trades",
                "max_daily_loss_perc",
                "daily_target_perc",
                "close_on_daily_limit",
            ]
        },
    ),
]
