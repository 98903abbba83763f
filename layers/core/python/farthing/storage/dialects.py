"""In what S3 and OSS differ: their words for the same things, and what OSS has not.

OSS's own interface is used: what it offers of S3's leaves out restoring from an archive and writes
that may not overwrite. Its signature is tested against its own client's, its requests against a
stand-in only, not against the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from farthing.billing.stores import signing
from farthing.billing.stores.credentials import Credentials, credentials_of
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Speed = Literal["standard", "bulk"]
OSS_KEY: Final = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")


class Dialect(NamedTuple):
    """`replaces` says whether a write can be told which etag it replaces.

    `signs_bodies`: a signature covers the body. `archive` is the cheapest class of storage whose
    files a request can bring back, and `waits` says how long that takes.
    """

    name: Literal["S3", "OSS"]
    scheme: signing.Scheme
    service: str
    replaces: bool
    signs_bodies: bool
    only_new: Mapping[str, str]
    at_hand: str
    archive: str
    copies_from: str
    restore_job: str
    waits: str

    def header(self, name: str) -> str:
        """The service's own header: `x-amz-date`, say."""
        return self.scheme.prefix + name

    def hosts(self, bucket: str, region: str, endpoint: str) -> tuple[str, str, str]:
        """Scheme, host and what precedes each path, for a bucket."""
        address = endpoint or self._address(region)
        scheme, _, host = address.rstrip("/").partition("://")
        name = host.partition(":")[0]
        numeric = name == "localhost" or name.replace(".", "").isdigit()
        # A dotted bucket's own host would not match the service's certificate.
        if numeric or "." in bucket or (endpoint and self.name == "S3"):
            return scheme, host, f"/{bucket}"
        return scheme, f"{bucket}.{host}", ""

    def credentials(self, environ: Mapping[str, str]) -> Callable[[], Credentials]:
        """What gives the key to sign with. Raises `SettingsError` where there is none."""
        if self.name == "S3":
            return credentials_of(environ, "What lies in S3")
        key_id, secret = (environ.get(name, "") for name in OSS_KEY)
        if not key_id or not secret:
            raise SettingsError(
                f"What lies in OSS needs {OSS_KEY[0]} and {OSS_KEY[1]}, which are not set. "
                "Give the function a role, or set them."
            )
        stated = Credentials(key_id, secret, environ.get("ALIBABA_CLOUD_SECURITY_TOKEN", ""))
        return lambda: stated

    def _address(self, region: str) -> str:
        if self.name == "OSS":
            return f"https://oss-{region.removeprefix('oss-')}.aliyuncs.com"
        suffix = ".cn" if region.startswith("cn-") else ""
        return f"https://s3.{region}.amazonaws.com{suffix}"


DIALECTS: Final = {
    "s3": Dialect(
        name="S3",
        scheme=signing.AWS,
        service="s3",
        replaces=True,
        signs_bodies=True,
        only_new={"if-none-match": "*"},
        at_hand="STANDARD",
        archive="DEEP_ARCHIVE",
        copies_from="copy-source",
        restore_job="GlacierJobParameters",
        waits="up to 12 hours, or 48 in bulk",
    ),
    "oss": Dialect(
        name="OSS",
        scheme=signing.OSS,
        service="oss",
        replaces=False,
        signs_bodies=False,
        only_new={"x-oss-forbid-overwrite": "true"},
        at_hand="Standard",
        archive="ColdArchive",
        copies_from="copy-object-source",
        restore_job="JobParameters",
        waits="2 to 5 hours, or 5 to 12 in bulk",
    ),
}
