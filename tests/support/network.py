"""Keeps the tests on this machine: a connection to anywhere else is an error."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any


class NetworkBlockedError(RuntimeError):
    """Raised when a test reaches beyond this machine. Not an OSError: no retry may swallow it."""


def block_network() -> None:
    """From now on sockets of this process connect to loopback addresses only, and look up no other names."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def checked_connect(self: socket.socket, address: Any) -> None:
        check(address)
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        check(address)
        return connect_ex(self, address)

    def checked_getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host is not None:
            check((host, 0))
        return getaddrinfo(host, *arguments, **options)

    socket.socket.connect = checked_connect  # type: ignore[method-assign]
    socket.socket.connect_ex = checked_connect_ex  # type: ignore[method-assign]
    socket.getaddrinfo = checked_getaddrinfo


def check(address: Any) -> None:
    """Raise NetworkBlockedError unless `address`, as given to connect(), is on this machine."""
    if not isinstance(address, tuple):  # a unix socket
        return
    host = address[0].decode() if isinstance(address[0], bytes) else str(address[0])
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host in ("", "localhost")
    if not is_local:
        raise NetworkBlockedError(f"A test tried to reach {host}; tests stay on this machine.")
