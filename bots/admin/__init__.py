"""Bots, their runs, inbox and screens in the admin."""

import knox.admin
from django.contrib import admin
from django_dramatiq.models import Task
from knox.models import AuthToken

from bots.admin.bots import BotConfigAdmin
from bots.admin.doubts import DoubtAdmin
from bots.admin.journals import BotInboxAdmin, BotRunAdmin, ScreenRunAdmin
from bots.admin.notifications import DeliveryAdmin, NotificationChannelAdmin

__all__ = [
    "BotConfigAdmin",
    "BotInboxAdmin",
    "BotRunAdmin",
    "DeliveryAdmin",
    "DoubtAdmin",
    "NotificationChannelAdmin",
    "ScreenRunAdmin",
]

assert knox.admin  # it registers the tokens, whose digests and new values are for no page
admin.site.unregister(AuthToken)
admin.site.unregister(Task)  # messages live in Redis: its table stays empty
