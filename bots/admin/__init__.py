"""Bots, their runs, inbox and screens in the admin."""

from django.contrib import admin
from django_dramatiq.models import Task

from bots.admin.bots import BotConfigAdmin
from bots.admin.journals import BotInboxAdmin, BotRunAdmin, ScreenRunAdmin

admin.site.unregister(Task)  # messages live in Redis: its table stays empty

__all__ = ["BotConfigAdmin", "BotInboxAdmin", "BotRunAdmin", "ScreenRunAdmin"]
