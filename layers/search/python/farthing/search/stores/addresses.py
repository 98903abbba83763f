"""The address of a vector store, taken apart; what it says in the clear, and to whom."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from farthing.errors import SettingsError

COLLECTION = "farthing"
# What each kind lets a collection be called.
NAMES = {"milvus": re.compile(r"[A-Za-z_]\w{0,254}", re.ASCII)}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
FORMS = (
    "embedded:DIR, chroma:DIR, chroma+https://HOST:PORT/COLLECTION, milvus:FILE.db, "
    "milvus+https://HOST:PORT/COLLECTION or pinecone://INDEX-HOST"
)


class Address(NamedTuple):
    """`path` is of a store on this machine, `host` of one behind a network."""

    kind: str
    collection: str
    options: dict[str, str]
    path: str = ""
    host: str = ""
    port: int | None = None
    tls: bool = True

    @property
    def url(self) -> str:
        """The address for people and messages: without options, which are nobody else's."""
        if self.path:
            return f"{self.kind}:{self.path}"
        return f"{self.kind} at {self.endpoint.partition('://')[2]}"

    @property
    def endpoint(self) -> str:
        """The server's own address, `https://HOST:PORT`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"http{'s' if self.tls else ''}://{host}{port}"

    def flag(self, name: str) -> bool:
        return self.options.get(name, "").casefold() in {"1", "true", "yes"}


def read_address(url: str, options: frozenset[str] = frozenset()) -> Address:
    """The parts of a store's address; it may have `options` beside those of every store.

    Nothing crosses a network in the clear unless the address says `insecure=true`. Raises
    `SettingsError` for any other address, and for one that holds a secret: those come from the
    environment, as addresses end up in logs.
    """
    scheme, _, transport = url.partition(":")[0].partition("+")
    try:
        parts = urlsplit(url)
        port, given = parts.port, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _not_an_address() from None
    if parts.username is not None or parts.password is not None:
        raise SettingsError(
            "The vector store's address holds a user or a password. Leave them out, and put the "
            "key into CHROMA_API_KEY, MILVUS_TOKEN or PINECONE_API_KEY."
        )
    known = options | {"adopt", "collection", "insecure"}
    if not known >= set(given):
        raise SettingsError(
            "The vector store's address has an option that it cannot have. It may have "
            f"{', '.join(sorted(known))}."
        )
    path = unquote(parts.path)
    if scheme in {"embedded", "chroma", "milvus"} and not transport:
        if parts.netloc or not path:
            raise _not_an_address()
        collection = _name(scheme, given.get("collection", COLLECTION))
        return Address(scheme, collection, given, path=path)
    if not parts.hostname or transport not in {"", "http", "https"} or path.count("/") > 1:
        raise _not_an_address()
    address = Address(
        scheme,
        _name(scheme, path.strip("/") or given.get("collection", COLLECTION)),
        given,
        host=parts.hostname,
        port=port,
        tls=transport != "http",
    )
    is_near = _is_loopback(address.host)
    if not transport and (is_near or address.flag("insecure")):
        return address._replace(tls=False)
    if not address.tls and not is_near and not address.flag("insecure"):
        raise SettingsError(
            "The vector store's address asks for http to another machine, which anybody between "
            f"can read. Use {scheme}+https://, or add insecure=true to say that it is meant."
        )
    return address


def _name(scheme: str, collection: str) -> str:
    if not NAMES.get(scheme, NAME).fullmatch(collection):
        raise SettingsError(
            "The vector store's address names a collection that cannot be. Use 3 to 63 letters and "
            "digits, with underscores between."
        )
    return collection


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _not_an_address() -> SettingsError:
    return SettingsError(f"That is no vector store's address. Use {FORMS}.")
