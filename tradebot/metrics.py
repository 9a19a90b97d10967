"""The form of a metric, and who may read them: this machine itself, or whoever shows METRICS_TOKEN."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.http import HttpRequest
from prometheus_client.core import GaugeMetricFamily

# A proxy on this machine connects from loopback too, for visitors from anywhere; it names them in these.
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")

PREFIX = "tradebot_"
Rows = Iterable[tuple[Sequence[str], float]]


def gauge(name: str, text: str, rows: Rows, labels: Sequence[str] = ()) -> GaugeMetricFamily:
    """A gauge with a value for each row of label values."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in rows:
        family.add_metric(list(values), value)
    return family


def may_read_metrics(request: HttpRequest) -> bool:
    """Whether the request shows the token, or comes straight from loopback."""
    return _shows_token(request) or _is_local(request)


def _shows_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = settings.METRICS_TOKEN
    return bool(expected) and scheme == "Bearer" and hmac.compare_digest(token.encode(), expected.encode())


def _is_local(request: HttpRequest) -> bool:
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # a unix socket has no address: a proxy is at its other end
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
