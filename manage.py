#!/usr/bin/env python
"""Django's command line for TradeBot."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run a management command; a broken setting ends in one sentence and exit code 2."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradebot.settings")
    from django.core.management import execute_from_command_line

    from tradebot.errors import ConfigError

    if sys.argv[1:2] == ["demo"]:
        from tradebot.embedded_env import prepare_demo_environment

        prepare_demo_environment(sys.argv)
    try:
        execute_from_command_line(sys.argv)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
