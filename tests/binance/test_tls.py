"""The same limits and the same truth over TLS."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.binance.conftest import API_KEY, API_SECRET, ORDER, PAYLOAD, SHORT
from tests.support.fake_exchange import FakeExchange, drip, head, reply
from tradebot.binance import transport
from tradebot.binance.client import ExchangeClient
from tradebot.binance.sources import Source
from tradebot.secrets import Secret


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_exchange(certificate: Path) -> Iterator[FakeExchange]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = FakeExchange(tls=context)
    yield server
    server.close()


def _client(exchange: FakeExchange) -> ExchangeClient:
    return ExchangeClient(
        Source("paper", "spot", exchange.url, exchange.url),
        api_key=Secret(API_KEY),
        api_secret=Secret(API_SECRET),
        timings=SHORT,
        lane="exit",
    )


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This test's connections trust the certificate."""
    make = transport._tls_context.__wrapped__

    def context() -> ssl.SSLContext:
        made = make()
        made.load_verify_locations(certificate)
        return made

    monkeypatch.setattr(transport, "_tls_context", context)
    monkeypatch.setattr(transport, "_thread", transport._PerThread())


@pytest.mark.usefixtures("trusted")
def test_an_order_goes_over_tls_and_the_connection_is_kept(tls_exchange: FakeExchange) -> None:
    tls_exchange.on(ORDER, reply(200, {"orderId": 28}))
    assert _client(tls_exchange).post_order(ORDER, PAYLOAD).kind == "ACCEPTED"
    assert _client(tls_exchange).post_order(ORDER, PAYLOAD).kind == "ACCEPTED"
    assert [seen.connection for seen in tls_exchange.requests] == [1, 1]


@pytest.mark.usefixtures("trusted")
def test_the_total_limit_holds_over_tls(tls_exchange: FakeExchange) -> None:
    tls_exchange.on(ORDER, drip(head(200, {"Content-Length": "2000"}) + b" " * 2000, 0.1))
    started = time.monotonic()
    assert _client(tls_exchange).post_order(ORDER, PAYLOAD).kind == "UNKNOWN"
    taken = time.monotonic() - started
    assert SHORT.total_timeout_seconds - 0.1 <= taken < SHORT.total_timeout_seconds + 0.3


def test_a_certificate_that_is_not_trusted_means_not_sent(tls_exchange: FakeExchange) -> None:
    answer = _client(tls_exchange).post_order(ORDER, PAYLOAD)
    assert answer.kind == "NOT_SENT"
    assert "certificate verify failed" in answer.message
    assert tls_exchange.requests == []


def test_threads_have_connections_of_their_own(tls_exchange: FakeExchange) -> None:
    sessions: list[int] = []
    threads = [threading.Thread(target=lambda: sessions.append(id(transport._session()))) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    assert id(transport._session()) not in sessions
