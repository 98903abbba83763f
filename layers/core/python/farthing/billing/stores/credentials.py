"""AWS access keys: those of the environment, or those that a container's agent hands out.

Lambda puts its role's key into the environment, and under SnapStart, whose copies would share it,
gives an address to fetch it from; so do ECS and EKS.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from farthing.billing.copies import call_in_copies
from farthing.errors import SettingsError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AGENT: Final = "http://169.254.170.2"
# A key is never asked of anybody further away, except by TLS.
AGENT_HOSTS: Final = {"127.0.0.1", "localhost", "::1", "169.254.170.2", "169.254.170.23"}
AGENT_S_MAX: Final = 2.0
# A key that is about to end is replaced before a request travels with it.
EARLY_S: Final = 300.0


class Credentials(msgspec.Struct, frozen=True):
    """An AWS access key; `token` where it is a role's, "" where it is a user's."""

    key_id: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"


def credentials_of(
    environ: Mapping[str, str], asker: str = "A ledger in DynamoDB"
) -> Callable[[], Credentials]:
    """What gives the access key to sign with, now; `asker` is who needs it.

    Raises `SettingsError` where the environment has neither a key nor an agent's address.
    """
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        stated = Credentials(
            environ["AWS_ACCESS_KEY_ID"],
            environ["AWS_SECRET_ACCESS_KEY"],
            environ.get("AWS_SESSION_TOKEN", ""),
        )
        return lambda: stated
    address = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        address = AGENT + environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
    if address:
        return ContainerCredentials(address, environ)
    raise SettingsError(
        f"{asker} needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which are not "
        "set. `aws configure export-credentials --format env` prints those of a profile."
    )


class Told(msgspec.Struct, rename="pascal"):
    """What an agent answers."""

    access_key_id: str
    secret_access_key: str
    token: str = ""
    expiration: dt.datetime | None = None


class ContainerCredentials:
    """Asks a container's agent for the role's key, and again before that ends.

    Raises `SettingsError` for an address that a key should not be sent from.
    """

    def __init__(self, address: str, environ: Mapping[str, str]) -> None:
        parts = urlsplit(address)
        secure = parts.scheme == "https"
        if not parts.hostname or not (secure or parts.hostname in AGENT_HOSTS):
            raise SettingsError(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an agent's own address, "
                "so no key is fetched from it. Correct or unset it."
            )
        self._address = address
        self._environ = environ
        self._begin()
        # A snapshot may be older than the key that was current when it was taken.
        call_in_copies(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._current: Credentials | None = None
        self._until_s = 0.0

    def __call__(self) -> Credentials:
        """Raises `StoreUnavailable` where the agent gives none."""
        with self._lock:
            if self._current is None or time.time() > self._until_s - EARLY_S:
                told = self._ask()
                self._current = Credentials(told.access_key_id, told.secret_access_key, told.token)
                ends = told.expiration
                self._until_s = ends.timestamp() if ends else float("inf")
            return self._current

    def _ask(self) -> Told:
        # Few processes get their key so, and the import takes 40 ms.
        from urllib.error import HTTPError
        from urllib.request import Request, urlopen

        request = Request(self._address, headers=self._authorization())  # noqa: S310 - checked
        try:
            with urlopen(request, timeout=AGENT_S_MAX) as answer:  # noqa: S310
                return msgspec.json.decode(answer.read(), type=Told)
        except (OSError, msgspec.MsgspecError) as error:
            if isinstance(error, HTTPError):
                # A refusal holds its connection open.
                error.close()
            raise StoreUnavailable(
                f"The container's agent gives no AWS access key ({type(error).__name__}). See "
                "that the function has a role."
            ) from None

    def _authorization(self) -> dict[str, str]:
        file = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        token = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        if file:
            token = Path(file).read_text(encoding="ascii").strip()
        return {"Authorization": token} if token else {}
