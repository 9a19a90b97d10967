"""Accounts and the journal in the admin. Keys go in and never come out; the journal is to look at only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import RelatedOnlyFieldListFilter
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_post_parameters

from tradebot.admin_base import MONEY, JournalAdmin, OwnedAdmin, number_column, short_html, stacked_html
from tradebot.clock import now, slot_of
from tradebot.errors import InvalidInput
from trading import admin_limits as admin_limits  # registers its page
from trading import admin_upkeep as admin_upkeep
from trading.accounts import account_change, account_change_key, account_check, account_create
from trading.models import (
    AccountState,
    Adjustment,
    ExchangeAccount,
    ExchangeSecret,
    Fill,
    FundingPayment,
    Order,
    OrderRequest,
    Trade,
)

KEY_FIELDS = ("api_key", "api_secret")
hide_keys = method_decorator(sensitive_post_parameters(*KEY_FIELDS))


def _key_field(label: str, help_text: str = "") -> forms.CharField:
    """A field that takes a secret and never shows one; spaces are kept, so that they are refused."""
    widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "size": 70})
    return forms.CharField(label=label, help_text=help_text, required=False, strip=False, widget=widget)


class AccountForm(forms.ModelForm):
    """An account as its owner enters it; the checks are those of trading.accounts."""

    name = forms.CharField(max_length=None)
    api_key = _key_field("API key")
    api_secret = _key_field("API secret")
    visitor: Any = None  # set by the admin for each request

    class Meta:
        model = ExchangeAccount
        fields = ["user", "name", "environment", "is_exclusive"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        is_new = self.instance.pk is None
        if "api_key" in self.fields:
            self.fields["api_key"].help_text = (
                "64 letters and digits. A paper account needs none: left empty, it gets one."
                if is_new
                else "Leave both empty to keep the present key, which can't be shown."
            )

    def clean(self) -> dict[str, Any]:
        """Check what was entered; messages never repeat a key."""
        cleaned = super().clean() or self.cleaned_data
        account = self.instance if self.instance.pk else None
        if self.errors:
            return cleaned
        try:
            cleaned["name"] = account_check(
                user=account.user if account else cleaned.get("user", self.visitor),
                name=cleaned["name"],
                environment=account.environment if account else cleaned["environment"],
                account=account,
                **{name: cleaned.get(name, "") for name in KEY_FIELDS},
            )
        except InvalidInput as error:
            raise ValidationError(dict(error.fields)) from None
        return cleaned


@admin.register(ExchangeAccount)
class ExchangeAccountAdmin(OwnedAdmin):
    """Accounts. Deleting one would take its journal along, so that nobody can."""

    form = AccountForm
    list_display = ["name", "environment_badge", "is_exclusive", "key_stored", "owner", "created_at"]
    list_filter = ["environment", "is_exclusive"]
    search_fields = ["name"]
    list_select_related = ["user"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """With whether a key is stored, which needs no decryption."""
        secrets = ExchangeSecret.objects.filter(account_id=models.OuterRef("pk"))
        return super().get_queryset(request).annotate(has_secret=models.Exists(secrets))

    @admin.display(description="environment", ordering="environment")
    def environment_badge(self, account: ExchangeAccount) -> str:
        """PAPER, TESTNET or LIVE."""
        name = account.environment
        return format_html('<span class="environment environment-{}">{}</span>', name, name.upper())

    @admin.display(description="key stored", boolean=True)
    def key_stored(self, account: Any) -> bool:
        """Whether there is a key."""
        return bool(account.has_secret)

    @admin.display(description="owner", ordering="user__username")
    def owner(self, account: ExchangeAccount) -> str:
        """Whose account it is."""
        return str(account.user)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new account is the visitor's unless said otherwise."""
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The key only for those who may change it; the owner only for superusers."""
        fields = ["name", "environment", "is_exclusive"]
        if request.user.is_superuser:  # type: ignore[union-attr]
            fields.insert(0, "user")
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return [*fields, *KEY_FIELDS] if may_write else fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Owner and environment never change."""
        return ["user", "environment"] if obj else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """The form, which knows who fills it in."""
        form = super().get_form(request, obj, change, **options)
        return type(form.__name__, (form,), {"visitor": request.user})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the account through its services."""
        data = form.cleaned_data
        keys = {name: data.get(name, "") for name in KEY_FIELDS}
        if change:
            account_change(account=obj, name=data["name"], is_exclusive=data["is_exclusive"])
            if any(keys.values()):
                account_change_key(account=obj, by=request.user, **keys)
            return
        account = account_create(
            user=data.get("user", request.user),
            name=data["name"],
            environment=data["environment"],
            is_exclusive=data["is_exclusive"],
            **keys,
        )
        obj.__dict__.update(account.__dict__)

    @hide_keys
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Add or change; what was taken between check and store is a message, too."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except InvalidInput as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.path)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: the journal hangs on it."""
        return False

    def empty_sentence(self, request: HttpRequest) -> str:
        """How to begin."""
        return "No accounts yet. Add one: a paper account needs a name only and starts with 10,000 USDT."


@admin.register(AccountState)
class AccountStateAdmin(JournalAdmin):
    """Balances, as last asked for, and what open entries have reserved."""

    owner_path = "account__user"
    list_display = [
        "account",
        "market",
        "asset",
        number_column("free"),
        number_column("reserved"),
        "asked_at",
    ]
    list_filter = [("account", RelatedOnlyFieldListFilter), "market"]
    search_fields = ["asset"]
    list_select_related = ["account"]


class BotJournalAdmin(JournalAdmin):
    """Rows of an account and a bot."""

    owner_path = "account__user"
    list_filter = [("account", RelatedOnlyFieldListFilter)]
    search_fields = ["symbol", "bot__name"]
    list_select_related = ["account", "bot"]

    @admin.display(description="bot", ordering="bot__name")
    def bot_column(self, row: Any) -> str:
        """Whose it is, and the symbol."""
        return stacked_html(row.bot, row.symbol)

    @admin.display(description="side", ordering="side")
    def side_column(self, row: Any) -> str:
        """Buy or sell, and what for."""
        return stacked_html(row.side, row.purpose)


@admin.register(OrderRequest)
class OrderRequestAdmin(BotJournalAdmin):
    """Requests. The payload holds no signature."""

    list_display = ["created_at", "bot_column", "lane", "state", "code", "short_reason", "client_id"]
    list_filter = ["state", "lane", *BotJournalAdmin.list_filter]
    search_fields = ["symbol", "bot__name", "client_id"]

    @admin.display(description="reason", ordering="reason")
    def short_reason(self, request_row: OrderRequest) -> str:
        """Why it ended."""
        return short_html(request_row.reason)


@admin.register(Order)
class OrderAdmin(BotJournalAdmin):
    """Orders."""

    list_display = [
        "created_at",
        "bot_column",
        "side_column",
        "type",
        number_column("quantity"),
        number_column("executed_quantity", "executed"),
        "status",
        "live",
        "exchange_order_id",
    ]
    list_filter = ["live", "status", "purpose", "side", *BotJournalAdmin.list_filter]
    search_fields = ["symbol", "bot__name", "client_order_id"]


@admin.register(Fill)
class FillAdmin(BotJournalAdmin):
    """Fills."""

    list_display = [
        "traded_at",
        "bot_column",
        "side",
        number_column("quantity"),
        number_column("price"),
        number_column("commission"),
        "commission_asset",
        "trade_id",
        "source",
    ]
    list_filter = ["side", "source", *BotJournalAdmin.list_filter]


@admin.register(Adjustment)
class AdjustmentAdmin(BotJournalAdmin):
    """Adjustments."""

    list_display = [
        "created_at",
        "account",
        "bot",
        "kind",
        number_column("quantity"),
        "asset",
        "short_reason",
    ]
    list_filter = ["kind", *BotJournalAdmin.list_filter]
    search_fields = ["asset"]

    @admin.display(description="reason", ordering="reason")
    def short_reason(self, adjustment: Adjustment) -> str:
        """Why it was booked."""
        return short_html(adjustment.reason)


@admin.register(FundingPayment)
class FundingPaymentAdmin(BotJournalAdmin):
    """Funding of futures positions, and fees of liquidations."""

    list_display = [
        "paid_at",
        "account",
        "bot",
        "symbol",
        "kind",
        number_column("amount", signed=True),
        "asset",
    ]
    list_filter = ["kind", *BotJournalAdmin.list_filter]
    search_fields = ["symbol"]


@admin.register(Trade)
class TradeAdmin(JournalAdmin):
    """Trades: filled orders, as their owner reads them."""

    list_display = [
        "created_at",
        "bot_column",
        "side_column",
        number_column("price"),
        number_column("quantity_filled", "quantity"),
        number_column("commission_quote", MONEY["commission_quote"], money=True),
        number_column("realized_pnl", MONEY["realized_pnl"], money=True, signed=True),
        "short_reason",
    ]
    list_filter = ["side", "purpose"]
    search_fields = ["symbol", "bot_config__name"]
    list_select_related = ["bot_config", "user"]

    @admin.display(description="bot", ordering="bot_config__name")
    def bot_column(self, trade: Trade) -> str:
        """Whose it is, and the symbol."""
        return stacked_html(trade.bot_config, trade.symbol)

    @admin.display(description="side", ordering="side")
    def side_column(self, trade: Trade) -> str:
        """Buy or sell, and what for."""
        return stacked_html(trade.side, trade.purpose)

    @admin.display(description="reason", ordering="reason")
    def short_reason(self, trade: Trade) -> str:
        """Why it was made."""
        return short_html(trade.reason)

    def empty_sentence(self, request: HttpRequest) -> str:
        """When the first trade is expected."""
        accounts = ExchangeAccount.objects.filter(bots__is_active=True)
        if not request.user.is_superuser:  # type: ignore[union-attr]
            accounts = accounts.filter(user_id=request.user.pk or 0)
        if not accounts.exists():
            return "No trades yet, and no bot is active: start one in the list of bots."
        next_look = slot_of(now()) + timedelta(minutes=1)
        return (
            "No trades yet. Bots are looked at each minute; the first trade usually comes within a minute "
            f"of the start. The next look is at {next_look:%H:%M} UTC."
        )
