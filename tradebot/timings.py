"""The one set of times of the order protocol and of the HTTP client (docs/orders.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Timings:
    """All waits and limits in one place. Tests and replays use a scaled set, which live accounts refuse."""

    recv_window_ms: int = 5000  # how long the exchange accepts a committed timestamp
    connect_timeout_seconds: float = 3.0
    read_timeout_seconds: float = 12.0  # Binance's own limit is 10 s
    total_timeout_seconds: float = 15.0  # a dripping answer ends here
    run_budget_seconds: float = 60.0
    in_flight_seconds: float = 2.0  # beyond recvWindow: how long a PREPARED request counts as in flight
    successor_seconds: float = 1.0  # beyond recvWindow: from then on another exit may be written
    hold_seconds: float = 60.0  # after the window, before NOT_PLACED, for a recorded timeout or reset
    hold_long_seconds: float = 600.0  # the same after a 5xx, an unknown answer, or none that is known
    not_found_gap_seconds: float = 10.0  # between the two "does not exist" that count
    first_query_seconds: float = 1.0  # after the doubt: first, second and third question
    second_query_seconds: float = 3.0
    third_query_seconds: float = 10.0
    later_query_seconds: float = 30.0
    quarantine_seconds: float = 86_400.0  # a doubt older than this is a human's
    price_max_age_seconds: float = 90.0
    account_max_age_seconds: float = 60.0
    stop_grace_seconds: float = 10.0  # a resting order that the price has passed may take so long to fill
    order_max_age_seconds: float = 300.0  # a resting order is asked for at least this often
    clock_sync_seconds: float = 600.0
    read_backoff_seconds: float = 0.25  # before the second try of a question; doubles, with jitter
    read_budget_seconds: float = 20.0  # a question with all its retries ends here

    def scaled(self, factor: float) -> Timings:
        """All durations times `factor` (0 < factor <= 1); HTTP timeouts and ages of data are kept.

        recv_window_ms is scaled too, down to 200 ms at least.
        """
        kept = {
            "connect_timeout_seconds",
            "read_timeout_seconds",
            "total_timeout_seconds",
            "run_budget_seconds",
            "price_max_age_seconds",
            "account_max_age_seconds",
            "stop_grace_seconds",
            "order_max_age_seconds",
            "clock_sync_seconds",
            "read_budget_seconds",
        }
        values: dict[str, float | int] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "recv_window_ms":
                values[field.name] = max(200, int(value * factor))
            else:
                values[field.name] = value if field.name in kept else value * factor
        return Timings(**values)  # type: ignore[arg-type]


DEFAULT = Timings()
