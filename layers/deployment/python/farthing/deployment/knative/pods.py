"""The pods that an overlay would start, whatever object describes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.deployment.knative.overlay import SERVING, dig, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.knative.overlay import Overlay

# Where it is broken inside what was looked at, what is so, and what to do.
Broken = tuple[str, str, str]


class Pod(NamedTuple):
    """A pod's spec inside an object; `function` is None for a pod that serves none, and `job` is
    the function that answers nobody, where one runs in it.
    """

    owner: dict[str, Any]
    path: str
    function: str | None
    job: str | None = None

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
        path = "spec.template.spec"
        yield Pod(deployment, path, image_function(overlay, deployment), _job(overlay, deployment))
    for job in overlay.of("CronJob"):
        name = name_of(job)
        known = name if name in overlay.jobs else None
        yield Pod(job, "spec.jobTemplate.spec.template.spec", None, known)
    for sink in overlay.of("JobSink"):
        yield Pod(sink, "spec.job.spec.template.spec", None, _job(overlay, sink))


def image_function(overlay: Overlay, deployment: dict[str, Any]) -> str | None:
    """The function that answers callers from a Deployment's pods."""
    named = _named(deployment, "spec.template.spec")
    return named if named in overlay.functions else None


def environment_of(pod: Pod) -> dict[str, str]:
    """What its container is told in so many words."""
    entries = dig(pod.spec, "containers.0.env") or []
    return {str(it.get("name")): str(it.get("value")) for it in entries}


def _job(overlay: Overlay, owner: dict[str, Any]) -> str | None:
    path = "spec.job.spec.template.spec" if owner.get("kind") == "JobSink" else "spec.template.spec"
    named = _named(owner, path)
    return named if named in overlay.jobs else None


def _named(owner: dict[str, Any], path: str) -> str:
    """The function that an image is of, by the image's name."""
    match = re.search(r"farthing-([a-z0-9-]+):", str(dig(owner, f"{path}.containers.0.image")))
    return match[1] if match else ""
