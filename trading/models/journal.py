"""The journal: every request before it is sent, every order, fill, adjustment and trade."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from trading.models.accounts import ExchangeAccount
from trading.models.fields import Market, amount

OPEN_STATES = ("PREPARED", "UNKNOWN")
DOUBT_STATES = ("PREPARED", "UNKNOWN", "LATE", "QUARANTINED")


class OrderRequest(models.Model):
    """One HTTP request that may create orders: a row, committed, before a byte is sent.

    `payload` holds the very bytes of the form body without the signature. The legal ways from state to
    state are held by a database trigger; terminal states have no way out (docs/orders.md).
    """

    class State(models.TextChoices):
        PREPARED = "PREPARED"
        UNKNOWN = "UNKNOWN"
        ACCEPTED = "ACCEPTED"
        REJECTED = "REJECTED"
        NOT_SENT = "NOT_SENT"
        NOT_PLACED = "NOT_PLACED"
        LATE = "LATE"
        QUARANTINED = "QUARANTINED"

    class Lane(models.TextChoices):
        ENTRY = "entry"
        EXIT = "exit"

    class Kind(models.TextChoices):
        ORDER = "order"
        ORDER_LIST = "order_list"
        ALGO = "algo"

    bot = models.ForeignKey("bots.BotConfig", on_delete=models.PROTECT, related_name="requests")
    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT, related_name="requests")
    market = models.CharField(max_length=8, choices=Market.choices)
    symbol = models.CharField(max_length=40)
    lane = models.CharField(max_length=6, choices=Lane.choices)
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.ORDER)
    client_id = models.CharField(max_length=36, unique=True)
    path = models.CharField(max_length=60)
    payload = models.TextField()
    ts_ms = models.BigIntegerField()
    recv_window_ms = models.IntegerField()
    epoch = models.BigIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.PREPARED)
    reason = models.TextField(blank=True, default="")
    code = models.IntegerField(null=True, blank=True)  # the exchange's error code
    http_status = models.IntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    reserved_asset = models.CharField(max_length=20, blank=True, default="")
    reserved_amount = amount(default=0)

    # What recovery knows (docs/orders.md): waits are times on the row, never a sleep under a lock.
    answered = models.BooleanField(default=False)  # what came back, or that nothing did, is recorded
    hold_long = models.BooleanField(default=True)  # 600 s instead of 60 s before NOT_PLACED
    asked_count = models.PositiveIntegerField(default=0)
    next_ask_at = models.DateTimeField(null=True, blank=True)
    barrier_at = models.DateTimeField(null=True, blank=True)
    first_not_found_at = models.DateTimeField(null=True, blank=True)
    last_not_found_at = models.DateTimeField(null=True, blank=True)
    disagreements = models.PositiveSmallIntegerField(default=0)
    base_before = amount(null=True, blank=True)  # base balance known before the request
    late_at = models.DateTimeField(null=True, blank=True)  # since then another exit may follow
    exchange_list_id = models.BigIntegerField(
        null=True, blank=True
    )  # the list's or conditional order's number
    superseded_by = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="supersedes"
    )

    class Meta:
        verbose_name = "request"
        permissions = [("resolve_orderrequest", "Can resolve a quarantined request")]
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["bot", "lane"],
                condition=Q(state__in=OPEN_STATES),
                name="one_open_request_per_bot_and_lane",  # I1
            ),
            models.CheckConstraint(
                condition=Q(state__in=DOUBT_STATES) | (~Q(reason="") & Q(resolved_at__isnull=False)),
                name="terminal_request_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "PREPARED",
                        "UNKNOWN",
                        "ACCEPTED",
                        "REJECTED",
                        "NOT_SENT",
                        "NOT_PLACED",
                        "LATE",
                        "QUARANTINED",
                    ]
                ),
                name="request_state_known",
            ),
        ]
        indexes = [
            models.Index(fields=["bot"], condition=Q(state__in=DOUBT_STATES), name="request_doubts"),
            BrinIndex(fields=["created_at"], name="request_created", autosummarize=True),  # for metrics
        ]

    def __str__(self) -> str:
        return self.client_id


class Order(models.Model):
    """One leg of a request. Quantities are in base units, prices in quote units."""

    class Status(models.TextChoices):
        PENDING = "PENDING"  # ours: not yet known to the exchange
        NEW = "NEW"
        PENDING_NEW = "PENDING_NEW"
        PARTIALLY_FILLED = "PARTIALLY_FILLED"
        FILLED = "FILLED"
        CANCELED = "CANCELED"
        PENDING_CANCEL = "PENDING_CANCEL"
        REJECTED = "REJECTED"
        EXPIRED = "EXPIRED"
        EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
        TRIGGERING = "TRIGGERING"  # conditional orders on futures
        TRIGGERED = "TRIGGERED"
        FINISHED = "FINISHED"
        NOT_PLACED = "NOT_PLACED"  # ours: its request ended without an order

    request = models.ForeignKey(OrderRequest, on_delete=models.PROTECT, related_name="orders")
    bot = models.ForeignKey("bots.BotConfig", on_delete=models.PROTECT, related_name="orders")
    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT, related_name="orders")
    market = models.CharField(max_length=8, choices=Market.choices)
    symbol = models.CharField(max_length=40)
    purpose = models.CharField(max_length=10)
    part = models.PositiveIntegerField(default=0)
    side = models.CharField(max_length=4)
    type = models.CharField(max_length=24)
    quantity = amount()
    price = amount(null=True, blank=True)
    stop_price = amount(null=True, blank=True)
    client_order_id = models.CharField(max_length=36, unique=True)
    exchange_order_id = models.BigIntegerField(null=True, blank=True)
    actual_order_id = models.BigIntegerField(null=True, blank=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.PENDING)
    executed_quantity = amount(default=0)
    executed_quote = amount(default=0)
    fills_complete = models.BooleanField(default=False)
    live = models.BooleanField(default=True)  # may be working on the exchange, as far as we know
    signal_time = models.DateTimeField(null=True, blank=True)
    signal_used = models.BooleanField(default=False)  # this ENTRY used its signal up
    reason = models.TextField(blank=True, default="")
    cancel_wanted_at = models.DateTimeField(null=True, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)  # when the exchange last said how it is
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(purpose__in=["ENTRY", "DCA"]) | Q(signal_time__isnull=False),
                name="entry_has_signal_time",
            ),
            models.UniqueConstraint(
                fields=["bot", "purpose", "part", "signal_time"],
                condition=Q(purpose__in=["ENTRY", "DCA"], signal_used=True),
                name="one_entry_per_signal",  # I2
            ),
            models.UniqueConstraint(
                fields=["bot", "purpose", "part"],
                condition=Q(live=True),
                name="one_live_order_per_purpose_and_part",  # I2
            ),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="order_quantity_positive"),
            models.CheckConstraint(condition=Q(side__in=["BUY", "SELL"]), name="order_side_known"),
        ]
        indexes = [BrinIndex(fields=["created_at"], name="order_created", autosummarize=True)]  # for metrics

    def __str__(self) -> str:
        return self.client_order_id


class Fill(models.Model):
    """One execution, as the exchange reported it. Booked once, however often it is reported."""

    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT, related_name="fills")
    market = models.CharField(max_length=8, choices=Market.choices)
    symbol = models.CharField(max_length=40)
    trade_id = models.BigIntegerField()
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, blank=True, related_name="fills")
    bot = models.ForeignKey(
        "bots.BotConfig", on_delete=models.PROTECT, null=True, blank=True, related_name="fills"
    )
    side = models.CharField(max_length=4)
    quantity = amount()
    price = amount()
    commission = amount(default=0)
    commission_asset = models.CharField(max_length=20, blank=True, default="")
    commission_price = amount(null=True, blank=True)  # quote per commission asset, where it is a third
    exchange_order_id = models.BigIntegerField(null=True, blank=True)
    exchange_pnl = amount(null=True, blank=True)  # futures: realised by the exchange's reckoning, gross
    source = models.CharField(max_length=8, choices=[("own", "own"), ("external", "external")], default="own")
    traded_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["account", "market", "symbol", "trade_id"], name="fill_once"),
            models.CheckConstraint(
                condition=Q(order__isnull=False) | Q(source="external"),
                name="own_fill_has_order",  # I8
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.trade_id}"


class Adjustment(models.Model):
    """A change of a balance or position that no order of ours made: dust, deposits, changes by hand.

    Dust changes a bot's position and no balance. All other kinds change the account's balance, and with a
    `bot` its position too.
    """

    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT)
    market = models.CharField(max_length=8, choices=Market.choices, default=Market.SPOT)
    bot = models.ForeignKey("bots.BotConfig", on_delete=models.PROTECT, null=True, blank=True)
    asset = models.CharField(max_length=20)
    quantity = amount()
    kind = models.CharField(max_length=20)
    reason = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.quantity.normalize():f} {self.asset}"


class FundingPayment(models.Model):
    """What a futures position was paid or charged beside its fills; part of its realised PnL.

    Funding, and the fee of a liquidation. `amount` is negative when it was charged. The exchange numbers
    each kind by itself ("tranId is unique for the same incomeType", Get Income History).
    """

    class Kind(models.TextChoices):
        FUNDING = "FUNDING_FEE", "funding"
        LIQUIDATION = "INSURANCE_CLEAR", "liquidation fee"

    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT)
    market = models.CharField(max_length=8, choices=Market.choices, default=Market.FUTURES)
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.FUNDING)
    tran_id = models.BigIntegerField()
    bot = models.ForeignKey("bots.BotConfig", on_delete=models.PROTECT, null=True, blank=True)
    symbol = models.CharField(max_length=40)
    asset = models.CharField(max_length=20)
    amount = amount()
    paid_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["account", "market", "kind", "tran_id"], name="funding_once"),
        ]
        indexes = [models.Index(fields=["bot", "paid_at"], name="funding_bot_time")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.tran_id}"


class Trade(models.Model):
    """One filled order, as its owner reads it. Realised PnL is FIFO and net of fees; an entry's is 0.

    Purpose EXTERNAL is an order that was not ours, by the exchange (liquidation) or by hand: it has no
    `order`, and its number at the exchange is in `binance_order_id`.
    """

    bot_config = models.ForeignKey(
        "bots.BotConfig", verbose_name="bot", on_delete=models.PROTECT, related_name="trades"
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="trades")
    order = models.OneToOneField(Order, on_delete=models.PROTECT, null=True, blank=True, related_name="trade")
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=4)
    purpose = models.CharField(max_length=10)
    price = amount()  # average
    quantity_filled = amount()
    commission_quote = amount(default=0)  # the fees' worth in quote units
    realized_pnl = amount(default=0)
    reason = models.TextField(blank=True, default="")
    binance_order_id = models.BigIntegerField()
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["bot_config", "-created_at"], name="trade_bot_time")]
        constraints = [
            models.CheckConstraint(
                condition=Q(order__isnull=False) | Q(purpose="EXTERNAL"), name="own_trade_has_order"
            ),
            models.UniqueConstraint(
                fields=["bot_config", "symbol", "binance_order_id"],
                condition=Q(purpose="EXTERNAL"),
                name="external_trade_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity_filled.normalize():f} {self.symbol}"
