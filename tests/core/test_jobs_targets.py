"""Where a webhook may go, and the many ways to say where it may not."""

from __future__ import annotations

import pytest

from farthing.errors import InvalidRequest
from farthing.serving.jobs.targets import is_public, read_target

PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2001:0:7f00:1::1",
    "2001:db8::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "no address",
    "",
]
REFUSED = [
    "http://example.com/",
    "ftp://example.com/",
    "//example.com/",
    "example.com",
    "",
    "https://",
    "https:///path",
    "https://example.com:80/",
    "https://example.com:22/",
    "https://example.com:0x1bb/",
    "https://example.com:99999/",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://@example.com/",
    "https://example.com/#part",
    "https://example.com/#",
    "https://exa mple.com/",
    "https://example.com/\r\nHost: other",
    "https://example.com\\@127.0.0.1/",
    "https://bücher.example/",
    "https://localhost/",
    "https://localhost./",
    "https://LOCALHOST/",
    "https://db.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://intranet/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://[::1/",
    "https://example.com/" + "a" * 2048,
    *(f"https://{address}/" for address in PRIVATE[:18]),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_what_anybody_could_call_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_what_only_this_machine_or_its_network_reaches_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("url", REFUSED)
def test_a_webhook_elsewhere_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^The webhook .*https://") as refused:
        read_target(url)
    assert url.partition("//")[2][:12] not in refused.value.detail or not url.partition("//")[2]


def test_a_webhook_is_read_once_into_host_port_and_path() -> None:
    assert read_target("https://Hooks.Example.com/a/b?c=d") == (
        "hooks.example.com",
        443,
        "/a/b?c=d",
    )
    assert read_target("https://hooks.example.com:8443") == ("hooks.example.com", 8443, "/")
    assert read_target("https://hooks.example.com./") == ("hooks.example.com", 443, "/")
    assert read_target("https://[2606:4700:4700::1111]/x") == ("2606:4700:4700::1111", 443, "/x")
