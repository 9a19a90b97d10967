"""Bots, their runs, inbox and screens in the admin."""

import knox.admin
from django.contrib import admin
from knox.models import AuthToken

from bots.admin.bots import BotConfigAdmin
from bots.admin.journals import BotInboxAdmin, BotRunAdmin, ScreenRunAdmin

__all__ = ["BotConfigAdmin", "BotInboxAdmin", "BotRunAdmin", "ScreenRunAdmin"]

assert knox.admin  # it registers the tokens, whose digests and new values are for no page
admin.site.unregister(AuthToken)
