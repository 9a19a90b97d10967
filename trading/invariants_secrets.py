"""I15: no key and no signature in any text that is stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import connection, models

from trading.findings import Finding

SIGNATURE = "signature="
APPS = ("bots", "trading", "marketdata")
SHORTEST = 64  # characters; a signature has 64 beside its name, so that no shorter column can hold one
ENCRYPTED = ("ExchangeSecret", "ChannelSecret")  # the two tables that are there to keep secrets
TIMES = ("created_at", "started_at", "at")


def check(since: datetime | None, canaries: tuple[str, ...] = ()) -> list[Finding]:
    """Rows in which a text, or a text within JSON, holds `signature=` or a canary: one statement for all."""
    words = [f"%{_escaped(word)}%" for word in (SIGNATURE, *canaries)]
    parts = [_select(model, columns, since) for model, columns in _tables()]
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), {"words": words, "since": since})
        return [
            Finding("I15", f"{table} {row}", "a stored text holds a key or a signature")
            for table, row in cursor.fetchall()
        ]


def _tables() -> Iterator[tuple[type[models.Model], list[str]]]:
    for name in APPS:
        for model in apps.get_app_config(name).get_models():
            columns = [str(field.column) for field in model._meta.local_concrete_fields if _holds_text(field)]
            if columns and model.__name__ not in ENCRYPTED:
                yield model, columns


def _holds_text(field: Any) -> bool:
    if isinstance(field, models.CharField):
        return not field.choices and (field.max_length or SHORTEST) >= SHORTEST
    return isinstance(field, models.TextField | models.JSONField)


def _select(model: type[models.Model], columns: list[str], since: datetime | None) -> str:
    quote = connection.ops.quote_name
    table, key = model._meta.db_table, quote("id")  # every table of ours has one
    texts = " OR ".join(f"{quote(column)}::text LIKE ANY (%(words)s)" for column in columns)
    names = {field.name for field in model._meta.local_concrete_fields}
    time = next((name for name in TIMES if name in names), None)
    young = f" AND {quote(time)} >= %(since)s" if since is not None and time else ""
    return f"SELECT '{table}', {key}::text FROM {quote(table)} WHERE ({texts}){young}"


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
