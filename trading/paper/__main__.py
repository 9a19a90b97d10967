"""`python -m trading.paper`: the paper exchange by itself, without Django and without a database."""

from __future__ import annotations

import argparse
import sys

from trading.paper.cli import CannotStart, add_options, list_faults, options_from, run


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Parse, serve, and answer an exit code: 0 stopped, 2 cannot start with these options."""
    parser = argparse.ArgumentParser(prog="trading.paper", description=__doc__)
    add_options(parser)
    values = vars(parser.parse_args())
    if values["list_faults"]:
        _say(list_faults())
        return 0
    try:
        run(options_from(values), _say)
    except CannotStart as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
