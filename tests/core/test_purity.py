"""The pure core imports nothing of Django, Redis or the network, so that a backtest needs none of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
import trading.decide, trading.strategies, trading.books_fifo, trading.signal_codec
forbidden = {"django", "redis", "requests", "binance", "dramatiq", "aiohttp", "psycopg2"}
print(sorted(forbidden & {name.split(".")[0] for name in sys.modules}))
"""


def test_the_pure_core_runs_without_django_redis_and_network() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
