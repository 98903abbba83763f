"""The pods that an overlay would start, whatever object describes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.deployment.knative.overlay import SERVING, dig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.knative.overlay import Overlay

# Where it is broken inside what was looked at, what is so, and what to do.
Broken = tuple[str, str, str]


class Pod(NamedTuple):
    """A pod's spec inside an object; `function` is None for a pod that serves none."""

    owner: dict[str, Any]
    path: str
    function: str | None

    @property
    def spec(self) -> dict[str, Any]:
        return dict(dig(self.owner, self.path) or {})

    @property
    def is_serving(self) -> bool:
        return str(self.owner.get("apiVersion")).startswith(SERVING)


def pods(overlay: Overlay) -> Iterator[Pod]:
    """Every pod that the overlay would start, those of CronJobs and JobSinks included."""
    for function, service in overlay.services():
        yield Pod(service, "spec.template.spec", function)
    for deployment in overlay.of("Deployment"):
        yield Pod(deployment, "spec.template.spec", image_function(overlay, deployment))
    for job in overlay.of("CronJob"):
        yield Pod(job, "spec.jobTemplate.spec.template.spec", None)
    for sink in overlay.of("JobSink"):
        yield Pod(sink, "spec.job.spec.template.spec", None)


def image_function(overlay: Overlay, deployment: dict[str, Any]) -> str | None:
    image = str(dig(deployment, "spec.template.spec.containers.0.image"))
    match = re.search(r"farthing-([a-z0-9-]+):", image)
    return match[1] if match and match[1] in overlay.functions else None
