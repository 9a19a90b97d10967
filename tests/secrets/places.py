"""All the places where a secret could turn up, as text: tables, Redis and its traffic, admin pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import admin
from django.db import connection
from django.test import Client
from django.urls import reverse

from tradebot.redis import redis_client

FORMS = ("change", "history", "delete")


def tables() -> str:
    """Every row of every table; what is stored as bytes is written in hex."""
    rows: list[str] = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        for (name,) in cursor.fetchall():
            cursor.execute(f"SELECT row::text FROM {name} AS row")
            rows += [f"{name}: {text}" for (text,) in cursor.fetchall()]
    return "\n".join(rows)


def redis_content() -> str:
    """Every key with its value, of whatever type."""
    client = redis_client()
    readers = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    return "\n".join(f"{key!r}: {readers[client.type(key)](key)!r}" for key in client.keys("*"))


@contextmanager
def redis_traffic() -> Iterator[list[str]]:
    """All commands that anybody sends to Redis, with their arguments, until the block ends."""
    lines: list[str] = []
    client = redis_client()
    listening = client.connection_pool.get_connection()
    listening.send_command("MONITOR")
    listening.read_response()

    def listen() -> None:
        while not (lines and "the end of the traffic" in lines[-1]):
            lines.append(repr(listening.read_response()))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield lines
    finally:
        client.echo("the end of the traffic")
        thread.join(timeout=30)
        listening.disconnect()


def admin_pages(browser: Client) -> str:
    """List, add form and, for each row, change form, history and deletion of every registered model."""
    pages: list[str] = [_page(browser, "admin:index")]
    for model in admin.site._registry:
        place = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages += [_page(browser, f"{place}_changelist"), _page(browser, f"{place}_add")]
        for key in model._base_manager.values_list("pk", flat=True)[:20]:
            pages += [_page(browser, f"{place}_{form}", key) for form in FORMS]
    return "\n".join(pages)


def _page(browser: Client, name: str, *arguments: Any) -> str:
    response = browser.get(reverse(name, args=arguments), follow=True)
    return f"{name} {arguments} {response.status_code}\n{response.content.decode()}"
