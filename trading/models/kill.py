"""Kill switches: what stops entries, for whom, how far it goes, and who set and lifted it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from trading.models.accounts import ExchangeAccount
from trading.models.fields import Market


class KillSwitch(models.Model):
    """One switch. In force until it is lifted; `key` names what it covers, in the words of trading.kill."""

    class Scope(models.TextChoices):
        ALL = "all", "everything"
        OWNER = "owner", "all bots of an owner"
        ACCOUNT = "account", "all bots of an account"
        BOT = "bot", "one bot"
        SYMBOL = "symbol", "a symbol, everywhere or on one account"

    class Level(models.TextChoices):
        NO_ENTRIES = "no_entries", "no entries"
        CANCEL = "cancel", "no entries, and cancel resting entry orders"
        FLATTEN = "flatten", "no entries, cancel resting entry orders and close positions"

    scope = models.CharField(max_length=8, choices=Scope.choices)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="kill_switches",
        help_text="Whose bots it covers; empty where it covers bots of many owners.",
    )
    account = models.ForeignKey(
        ExchangeAccount, on_delete=models.CASCADE, null=True, blank=True, related_name="kill_switches"
    )
    bot = models.ForeignKey(
        "bots.BotConfig", on_delete=models.CASCADE, null=True, blank=True, related_name="kill_switches"
    )
    market = models.CharField(max_length=8, choices=Market.choices, blank=True, default="")
    symbol = models.CharField(max_length=40, blank=True, default="")
    key = models.CharField(max_length=90, editable=False)
    level = models.CharField(max_length=10, choices=Level.choices, default=Level.NO_ENTRIES)
    reason = models.CharField(max_length=100)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    set_at = models.DateTimeField()
    drained_at = models.DateTimeField(
        null=True, blank=True
    )  # from here on no entry of its bots is on its way
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "kill switch"
        verbose_name_plural = "kill switches"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(lifted_at__isnull=True), name="one_kill_switch_in_force"
            ),
            models.CheckConstraint(
                condition=Q(scope="all", user=None, account=None, bot=None, symbol="", market="")
                | Q(scope="owner", user__isnull=False, account=None, bot=None, symbol="", market="")
                | Q(
                    scope="account", user__isnull=False, account__isnull=False, bot=None, symbol="", market=""
                )
                | Q(scope="bot", user__isnull=False, account=None, bot__isnull=False, symbol="", market="")
                | Q(scope="symbol", user=None, account=None, bot=None) & ~Q(symbol="") & ~Q(market="")
                | Q(scope="symbol", user__isnull=False, account__isnull=False, bot=None)
                & ~Q(symbol="")
                & ~Q(market=""),
                name="kill_switch_names_its_scope",
            ),
        ]

    def __str__(self) -> str:
        return f"kill switch {self.pk}: {self.key}"
