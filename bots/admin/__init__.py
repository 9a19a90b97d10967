"""Bots, their runs, inbox and screens in the admin."""

import knox.admin
from django.contrib import admin
from django_dramatiq.models import Task
from knox.models import AuthToken

from bots.admin.bots import BotConfigAdmin
from bots.admin.doubts import DoubtAdmin
from bots.admin.journals import BotInboxAdmin, BotRunAdmin, DeadLetterAdmin, ScreenRunAdmin
from bots.admin.kill import KillSwitchAdmin
from bots.admin.notifications import DeliveryAdmin, NotificationChannelAdmin
from bots.admin.orphans import AccountSweepAdmin, OrphanAdmin

__all__ = [
    "AccountSweepAdmin",
    "BotConfigAdmin",
    "BotInboxAdmin",
    "BotRunAdmin",
    "DeadLetterAdmin",
    "DeliveryAdmin",
    "DoubtAdmin",
    "KillSwitchAdmin",
    "NotificationChannelAdmin",
    "OrphanAdmin",
    "ScreenRunAdmin",
]

assert knox.admin  # it registers the tokens, whose digests and new values are for no page
admin.site.unregister(AuthToken)
admin.site.unregister(Task)  # messages live in Redis: its table stays empty
