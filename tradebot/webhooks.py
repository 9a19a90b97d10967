"""Send a signed webhook: to public addresses only, once, within hard limits, and without following anybody.

The name is resolved once; the connection goes to the address that was checked, under the name that was given
(TLS and Host), so that a name which points elsewhere a moment later gains nothing. Form of the messages:
Standard Webhooks (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from http.client import HTTPException
from urllib.parse import SplitResult, urlsplit

import certifi
from django.conf import settings
from standardwebhooks.webhooks import Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from tradebot.deadline import Deadline
from tradebot.errors import InvalidInput
from tradebot.inputs import shown
from tradebot.secrets import Secret

CONNECT_SECONDS, READ_SECONDS, TOTAL_SECONDS = 5.0, 10.0, 15.0
MOST_ANSWER_BYTES = 65_536
MOST_URL_LENGTH = 2000
USER_AGENT = "TradeBot-Webhooks/1"
_FAILURES = (OSError, HTTPError, HTTPException, ValueError)  # of a connection and what comes over it
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# What the standard library's tables (they differ by Python's version) call public, but is not, or leads back
# to IPv4: IETF's own, relays, 6to4, Teredo, documentation. Of IPv6 only 2000::/3 is given out at all.
_NOT_PUBLIC_4 = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))
_NOT_PUBLIC_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_GIVEN_OUT_6 = ipaddress.IPv6Network("2000::/3")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """An address that has passed the rules."""

    scheme: str
    host: str  # lower case, ASCII; an IPv6 address without brackets
    port: int
    path: str  # with the query
    is_allowed: bool  # named in WEBHOOK_ALLOWED_HOSTS: may be private, and plain http


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of sending: delivered on a 2xx; `silent` when no answer came at all."""

    delivered: bool
    text: str  # for people; never holds the address, the body or the secret
    silent: bool = False
    gone: bool = False  # 410: the receiver asks for no more


def parse(url: str) -> Target:
    """The target of a webhook address. Looks nothing up. Raises InvalidInput with what is wrong with it."""
    if not isinstance(url, str) or not url:
        raise _wrong("is missing; enter one like https://example.com/hook.")
    if len(url) > MOST_URL_LENGTH:
        raise _wrong(f"must have at most {MOST_URL_LENGTH} characters.")
    if not url.isascii() or any(character <= " " or character in '\\"<>^`{|}\x7f' for character in url):
        raise _wrong("must not contain spaces, backslashes or characters beyond ASCII.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong(f"can't be read: {shown(url)}.") from None
    if parts.scheme not in ("https", "http"):
        raise _wrong("must begin with https://.")
    host = (parts.hostname or "").rstrip(".")
    if not host:
        raise _wrong("names no host; enter one like https://example.com/hook.")
    if "@" in parts.netloc:
        raise _wrong("must not hold a user or a password before the host.")
    port = port if port is not None else 443 if parts.scheme == "https" else 80
    is_allowed = f"{host}:{port}" in settings.WEBHOOK_ALLOWED_HOSTS
    if not is_allowed:
        _check_public(parts, host, port)
    return Target(parts.scheme, host, port, _path(parts), is_allowed)


def check(url: str, resolve: Resolve | None = None) -> Target:
    """The target of a webhook address that may be stored: by its form, and by where its name points now.

    Asks the name server, so call it outside of transactions. Raises InvalidInput.
    """
    target = parse(url)
    try:
        addresses(target, resolve)
    except OSError:
        raise _wrong(f"names a host that can't be found: {target.host}; check its spelling.") from None
    return target


def addresses(target: Target, resolve: Resolve | None = None) -> list[Address]:
    """Where the target is now. Raises InvalidInput if any of its addresses is not public, OSError if none."""
    try:
        found: list[Address] = [ipaddress.ip_address(target.host)]
    except ValueError:
        asked = (resolve or resolve_name)(target.host, target.port)
        found = [ipaddress.ip_address(text.split("%")[0]) for text in asked]
    if not found:
        raise OSError("the name has no address")
    if not target.is_allowed and not all(is_public(address) for address in found):
        raise _wrong(f"must not lead into a private network, as {target.host} does.")
    return found


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet: not private, loopback, link-local, shared, multicast.

    IPv6 addresses that stand for or carry an IPv4 address (mapped, NAT64, 6to4) are never public here.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address not in _GIVEN_OUT_6 or any(address in net for net in _NOT_PUBLIC_6):
            return False
    elif any(address in net for net in _NOT_PUBLIC_4):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolve_name(host: str, port: int) -> list[str]:
    """The addresses of a name, within the time for connecting. Raises OSError."""
    found: list[str] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(str(row[4][0]) for row in rows)
        except (OSError, UnicodeError) as error:
            failed.append(error if isinstance(error, OSError) else OSError("not a name"))

    asking = threading.Thread(target=ask, daemon=True, name="resolve")  # getaddrinfo knows no limit
    asking.start()
    asking.join(CONNECT_SECONDS)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError("the name could not be resolved in time")
    return list(dict.fromkeys(found))


def headers(message_id: str, body: str, secrets: Sequence[Secret], now: datetime) -> dict[str, str]:
    """The headers of a signed message: id, time, and one signature for each secret."""
    moment = now.astimezone(UTC)
    signatures = [Webhook(secret.reveal()).sign(message_id, moment, body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "connection": "close",
    }


def send(
    url: str,
    body: str,
    signed_headers: dict[str, str],
    *,
    resolve: Resolve | None = None,
    total_seconds: float = TOTAL_SECONDS,
) -> Outcome:
    """POST once and look at the status; never raises for what a receiver does."""
    until = time.monotonic() + total_seconds
    try:
        target = parse(url)
        found = addresses(target, resolve)
    except InvalidInput as error:
        return Outcome(False, f"not sent: {error}")
    except OSError as error:
        return Outcome(False, f"not sent: the host can't be found ({_reason(error)})", silent=True)
    return _post(target, str(found[0]), body.encode(), signed_headers, until)


def _post(target: Target, address: str, body: bytes, sent: dict[str, str], until: float) -> Outcome:
    connection = _connection(target, address)
    deadline: Deadline | None = None
    try:
        raw = _connect(address, target.port, until)
        deadline = Deadline(raw, until - time.monotonic())
        connection.take(raw)
        connection.request("POST", target.path, body=body, headers=sent, preload_content=False)
        answer = connection.getresponse()
        status = answer.status
        _drain(answer)
    except _FAILURES as error:
        in_time = deadline is None or not deadline.struck
        reason = _reason(error) if in_time else "no answer in time"
        return Outcome(False, f"no answer: {reason}", silent=True)
    finally:
        if deadline is not None:
            deadline.cancel()
        connection.close()
    return _judge(status)


def _judge(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome(True, f"answered {status}")
    if 300 <= status < 400:
        return Outcome(False, f"answered {status}: redirects are not followed")
    return Outcome(False, f"answered {status}", gone=status == 410)


def _drain(answer: object) -> None:
    """Take a small answer off the line, for the receiver's peace; what comes of it does not matter."""
    with contextlib.suppress(*_FAILURES):
        answer.read(MOST_ANSWER_BYTES, decode_content=False)  # type: ignore[attr-defined]


class _Taken:
    """For connections: the socket is given, none is opened."""

    given: socket.socket | None = None

    def take(self, raw: socket.socket) -> None:
        self.given = raw

    def _new_conn(self) -> socket.socket:
        if self.given is None:
            raise OSError("no connection")
        return self.given


class _Http(_Taken, HTTPConnection):
    pass


class _Https(_Taken, HTTPSConnection):
    pass


def _connection(target: Target, address: str) -> _Http | _Https:
    """Says `host` in TLS and in the Host header; goes wherever the given socket goes."""
    if target.scheme == "http":
        return _Http(target.host, target.port, timeout=READ_SECONDS)
    return _Https(
        target.host,
        target.port,
        timeout=READ_SECONDS,
        ssl_context=tls_context(),
        server_hostname=target.host,
    )


def _connect(address: str, port: int, until: float) -> socket.socket:
    seconds = min(CONNECT_SECONDS, until - time.monotonic())
    if seconds <= 0:
        raise TimeoutError("no time to connect")
    raw = socket.create_connection((address, port), timeout=seconds)
    raw.settimeout(READ_SECONDS)
    return raw


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Verifies certificate and name, always."""
    return ssl.create_default_context(cafile=certifi.where())


def _check_public(parts: SplitResult, host: str, port: int) -> None:
    if parts.scheme != "https":
        raise _wrong("must begin with https://.")
    if port != 443:
        raise _wrong("must not name another port than 443.")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        _check_name(host)
    else:
        if not is_public(address):
            raise _wrong(f"must not lead into a private network, as {host} does.")


def _check_name(host: str) -> None:
    """A name with a dot, and none that a resolver reads as a number: 127.1, 0x7f000001, 2130706433."""
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _wrong(f"names a host that can't be: {shown(host)}.")
    if _NUMBER.fullmatch(labels[-1]) or len(labels) < 2:
        raise _wrong(f"must name a public host like example.com, not {shown(host)}.")


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _wrong(what: str) -> InvalidInput:
    return InvalidInput(f"The webhook's address {what}", "target")


def _reason(error: BaseException) -> str:
    """A few words; library texts hold the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError) or "imeout" in type(error).__name__:
        return "no answer in time"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "the connection was closed"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return type(error).__name__
