"""Signatures of requests to AWS, and to Alibaba's OSS, whose version 4 differs in words only."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.billing.stores.credentials import Credentials

ALWAYS_SIGNED: Final = {"content-type", "content-md5"}


class Scheme(NamedTuple):
    """Whose signatures: `listed` is the part of the header that names what else was signed.

    `prefix` begins the names of the service's own headers, which are always signed.
    """

    algorithm: str
    key: str
    ending: str
    listed: str
    prefix: str


# AWS, "Signature Version 4 for API requests", Authorization header; and Alibaba Cloud, "Include a
# V4 signature in the Authorization header", which lists only what need not have been signed.
AWS: Final = Scheme("AWS4-HMAC-SHA256", "AWS4", "aws4_request", "SignedHeaders", "x-amz-")
OSS: Final = Scheme(
    "OSS4-HMAC-SHA256", "aliyun_v4", "aliyun_v4_request", "AdditionalHeaders", "x-oss-"
)


class Signer(NamedTuple):
    """Signs for one service in one region."""

    scheme: Scheme
    service: str
    region: str

    def authorization(
        self,
        credentials: Credentials,
        at: str,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        payload: str,
    ) -> str:
        """The Authorization header of a request; `at` is `20261122T050000Z`.

        Signed are the host and the `headers` that must be, whose names are lower-case; `path` and
        `query` are as they are sent, and `payload` is the body's SHA-256 or what stands for it.
        """
        scheme = self.scheme
        signed = sorted(name for name in headers if self._is_signed(name))
        if scheme is AWS:
            listed, comma = ";".join(signed), ", "
        else:
            own = (scheme.prefix, *ALWAYS_SIGNED)
            listed, comma = ";".join(n for n in signed if not n.startswith(own)), ","
        lines = "".join(f"{name}:{headers[name]}\n" for name in signed)
        request = f"{method}\n{path}\n{query}\n{lines}\n{listed}\n{payload}"
        scope = f"{at[:8]}/{self.region}/{self.service}/{scheme.ending}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = f"{scheme.key}{credentials.secret}".encode()
        for part in (*scope.split("/"), f"{scheme.algorithm}\n{at}\n{scope}\n{digest}"):
            key = hmac.digest(key, part.encode(), "sha256")
        parts = (
            f"Credential={credentials.key_id}/{scope}",
            f"{scheme.listed}={listed}",
            f"Signature={key.hex()}",
        )
        return f"{scheme.algorithm} {comma.join(parts)}"

    def _is_signed(self, name: str) -> bool:
        return name == "host" or name in ALWAYS_SIGNED or name.startswith(self.scheme.prefix)


def canonical_query(parameters: Mapping[str, str], scheme: Scheme) -> str:
    """The parameters as they are sent and signed: in order, and OSS's bare where empty."""
    sign = "=" if scheme is AWS else ""
    pairs = sorted(
        (quote(name, safe=""), quote(value, safe="")) for name, value in parameters.items()
    )
    return "&".join(f"{name}={value}" if value else f"{name}{sign}" for name, value in pairs)
