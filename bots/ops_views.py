"""Addresses for machines: /healthz (this process), /readyz (what it needs), /metrics. No login needed."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from bots.health_checks import READY
from bots.metrics import Collector
from tradebot.health import examine
from tradebot.metrics import may_read_metrics


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while this process answers at all; asks nothing else."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when database, Redis, schema and workers are well, else 503; names what fails and tells no more."""
    checks = {check.name: check.ok for check in examine(READY)}
    failing = [name for name, is_ok in checks.items() if not is_ok]
    return JsonResponse(
        {"ready": not failing, "failing": failing, "checks": checks}, status=503 if failing else 200
    )


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text, for this machine and for holders of METRICS_TOKEN."""
    if not may_read_metrics(request):
        if not settings.METRICS_TOKEN:
            return HttpResponse("There is nothing here.\n", status=404, content_type="text/plain")
        return HttpResponse(
            "Show METRICS_TOKEN as a bearer token.\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": 'Bearer realm="metrics"'},
        )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
