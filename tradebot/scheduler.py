"""What periodiq loads: the broker with every actor that has a schedule. Run: periodiq tradebot.scheduler."""

from __future__ import annotations

import os
import time
from importlib import import_module
from importlib.util import find_spec

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradebot.settings")
os.environ["TZ"] = "UTC"  # periodiq reads its cron lines in local time
time.tzset()

import django  # noqa: E402

django.setup()

import dramatiq  # noqa: E402

for app in ("marketdata", "trading", "bots"):
    if find_spec(f"{app}.actors"):
        import_module(f"{app}.actors")

broker = dramatiq.get_broker()
