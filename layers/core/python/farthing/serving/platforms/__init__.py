"""The three platforms as serving sees them, and this machine as a fourth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from farthing.serving.envelope import generate_envelope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.routing import Route

    from farthing.serving.envelope import Envelope
    from farthing.serving.service import Service
    from farthing.settings import Settings


class Platform(Protocol):
    """Believes its own platform's headers and nobody else's."""

    def envelope(self, scope: Mapping[str, Any], /) -> Envelope:
        """Identity and bounds of the invocation behind an ASGI scope."""

    def routes(self, service: Service, /) -> Sequence[Route]:
        """The routes that the platform itself calls, beside the contract's."""


class LocalPlatform:
    """Generates every identity, since nothing here gives one that a caller could not forge."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def envelope(self, scope: Mapping[str, Any]) -> Envelope:
        return generate_envelope(self._settings.timeout_ms, self._settings.tenant)

    def routes(self, service: Service) -> Sequence[Route]:
        return ()
