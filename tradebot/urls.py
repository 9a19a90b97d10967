"""Addresses of the web process."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", include("bots.ops_views")),
    path("admin/", admin.site.urls),
    path("api/", include("bots.api.urls")),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
handler400 = "bots.api.errors.bad_request"
handler404 = "bots.api.errors.page_not_found"
handler500 = "bots.api.errors.server_error"
