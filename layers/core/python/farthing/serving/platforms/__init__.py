"""The three platforms, as serving sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.routing import Route

    from farthing.serving.envelope import Envelope
    from farthing.serving.service import Service


class Platform(Protocol):
    """Believes its own platform's headers and nobody else's."""

    def envelope(self, scope: Mapping[str, Any], /) -> Envelope:
        """Identity and bounds of the invocation behind an ASGI scope."""

    def routes(self, service: Service, /) -> Sequence[Route]:
        """The routes that the platform itself calls, beside the contract's."""
