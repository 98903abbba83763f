"""The Vertical Pod Autoscaler, which recommends sizes here and changes none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.knative.overlay import SERVING, dig, name_of
from farthing.deployment.knative.scaling import REVISION_DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay


def check(overlay: Overlay) -> Iterator[Finding]:
    """Recommenders that would change a pod, or watch none of ours."""
    found = overlay.of("VerticalPodAutoscaler")
    services = {name_of(it) for it in overlay.of("Service", SERVING)}
    watched = set()
    for recommender in found:
        if dig(recommender, "spec.updatePolicy.updateMode") != "Off":
            yield overlay.finding(
                recommender,
                "spec.updatePolicy.updateMode",
                "It would change pods whose size the price rests on.",
                'Set "Off": it recommends.',
            )
        ref = dig(recommender, "spec.targetRef") or {}
        match = REVISION_DEPLOYMENT.fullmatch(str(ref.get("name")))
        is_ours = overlay.named("Deployment", ref.get("name")) is not None
        if match and match[1] in services:
            watched.add(match[1])
        elif not is_ours:
            yield overlay.finding(
                recommender,
                "spec.targetRef.name",
                f"{ref.get('name')} is no revision's Deployment of a Service here.",
                "Write SERVICE-00001-deployment, with the revision that serves.",
            )
        if (ref.get("apiVersion"), ref.get("kind")) != ("apps/v1", "Deployment"):
            yield overlay.finding(
                recommender, "spec.targetRef", "It names no Deployment of apps/v1.", "Name one."
            )
    if overlay.name == "recommend":
        for name in sorted(overlay.functions.keys() - watched):
            yield overlay.missing(
                "VerticalPodAutoscaler", name, f"Nothing recommends for {name}.", "Add it."
            )
