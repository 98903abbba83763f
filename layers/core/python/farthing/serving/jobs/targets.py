"""Where a webhook may go: to a public address, by HTTPS, and nowhere else.

Whoever may name an address that this process calls could otherwise ask what only this process can
reach: the platform's credentials, say, at 169.254.169.254.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from farthing.errors import InvalidRequest

URL_CHARS_MAX: Final = 2048
PORTS: Final = (443, 8443)
PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
# A name whose last part is a word: 127.1, 0x7f000001 and 2130706433 are addresses to a resolver.
HOST: Final = re.compile(r"(?=.{4,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]+")
# https://www.iana.org/assignments/special-use-domain-names
NO_HOSTS: Final = (".localhost", ".local", ".internal", ".home.arpa", ".test", ".invalid", ".onion")

# Protocol assignments, in which Oracle's cloud keeps its credentials, whatever of them Python takes
# for public; and Azure's platform, public by its number alone:
# https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
PLATFORMS: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))
# https://www.iana.org/assignments/iana-ipv6-special-registry
UNICAST: Final = IPv6Network("2000::/3")
TEREDO: Final = IPv6Network("2001::/32")
NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
LOW_32: Final = (1 << 32) - 1


class Target(NamedTuple):
    """A webhook's address, read once; `path` has its query."""

    host: str
    port: int
    path: str


def read_target(url: str) -> Target:
    """Where the webhook goes. Raises `InvalidRequest` for what is no public HTTPS address.

    What a name stands for is only known when it is called, and is checked then.
    """
    if len(url) > URL_CHARS_MAX or not PRINTABLE.fullmatch(url) or "\\" in url:
        raise _refused(f"is no address of at most {URL_CHARS_MAX} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS[0]
    except ValueError:
        raise _refused("cannot be read as an address") from None
    if parts.scheme != "https" or parts.username is not None or parts.fragment or "#" in url:
        raise _refused("is not plain HTTPS, or carries a user's name or a fragment")
    if port not in PORTS:
        raise _refused(f"names a port other than {' and '.join(map(str, PORTS))}")
    if not _may_be_called(host):
        raise _refused("leads to no public host")
    return Target(host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def is_public(address: str) -> bool:
    """Whether anybody on the internet could call the address, rather than this machine alone.

    An IPv6 address that carries an IPv4 address is as public as that one.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return _is_public_v4(found)
    carried = _carried(found)
    if carried is not None:
        return _is_public_v4(carried)
    return found in UNICAST and found.is_global and found not in TEREDO


def _may_be_called(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return HOST.fullmatch(host) is not None and not f".{host}".endswith(NO_HOSTS)
    return is_public(host)


def _is_public_v4(address: IPv4Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in PLATFORMS)
    )


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address within one that is mapped, translated or tunnelled."""
    if any(address in network for network in NAT64):
        return IPv4Address(int(address) & LOW_32)
    return address.ipv4_mapped or address.sixtofour


def _refused(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The webhook {why}. Give an https:// address with port {PORTS[0]} or {PORTS[1]} that "
        "anybody could reach."
    )
