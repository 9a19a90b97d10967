"""Exchange accounts, their secrets, their money, and who holds which symbol."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from fernet_fields import EncryptedTextField

from trading.models.fields import Market, amount


class ExchangeAccount(models.Model):
    """An account at the exchange, in one environment, of one owner."""

    class Environment(models.TextChoices):
        PAPER = "paper", "Paper"
        TESTNET = "testnet", "Testnet"
        LIVE = "live", "Live"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="accounts")
    name = models.CharField(max_length=100)
    environment = models.CharField(max_length=10, choices=Environment.choices, default=Environment.PAPER)
    is_exclusive = models.BooleanField(
        "TradeBot alone",
        default=True,
        help_text="Nobody else trades on this account, so that its balances prove something.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "account"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="account_name_once_per_user"),
            models.CheckConstraint(
                condition=models.Q(environment__in=["paper", "testnet", "live"]),
                name="account_environment_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_environment_display()})"


class ExchangeSecret(models.Model):
    """An account's API key and secret, encrypted; apart, so that a list of accounts never decrypts."""

    account = models.OneToOneField(ExchangeAccount, on_delete=models.CASCADE, related_name="secret")
    api_key = EncryptedTextField()
    api_secret = EncryptedTextField()
    key_hash = models.CharField(max_length=64, unique=True)  # one account per key, no plain look-up
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "secret"

    def __str__(self) -> str:
        return f"secret of account {self.account_id}"


class AccountState(models.Model):
    """What an account has of one asset: the exchange's answer, and what open entries have reserved.

    On futures `free` is the wallet balance: cash, of which open positions tie up their margin.
    """

    account = models.ForeignKey(ExchangeAccount, on_delete=models.CASCADE, related_name="balances")
    market = models.CharField(max_length=8, choices=Market.choices, default=Market.SPOT)
    asset = models.CharField(max_length=20)
    free = amount(default=0)
    reserved = amount(default=0)
    asked_at = models.DateTimeField(null=True)  # when the snapshot in `free` was asked for
    income_asked_at = models.DateTimeField(null=True)  # futures: when funding was asked for

    class Meta:
        verbose_name = "balance"
        ordering = ["account_id", "market", "asset"]
        constraints = [
            models.UniqueConstraint(fields=["account", "market", "asset"], name="account_asset_once"),
            models.CheckConstraint(condition=models.Q(reserved__gte=0), name="account_reserved_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.asset} of account {self.account_id}"


class OwnerState(models.Model):
    """The row that an owner's limits are checked under, across all of the owner's accounts."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="owner_state"
    )

    def __str__(self) -> str:
        return f"limits of user {self.user_id}"


class SymbolClaim(models.Model):
    """A symbol of an account belongs to one bot at a time: while it is active, in position or in doubt."""

    account = models.ForeignKey(ExchangeAccount, on_delete=models.CASCADE)
    market = models.CharField(max_length=8, choices=Market.choices)
    symbol = models.CharField(max_length=40)
    bot = models.OneToOneField("bots.BotConfig", on_delete=models.CASCADE, related_name="claim")
    claimed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "market", "symbol"], name="symbol_has_one_bot"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} of account {self.account_id}"


class SymbolSetup(models.Model):
    """What the exchange was found to have, or was set to, for a futures symbol of an account.

    `checked_at` is None after a failure: then `error` says why, and it is not tried before `next_try_at`.
    """

    account = models.ForeignKey(ExchangeAccount, on_delete=models.CASCADE, related_name="setups")
    market = models.CharField(max_length=8, choices=Market.choices, default=Market.FUTURES)
    symbol = models.CharField(max_length=40)
    leverage = models.PositiveSmallIntegerField()
    margin_type = models.CharField(max_length=10, blank=True, default="")
    position_mode = models.CharField(max_length=10, blank=True, default="")
    checked_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="")
    next_try_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "symbol setup"
        constraints = [
            models.UniqueConstraint(fields=["account", "market", "symbol"], name="symbol_setup_once"),
        ]

    def __str__(self) -> str:
        return f"setup of {self.symbol}, account {self.account_id}"
