"""A loopback server that answers by script: what an exchange or a network may do to a request."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 418: "I'm a teapot", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire."""

    method: str
    target: str  # path and query, as sent
    headers: dict[str, str]  # names in lower case
    body: bytes
    connection: int  # which connection it came on, counted from 1

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))


Script = Callable[[socket.socket, Received], bool]  # answers; says whether the connection stays open


def reply(status: int = 200, body: Any = None, headers: dict[str, str] | None = None) -> Script:
    """An ordinary answer; `body` is JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    return raw(head(status, {"Content-Length": str(len(data)), **(headers or {})}) + data)


def head(status: int, headers: dict[str, str]) -> bytes:
    """Status line and headers."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def raw(data: bytes, *, keep: bool = True) -> Script:
    """These bytes, whatever they are."""

    def answer(connection: socket.socket, received: Received) -> bool:
        connection.sendall(data)
        return keep

    return answer


def error(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Script:
    """An error as Binance writes it."""
    return reply(status, {"code": code, "msg": message}, headers)


def drip(data: bytes, seconds: float, *, at_once: int = 0) -> Script:
    """One byte each `seconds`, after the first `at_once` bytes."""

    def answer(connection: socket.socket, received: Received) -> bool:
        connection.sendall(data[:at_once])
        for index in range(at_once, len(data)):
            connection.sendall(data[index : index + 1])
            time.sleep(seconds)
        return True

    return answer


def silent(connection: socket.socket, received: Received) -> bool:
    """No answer; the connection stays open until the other side closes it."""
    connection.settimeout(30)
    return bool(connection.recv(1))


def hang_up(connection: socket.socket, received: Received) -> bool:
    """Close in an orderly way without an answer."""
    return False


def reset(connection: socket.socket, received: Received) -> bool:
    """Close with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


@dataclass
class FakeExchange:
    """The server. `on` sets the answers of a path, in order; the last one repeats. Other paths: 404."""

    clock_skew_ms: int = 0
    tls: ssl.SSLContext | None = None
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._scripts: dict[str, list[Script]] = {}
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def on(self, path: str, *scripts: Script) -> None:
        """Answer requests to `path` by these scripts."""
        self._scripts[path] = list(scripts)

    def to(self, path: str, method: str = "") -> list[Received]:
        """The requests that came to `path`."""
        return [
            seen for seen in self.requests if seen.path == path and seen.method == (method or seen.method)
        ]

    def close(self) -> None:
        """Stop listening and drop all connections."""
        self._listener.close()
        with self._lock:
            for connection in self._open:
                connection.close()

    def drop_connections(self) -> None:
        """Close what is open, as a server does with idle connections."""
        with self._lock:
            for connection in self._open:
                connection.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
                self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            stream = connection.makefile("rb")
        except OSError:
            connection.close()
            return
        try:
            while (received := self._read(stream, number)) is not None:
                with self._lock:
                    self.requests.append(received)
                    script = self._next(received.path)
                if not script(connection, received):
                    break
        except (OSError, ValueError):  # ValueError: not a request
            pass
        finally:
            stream.close()
            with self._lock:
                if connection in self._open:
                    self._open.remove(connection)
            connection.close()

    def _next(self, path: str) -> Script:
        scripts = self._scripts.get(path)
        if scripts:
            return scripts.pop(0) if len(scripts) > 1 else scripts[0]
        if path.endswith(("/v3/time", "/v1/time")):
            return reply(200, {"serverTime": round(time.time() * 1000) + self.clock_skew_ms})
        return error(404, -1, "not scripted")

    @staticmethod
    def _read(stream: Any, number: int) -> Received | None:
        first = stream.readline().decode("latin-1")
        if not first.strip():
            return None
        method, target, _ = first.split(" ", 2)
        headers = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        return Received(method, target, headers, body, number)


@contextmanager
def fake_exchange() -> Iterator[FakeExchange]:
    """A server for the length of a with block."""
    server = FakeExchange()
    try:
        yield server
    finally:
        server.close()
