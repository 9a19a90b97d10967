"""Bots, their runs, inbox and screens in the admin."""

from bots.admin.bots import BotConfigAdmin
from bots.admin.journals import BotInboxAdmin, BotRunAdmin, ScreenRunAdmin
from bots.admin.notifications import DeliveryAdmin, NotificationChannelAdmin

__all__ = [
    "BotConfigAdmin",
    "BotInboxAdmin",
    "BotRunAdmin",
    "DeliveryAdmin",
    "NotificationChannelAdmin",
    "ScreenRunAdmin",
]
