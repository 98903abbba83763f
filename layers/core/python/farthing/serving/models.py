"""Which of the answerers that are served a request is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.serving.ports import Answerer, Contract


def pick(answerers: Sequence[Answerer], contract: Contract, request: Any) -> Answerer:
    """The one that the request names, else the first. Raises `UnknownModel`."""
    name = getattr(request, contract.names, None)
    if name is None:
        return answerers[0]
    for answerer in answerers:
        if answerer.name == name:
            return answerer
    known = ", ".join(answerer.name for answerer in answerers)
    raise UnknownModel(
        f"`{contract.names}` names what is not served here; for this route there is {known}. "
        f"Use one of those, or leave {contract.names} out."
    )
