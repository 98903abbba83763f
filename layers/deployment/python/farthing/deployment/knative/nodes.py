"""Which nodes pods run on: that the price is theirs, and that losing one loses no call."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farthing.deployment.knative.overlay import SERVICE_LABEL, dig, name_of, selects
from farthing.deployment.knative.pods import pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay
    from farthing.deployment.knative.pods import Broken, Pod

REQUIRED = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
# https://kubernetes.io/docs/reference/labels-annotations-taints/, https://karpenter.sh/docs/concepts/scheduling/
KIND = "node.kubernetes.io/instance-type"
ARCH = "kubernetes.io/arch"
CAPACITY = {"karpenter.sh/capacity-type": "spot", "eks.amazonaws.com/capacityType": "SPOT"}
LABELS = {KIND, ARCH, *CAPACITY}
# AWS's families with a g after the generation, c7g or m8gd, are Graviton.
ARM = re.compile(r"[a-z]+\d+g[a-z]*\..+")
# AWS gives two minutes' notice before it takes a spot node back; half of it is for the drain.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
DRAIN_S_MAX = 60


def check(overlay: Overlay) -> Iterator[Finding]:
    """Where the node that prices an answer is not the one that the pod asks for."""
    spot = []
    for pod in pods(overlay):
        if pod.function is None and pod.job is None:
            continue
        wanted = _wanted_labels(pod)
        if wanted or str(_env(pod, "FARTHING_NODE")).endswith(".spot"):
            spot.append(pod)
            for path, says, do in _broken(pod, wanted):
                yield overlay.finding(pod.owner, f"{pod.path}.{path}", says, do)
    if spot or overlay.name == "spot":
        yield from _check_disruption(overlay, spot)
    if overlay.name == "spot" and len(spot) < len(overlay.functions):
        lacking = overlay.functions.keys() - {pod.function for pod in spot}
        for name in sorted(lacking):
            yield overlay.missing(
                "Service", name, "It asks for no spot node.", "Add the affinity of components/spot."
            )


def is_on_spot(pod: Pod) -> bool:
    """Whether it asks for spot nodes, which the cloud may take back."""
    wanted = _wanted_labels(pod)
    return any(wanted.get(label) == [value] for label, value in CAPACITY.items())


def _broken(pod: Pod, wanted: dict[str, list[str]]) -> Iterator[Broken]:
    path = REQUIRED
    for label in sorted(wanted.keys() - LABELS):
        yield (
            path,
            f"{label} is no label that nodes here have.",
            f"Use {', '.join(sorted(LABELS))}.",
        )
    kinds = wanted.get(KIND) or []
    capacity = [label for label in CAPACITY if label in wanted]
    if not capacity or not is_on_spot(pod):
        yield path, "It does not ask for spot nodes alone.", "Ask for the capacity type spot."
    if len(kinds) != 1:
        yield path, f"It asks for {kinds or 'any instance type'}.", "One price needs one type."
        return
    node = f"{kinds[0]}.spot" if is_on_spot(pod) else kinds[0]
    found = _env(pod, "FARTHING_NODE")
    if found != node:
        yield (
            "containers.0.env.FARTHING_NODE",
            f"Answers are priced as on {found}, but the pod asks for {node}.",
            "Make them agree.",
        )
    arch = "arm64" if ARM.fullmatch(kinds[0]) else "amd64"
    if wanted.get(ARCH) != [arch]:
        yield path, f"{kinds[0]} is {arch}; it asks for {wanted.get(ARCH)}.", f"Ask for {arch}."
    yield from _broken_drain(pod, capacity)


def _broken_drain(pod: Pod, capacity: list[str]) -> Iterator[Broken]:
    allowed = {(label, CAPACITY[label]) for label in capacity}
    tolerated = {
        (it.get("key"), it.get("value"))
        for it in pod.spec.get("tolerations") or []
        if it.get("operator", "Equal") == "Equal" and it.get("effect") in {None, "NoSchedule"}
    }
    if not allowed <= tolerated:
        yield (
            "tolerations",
            f"Spot nodes are tainted {sorted(allowed)}:NoSchedule, which it does not tolerate.",
            "Tolerate it, or the pod stays pending.",
        )
    drain_s = pod.spec.get("timeoutSeconds") or pod.spec.get("terminationGracePeriodSeconds")
    if drain_s is not None and drain_s > DRAIN_S_MAX:
        yield (
            "timeoutSeconds",
            f"A pod may take {drain_s} s to end, and a spot node is gone in 120.",
            f"Allow {DRAIN_S_MAX} s at most.",
        )


def _wanted_labels(pod: Pod) -> dict[str, list[str]]:
    terms = dig(pod.spec, REQUIRED) or []
    expressions = dig(terms[0], "matchExpressions") or [] if len(terms) == 1 else []
    wanted = {str(it.get("key")): it.get("values") or [] for it in expressions}
    in_only = all(it.get("operator") == "In" for it in expressions)
    selector = {key: [value] for key, value in (pod.spec.get("nodeSelector") or {}).items()}
    return {**(wanted if in_only else {"": []} if expressions else {}), **selector}


def _env(pod: Pod, name: str) -> Any:
    entries = dig(pod.spec, "containers.0.env") or []
    return next((it.get("value") for it in entries if it.get("name") == name), None)


def _check_disruption(overlay: Overlay, spot: list[Pod]) -> Iterator[Finding]:
    budgets = overlay.of("PodDisruptionBudget")
    for budget in budgets:
        if SERVICE_LABEL not in str(dig(budget, "spec.selector")):
            yield overlay.finding(
                budget,
                "spec.selector",
                "It takes pods that serve nothing.",
                f"Use {SERVICE_LABEL}.",
            )
        if dig(budget, "spec.minAvailable") is not None:
            yield overlay.finding(
                budget,
                "spec.minAvailable",
                "With one pod left it forbids every drain.",
                "Use maxUnavailable.",
            )
        if dig(budget, "spec.maxUnavailable") not in (1, "1", "25%", "50%"):
            yield overlay.finding(
                budget,
                "spec.maxUnavailable",
                f"It is {dig(budget, 'spec.maxUnavailable')}.",
                "Set 1: drains go on, and never take all pods at once.",
            )
        if dig(budget, "spec.unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield overlay.finding(
                budget,
                "spec.unhealthyPodEvictionPolicy",
                "A pod that never becomes ready would hold its node.",
                "Set AlwaysAllow.",
            )
    for pod in spot:
        labels = {SERVICE_LABEL: name_of(pod.owner)} if pod.is_serving else {}
        if labels and not any(selects(dig(it, "spec.selector"), labels) for it in budgets):
            yield overlay.finding(
                pod.owner,
                "",
                "It runs on spot nodes, and no PodDisruptionBudget selects its pods.",
                f"Add one that selects {SERVICE_LABEL}.",
            )
