"""What a benchmark needs around it: embedded servers, an empty database, a paper exchange, workers."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.environment import TEST_ENVIRONMENT  # noqa: E402
from tradebot.embedded import Servers  # noqa: E402


@contextmanager
def servers(**variables: str) -> Iterator[Path]:
    """Embedded servers with a migrated, empty database, and Django set up on them; gives a scratch folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tradebot-benchmark-")))
        os.environ.update({**TEST_ENVIRONMENT, "DJANGO_SETTINGS_MODULE": "tradebot.settings", **variables})
        running = Servers(folder / "servers")
        os.environ.update(running.start())
        stack.callback(running.stop)
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0, interactive=False)
        yield folder
