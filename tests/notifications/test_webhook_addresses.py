"""Where a webhook may not go: by its form, by where its name points, and once more when connecting (W2)."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from tradebot import webhooks
from tradebot.errors import InvalidInput

REFUSED = [
    "",
    "https://",
    "http://example.com/hook",
    "https://127.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1%25eth0]/",
    "https://[fd00::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[::]/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://2130706433/",
    "https://127.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.1.2.3/",
    "https://172.16.0.1/",
    "https://192.168.0.1/",
    "https://100.64.0.1/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://localhost/",
    "https://db/",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com:22/",
    "https://example.com:8443/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://exa mple.com/",
    "https://example.com/a b",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/\r\nHost: x",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://exämple.com/",
    "https://-.com/",
    "https://a..com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://example.com/",
    "//example.com/",
    "example.com",
    "https://example.com/" + "a" * 2000,
]


@pytest.mark.parametrize("url", REFUSED)
def test_refused_by_its_form_without_a_look_up(url):
    with pytest.raises(InvalidInput) as caught:
        webhooks.parse(url)
    assert caught.value.field == "target"
    assert str(caught.value).startswith("The webhook's address ")


def test_a_public_name_passes():
    target = webhooks.check("https://Hooks.Example.com./a?b=c#d", lambda host, port: ["93.184.216.34"])
    assert target == webhooks.Target("https", "hooks.example.com", 443, "/a?b=c", False)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["::1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
        ["fe80::1%eth0"],
        ["93.184.216.34", "10.0.0.1"],  # one private address among public ones is enough
    ],
)
def test_a_name_that_points_into_a_private_network_is_refused(addresses):
    with pytest.raises(InvalidInput, match=r"must not lead into a private network, as rebind\.example does"):
        webhooks.check("https://rebind.example/", lambda host, port: addresses)


def test_a_name_that_is_not_found_is_refused_at_save():
    def nobody(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(InvalidInput, match=r"can't be found: nowhere\.example"):
        webhooks.check("https://nowhere.example/", nobody)


@pytest.mark.parametrize(
    ("text", "public"),
    [("93.184.216.34", True), ("2606:4700::1111", True), ("192.0.0.8", False), ("2001:db8::1", False)],
)
def test_public_addresses(text, public):
    assert webhooks.is_public(ipaddress.ip_address(text)) is public


def test_allowed_hosts_may_be_private_and_plain_and_no_others(settings):
    settings.WEBHOOK_ALLOWED_HOSTS = ("127.0.0.1:8080", "receiver:80")
    assert webhooks.parse("http://127.0.0.1:8080/x").is_allowed
    assert webhooks.parse("http://receiver/x").is_allowed
    for url in (
        "http://127.0.0.1:8081/",
        "http://127.0.0.2:8080/",
        "https://receiver/",
        "ftp://receiver:80/",
    ):
        with pytest.raises(InvalidInput):
            webhooks.parse(url)
