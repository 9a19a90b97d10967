"""What the trials found: figures for each kind of doubt, and the table that docs/faults.md quotes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from django.conf import settings

from tests.faults.scenario import SCALE
from trading import protocol, requests
from trading.models import OrderRequest

TICK_SECONDS = 0.25  # the trials' minute
SLACK_SECONDS = 15.0  # not scaled: processes start in real time
FIRST_TICK_SECONDS = 90.0
NAKED_SECONDS = 90.0


@dataclass
class Doubt:
    """The slowest doubt of a kind, beside the bound that it had."""

    count: int = 0
    seconds: float = 0.0
    bound: float = 0.0
    late: int = 0


@dataclass
class Figures:
    """The sums of all trials."""

    trials: int = 0
    orders: int = 0
    fills: int = 0
    duplicates: int = 0
    lost_fills: int = 0
    differences: int = 0
    struck: int = 0
    restarts: int = 0
    states: Counter[str] = field(default_factory=Counter)
    doubts: dict[str, Doubt] = field(default_factory=dict)
    first_ticks: list[float] = field(default_factory=list)
    naked: float = 0.0
    seconds: float = 0.0

    def note_naked(self, seconds: float) -> None:
        """Count how long a position had no stop on the exchange."""
        self.naked = max(self.naked, seconds)

    def note_doubt(self, row: OrderRequest) -> None:
        """Count a request that was in doubt by how long it took to end."""
        if row.resolved_at is None or not was_in_doubt(row):
            return
        view, timings = requests.view(row), settings.TIMINGS
        hold = protocol.hold_ms(view, timings) / 1000
        kind = "600 s" if hold > timings.hold_seconds else "60 s"
        doubt = self.doubts.setdefault(f"{row.market} {row.lane}, hold {kind}, {row.state}", Doubt())
        took = (row.resolved_at - row.created_at).total_seconds()
        bound = row.recv_window_ms / 1000 + hold + TICK_SECONDS + SLACK_SECONDS
        doubt.count += 1
        doubt.late += took > bound
        if took >= doubt.seconds:
            doubt.seconds, doubt.bound = took, bound

    def table(self) -> str:
        """For people, and for docs/faults.md."""
        rows = [
            ("trials", f"{self.trials} in {self.seconds:.0f} s, times scaled by 1/{1 / SCALE:.0f}"),
            ("faults that struck a worker; workers started again", f"{self.struck}; {self.restarts}"),
            ("orders on the exchange; fills", f"{self.orders}; {self.fills}"),
            ("requests by state", ", ".join(f"{n} {s}" for s, n in sorted(self.states.items()))),
            ("duplicate orders", f"{self.duplicates}"),
            ("lost or unbooked fills", f"{self.lost_fills}"),
            ("differences and broken invariants", f"{self.differences}"),
            ("longest time without a stop", f"{self.naked:.1f} s, bound {NAKED_SECONDS:.0f} s"),
        ]
        if self.first_ticks:
            worst = f"{max(self.first_ticks):.1f} s, bound {FIRST_TICK_SECONDS:.0f} s"
            rows.append((f"first tick after everything was killed ({len(self.first_ticks)} times)", worst))
        for kind, doubt in sorted(self.doubts.items()):
            worst = f"slowest {doubt.seconds:.1f} s, bound {doubt.bound:.1f} s"
            rows.append((f"doubt: {kind} ({doubt.count})", worst))
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def was_in_doubt(row: OrderRequest) -> bool:
    """Whether the outcome was not known at once."""
    found_later = row.state == "ACCEPTED" and row.reason == "found on the exchange"
    return found_later or row.state in ("NOT_PLACED", "QUARANTINED", "LATE")
