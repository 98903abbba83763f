"""What a key says of its bearer; how it is signed is `farthing.serving.keys`' affair."""

from __future__ import annotations

from typing import Annotated

import msgspec

from farthing.billing.tenants import TENANT_NAME
from farthing.errors import Forbidden, Unauthorized

ALL_SCOPES = "*"


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a key says: names as in RFC 7519 and RFC 8693, times in seconds since 1970."""

    jti: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    sub: Annotated[str, msgspec.Meta(pattern=TENANT_NAME)]
    iat: int
    exp: int
    scope: str = ALL_SCOPES
    plan: str = ""
    rpm: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def require(self, scope: str) -> None:
        """Raises `Forbidden` where the key does not reach what is asked."""
        reached = self.scope.split()
        if ALL_SCOPES not in reached and scope not in reached:
            raise Forbidden(
                f"This route needs the scope {scope}; the key has {' '.join(reached) or 'none'}. "
                "Ask for a key with that scope."
            )


def unauthorized(why: str) -> Unauthorized:
    """The refusal of a request without a valid key."""
    return Unauthorized(
        f"This route needs a key, and {why}. Send one as `Authorization: Bearer KEY`.",
        www_authenticate="Bearer",
    )


def revoked() -> Unauthorized:
    """The refusal of a request whose key was taken back."""
    return unauthorized("the one it bears was revoked")
