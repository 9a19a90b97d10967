"""One webhook over the wire: signed, once, within limits, and to the address that was checked (W1, W2)."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from tests.notifications.conftest import HOOK, OTHER_SECRET, SECRET
from tests.support.certificates import certificate_of
from tests.support.fake_exchange import FakeExchange, drip, hang_up, head, raw, reply, reset, silent
from tradebot import webhooks
from tradebot.secrets import Secret

BODY = '{"type":"test","data":{"name":"Zoë"}}'


def send(receiver, **options):
    now = datetime.now(UTC)
    signed = webhooks.headers("msg_1", BODY, [Secret(SECRET), Secret(OTHER_SECRET)], now)
    return webhooks.send(receiver.url + HOOK, BODY, signed, **options)


def test_the_receiver_can_verify_it_with_either_secret(receiver):
    outcome = send(receiver)
    (seen,) = receiver.requests
    assert (outcome.delivered, outcome.text, seen.method) == (True, "answered 200", "POST")
    assert seen.headers["host"] == receiver.url.removeprefix("http://")
    assert seen.headers["content-type"] == "application/json"
    for secret in (SECRET, OTHER_SECRET):
        assert Webhook(secret).verify(seen.body, seen.headers) == {"type": "test", "data": {"name": "Zoë"}}
    assert seen.headers["webhook-signature"].count("v1,") == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(receiver, status):
    receiver.on(HOOK, reply(status, headers={"Location": receiver.url + "/other"}))
    outcome = send(receiver)
    assert (outcome.delivered, outcome.silent) == (False, False)
    assert outcome.text == f"answered {status}: redirects are not followed"
    assert receiver.to("/other") == []


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_an_error_answer_is_not_delivered(receiver, status):
    receiver.on(HOOK, reply(status))
    assert send(receiver) == webhooks.Outcome(False, f"answered {status}")


def test_a_receiver_that_is_gone_says_so(receiver):
    receiver.on(HOOK, reply(410))
    assert send(receiver).gone


@pytest.mark.parametrize("script", [silent, hang_up, reset, raw(b"nonsense\r\n\r\n", keep=False)])
def test_no_answer_is_silence(receiver, script):
    receiver.on(HOOK, script)
    outcome = send(receiver, total_seconds=0.5)
    assert (outcome.delivered, outcome.silent) == (False, True)


def test_a_receiver_that_is_down(settings):
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    settings.WEBHOOK_ALLOWED_HOSTS = (host,)
    outcome = webhooks.send(f"http://{host}/", BODY, {})
    assert outcome == webhooks.Outcome(False, "no answer: Connection refused", silent=True)


def test_headers_that_drip_end_at_the_total_limit(receiver):
    receiver.on(HOOK, drip(head(200, {"Content-Length": "0", "X": "y" * 500}), 0.05))
    began = time.monotonic()
    assert send(receiver, total_seconds=0.5) == webhooks.Outcome(
        False, "no answer: no answer in time", silent=True
    )
    assert 0.45 <= time.monotonic() - began < 1


def endless(connection, received):
    connection.sendall(head(200, {"Content-Length": str(1 << 30)}))
    sent = 0
    try:
        while True:
            sent += connection.send(b"x" * 65536)
    finally:
        received.headers["sent"] = str(sent)


def test_of_an_answer_of_a_gigabyte_little_is_read(receiver):
    receiver.on(HOOK, endless)
    began = time.monotonic()
    assert send(receiver).delivered
    assert time.monotonic() - began < 2
    deadline = time.monotonic() + 5
    while "sent" not in receiver.requests[0].headers:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert int(receiver.requests[0].headers["sent"]) < 16 << 20  # what fits into the sockets' buffers


def test_a_body_that_never_ends_holds_nobody_beyond_the_limit(receiver):
    receiver.on(HOOK, drip(head(200, {"Content-Length": "9000"}) + b"x" * 9000, 0.05, at_once=60))
    began = time.monotonic()
    assert send(receiver, total_seconds=0.5).delivered  # the status came
    assert time.monotonic() - began < 1


def test_no_thread_outlives_the_sending(receiver):
    before = threading.active_count()
    send(receiver)
    deadline = time.monotonic() + 5
    while threading.active_count() > before + 1:  # the receiver's own
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_proxy_of_the_environment_is_not_used(receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(receiver).delivered


def test_a_name_that_points_elsewhere_when_connecting_is_not_reached():
    """DNS rebinding: public at save, loopback a moment later."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    webhooks.check("https://rebind.example/", lambda host, port: next(answers))
    outcome = webhooks.send("https://rebind.example/", BODY, {}, resolve=lambda host, port: next(answers))
    assert not outcome.delivered
    assert outcome.text.startswith("not sent: The webhook's address must not lead into a private network")


def test_the_name_is_resolved_once_and_the_checked_address_is_connected_to(monkeypatch):
    asked, connected = [], []

    def resolve(host, port):
        asked.append((host, port))
        return ["93.184.216.34"]

    def connect(address, timeout):
        connected.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    assert webhooks.send("https://hooks.example/", BODY, {}, resolve=resolve).silent
    assert (asked, connected) == ([("hooks.example", 443)], [("93.184.216.34", 443)])


@pytest.fixture
def tls_receiver(tmp_path, settings):
    """A receiver whose certificate is of hooks.example."""
    certificate = certificate_of("hooks.example", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names = []
    context.sni_callback = lambda connection, name, _: names.append(name)
    server = FakeExchange(tls=context)
    server.on(HOOK, reply(200))
    server.names, server.certificate = names, certificate
    server.port = int(server.url.rsplit(":", 1)[1])
    settings.WEBHOOK_ALLOWED_HOSTS = (f"hooks.example:{server.port}", f"other.example:{server.port}")
    yield server
    server.close()


def over_tls(server, host):
    return webhooks.send(
        f"https://{host}:{server.port}{HOOK}", BODY, {}, resolve=lambda host, port: ["127.0.0.1"]
    )


def test_over_tls_the_name_is_kept_in_sni_host_and_certificate(tls_receiver, monkeypatch):
    trusting = ssl.create_default_context(cafile=str(tls_receiver.certificate))
    monkeypatch.setattr(webhooks, "tls_context", lambda: trusting)
    assert over_tls(tls_receiver, "hooks.example").delivered
    assert tls_receiver.names == ["hooks.example"]
    assert tls_receiver.requests[0].headers["host"] == f"hooks.example:{tls_receiver.port}"
    outcome = over_tls(tls_receiver, "other.example")
    assert outcome.text.startswith("no answer: its certificate is not trusted: Hostname mismatch")
    assert len(tls_receiver.requests) == 1


def test_an_untrusted_certificate_gets_nothing(tls_receiver):
    outcome = over_tls(tls_receiver, "hooks.example")
    assert outcome.text.startswith("no answer: its certificate is not trusted: self-signed certificate")
    assert tls_receiver.requests == []
