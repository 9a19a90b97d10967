"""One HTTP exchange with hard limits: total time, no redirect, no retry, and the truth about what was sent.

The total limit is kept by the sockets themselves: each wait for bytes gets what is left of the whole, so a
server that drips one byte a second ends when the time is up. Whether a byte of the request left is noted by
the socket, too, because the kind of an exception does not tell (a TLS error can come before the request or
after it).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

from tradebot import failpoints
from tradebot.logs import cap_http_loggers

# A server may close an idle connection at any moment, and a request on it then has an unknown outcome. So
# what must not be repeated gets a connection that was in use a moment ago, or a new one.
IDLE_SECONDS_ONCE = 2.0
IDLE_SECONDS_READ = 30.0

cap_http_loggers()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that arrived in full."""

    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """No full answer. `sent` is False only when surely no byte of the request left this machine."""

    sent: bool
    reason: str  # for people; never holds the address, the query or the body


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for connecting, for each silence while reading, and for all of it."""

    connect: float
    read: float
    total: float


class _Call:
    """What the sockets of this thread must know about the request that is under way."""

    __slots__ = ("deadline", "idle_seconds", "sent")

    def __init__(self, total_seconds: float, idle_seconds: float) -> None:
        self.deadline = time.monotonic() + total_seconds
        self.idle_seconds = idle_seconds
        self.sent = False

    def remaining(self) -> float:
        """Seconds left, above 0; raises TimeoutError when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the total time limit is reached")
        return left


class _PerThread(threading.local):
    session: requests.Session | None = None
    call: _Call | None = None


_thread = _PerThread()


def _forget_after_fork() -> None:
    """A child must not share its parent's connections."""
    global _thread
    _thread = _PerThread()


os.register_at_fork(after_in_child=_forget_after_fork)


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    limits: Limits,
    query: str = "",
    body: bytes | None = None,
    once: bool = False,
) -> Reply | Failure:
    """Send one request and wait for the whole answer; never raises for an outcome.

    `query` and `body` go on the wire as they are. `once` marks a request that must not be repeated: it is
    not put on a connection that was idle for long.
    """
    request = requests.PreparedRequest()
    request.prepare(
        method=method,
        url=url,
        headers={"Accept-Encoding": "gzip, deflate", "User-Agent": "TradeBot", **headers},
        data=body,
    )
    if query:
        request.url = f"{url}?{query}"
    call = _Call(limits.total, IDLE_SECONDS_ONCE if once else IDLE_SECONDS_READ)
    _thread.call = call
    try:
        answer = _session().send(request, timeout=(limits.connect, limits.read), allow_redirects=False)
        return Reply(answer.status_code, answer.headers, answer.content)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        reason = _reason(error)
    finally:
        _thread.call = None
    return Failure(call.sent, reason)


def _session() -> requests.Session:
    """This thread's session: connections are kept alive and used by one thread only."""
    if _thread.session is None:
        session = requests.Session()
        session.trust_env = False  # no proxies, no netrc, no CA bundle from the environment
        session.mount("http://", _Adapter())
        session.mount("https://", _Adapter())
        _thread.session = session
    return _thread.session


def _reason(error: BaseException) -> str:
    """The innermost cause in a few words; outer texts hold the URL with its signature."""
    seen: set[int] = set()
    root = error
    while id(root) not in seen:
        seen.add(id(root))
        inner = [
            part
            for part in (getattr(root, "reason", None), root.__cause__, root.__context__, *root.args)
            if isinstance(part, BaseException) and id(part) not in seen
        ]
        root = inner[0] if inner else root
    if isinstance(root, TimeoutError) or "imeout" in type(root).__name__:
        return "no answer in time"
    if isinstance(root, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return "the connection was closed"
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return {
        "RemoteDisconnected": "the connection was closed without an answer",
        "IncompleteRead": "the answer broke off",
    }.get(type(root).__name__, type(root).__name__)


class _Bounded:
    """For sockets: bounds each wait by what is left of the call, and notes that bytes were sent."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if _thread.call is not None and _thread.call.idle_seconds == IDLE_SECONDS_ONCE:
            failpoints.reached("send.sent")  # of an order: all its bytes have left
        return int(self._within("recv_into", *args, **kwargs))

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        if _thread.call is not None:
            _thread.call.sent = True
        self._within("sendall", *args, **kwargs)

    def _within(self, name: str, *args: Any, **kwargs: Any) -> Any:
        operation = getattr(super(), name)
        if _thread.call is None:
            return operation(*args, **kwargs)
        usual = self.gettimeout()  # type: ignore[attr-defined]
        left = _thread.call.remaining()
        self.settimeout(left if usual is None else min(usual, left))  # type: ignore[attr-defined]
        try:
            return operation(*args, **kwargs)
        finally:
            self.settimeout(usual)  # type: ignore[attr-defined]


class _Socket(_Bounded, socket.socket):
    """A TCP socket that keeps the total limit."""


class _TlsSocket(_Bounded, ssl.SSLSocket):
    """A TLS socket that keeps the total limit."""


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    context = create_urllib3_context()  # verifies by default; requests adds the certificate bundle
    context.sslsocket_class = _TlsSocket
    return context


def _resolve(host: str, port: int, seconds: float) -> list[Any]:
    """getaddrinfo with a limit: it has none of its own, hence a thread that is left behind when it hangs."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found: list[Any] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            failed.append(error)

    asking = threading.Thread(target=ask, daemon=True, name="resolve")
    asking.start()
    asking.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError("the name could not be resolved in time")
    return found


def _connect(host: str, port: int, seconds: float, options: Any) -> socket.socket:
    """A connected socket within `seconds` over all of the host's addresses, name resolution included."""
    call = _thread.call
    until = time.monotonic() + (seconds if call is None else min(seconds, call.remaining()))
    failure: OSError = TimeoutError("no time to connect")
    for family, kind, protocol, _, address in _resolve(host.strip("[]"), port, seconds):
        left = until - time.monotonic()
        if left <= 0:
            break
        connection = _Socket(family, kind, protocol)
        try:
            for option in options or ():
                connection.setsockopt(*option)
            connection.settimeout(left)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            connection.settimeout(seconds)  # the TLS handshake's limit
            return connection
    raise failure


class _HttpConnection(HTTPConnection):
    idle_since = 0.0

    def _new_conn(self) -> socket.socket:
        return _connect(self._dns_host, int(self.port), float(self.timeout or 3), self.socket_options)


class _HttpsConnection(HTTPSConnection):
    idle_since = 0.0

    def _new_conn(self) -> socket.socket:
        return _connect(self._dns_host, int(self.port), float(self.timeout or 3), self.socket_options)


class _FreshPool(HTTPConnectionPool):
    """Keeps connections alive, but hands out none that was idle for longer than the call allows."""

    ConnectionCls = _HttpConnection

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        call = _thread.call
        idle_seconds = time.monotonic() - connection.idle_since
        if call is not None and not connection.is_closed and idle_seconds > call.idle_seconds:
            connection.close()  # opens anew when used
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)


class _FreshTlsPool(_FreshPool, HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection  # type: ignore[assignment]


class _Adapter(HTTPAdapter):
    """No retries of its own; pools and sockets of this module."""

    def __init__(self) -> None:
        super().__init__(pool_connections=8, pool_maxsize=1, max_retries=0)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block=block, ssl_context=_tls_context(), **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _FreshPool, "https": _FreshTlsPool}
