"""The web process's entry for gunicorn. Web processes never run a bot."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradebot.settings")
application = get_wsgi_application()
