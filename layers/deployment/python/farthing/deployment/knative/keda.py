"""Queue workers that KEDA scales: to zero on the queue, and at 70 % of the CPU from one pod on.

Sources: apis/keda/v1alpha1/scaledobject_webhook.go and pkg/scalers of github.com/kedacore/keda
(8b4f083, 2026-08).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farthing.deployment.knative.cache import is_cache
from farthing.deployment.knative.overlay import annotations_of, dig, selects
from farthing.deployment.knative.pods import image_function
from farthing.deployment.knative.quantities import not_seventy, whole
from farthing.deployment.knative.scaling import PODS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay

PAUSED = "autoscaling.keda.sh/paused-replicas"
KEDA_ANNOTATIONS = {PAUSED, "autoscaling.keda.sh/paused"}
RESOURCES = {"cpu", "memory"}
SQS = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/\d{12}/[A-Za-z0-9_-]{1,80}")
SQS_KEYS = {"queueURL", "queueURLFromEnv", "awsRegion", "queueLength", "activationQueueLength",
            "scaleOnInFlight", "scaleOnDelayed", "awsEndpoint"}  # fmt: skip
MESSAGES_MAX = 10
NAME_SERVER, HTTPS, HTTP = 53, 443, 80
# Where EKS Pod Identity hands out a pod's keys:
# https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
KEY_AGENT = "169.254.170.23/32"


def check(overlay: Overlay) -> Iterator[Finding]:
    """Scaled workers that KEDA would refuse, or that would not keep to zero and 70 %."""
    scaled = overlay.of("ScaledObject")
    if overlay.name == "queue" and not scaled:
        yield overlay.missing("ScaledObject", "worker", "Nothing scales on a queue.", "Restore it.")
    for scaler in scaled:
        yield from _check_bounds(overlay, scaler)
        yield from _check_triggers(overlay, scaler)
        yield from _check_target(overlay, scaler)
    for authentication in overlay.of("TriggerAuthentication"):
        identity = dig(authentication, "spec.podIdentity") or {}
        if identity != {"provider": "aws", "identityOwner": "workload"}:
            yield overlay.finding(
                authentication,
                "spec.podIdentity",
                f"It is {identity or 'missing'}: KEDA would read the queue as someone else.",
                "Set provider aws and identityOwner workload.",
            )
    for deployment in overlay.of("Deployment"):
        if not is_cache(deployment):
            yield from _check_deployment(overlay, deployment)


def _check_bounds(overlay: Overlay, scaler: dict[str, Any]) -> Iterator[Finding]:
    floor, ceiling = dig(scaler, "spec.minReplicaCount"), dig(scaler, "spec.maxReplicaCount")
    if floor != 0:
        yield overlay.finding(
            scaler,
            "spec.minReplicaCount",
            f"It is {floor}.",
            "Set 0: an empty queue costs nothing.",
        )
    if ceiling is None or not 1 <= ceiling <= PODS_MAX:
        yield overlay.finding(
            scaler, "spec.maxReplicaCount", f"It is {ceiling}.", f"Set 1 to {PODS_MAX}."
        )
    for key in annotations_of(scaler):
        if key not in KEDA_ANNOTATIONS:
            yield overlay.finding(
                scaler,
                f"metadata.annotations.{key}",
                "KEDA reads no such annotation.",
                "Correct it.",
            )


def _check_triggers(overlay: Overlay, scaler: dict[str, Any]) -> Iterator[Finding]:
    triggers = dig(scaler, "spec.triggers") or []
    kinds = [trigger.get("type") for trigger in triggers]
    if "cpu" not in kinds:
        yield overlay.finding(
            scaler, "spec.triggers", "No trigger holds the CPU at 70 %.", "Add one of type cpu."
        )
    if set(kinds) <= RESOURCES:
        yield overlay.finding(
            scaler,
            "spec.triggers",
            "CPU alone cannot start the first pod, and KEDA refuses it with minReplicaCount 0.",
            "Add a queue.",
        )
    for place, trigger in enumerate(triggers):
        at = f"spec.triggers.{place}"
        if trigger.get("type") == "cpu":
            if "type" in (trigger.get("metadata") or {}):
                yield overlay.finding(
                    scaler, f"{at}.metadata.type", "KEDA 2.18 removed it.", "Use metricType."
                )
            if trigger.get("metricType") != "Utilization":
                yield overlay.finding(
                    scaler,
                    f"{at}.metricType",
                    f"It is {trigger.get('metricType')}: 70 would not be a percentage.",
                    "Set Utilization.",
                )
            reason = not_seventy(dig(trigger, "metadata.value"))
            if reason:
                yield overlay.finding(scaler, f"{at}.metadata.value", reason, 'Set "70".')
        elif trigger.get("type") == "aws-sqs-queue":
            yield from _check_sqs(overlay, scaler, at, trigger)
        elif trigger.get("type") not in {"kafka", "prometheus", "rabbitmq", "redis", "cron"}:
            yield overlay.finding(
                scaler, f"{at}.type", f"{trigger.get('type')} is no known trigger.", "Correct it."
            )


def _check_sqs(
    overlay: Overlay, scaler: dict[str, Any], at: str, trigger: dict[str, Any]
) -> Iterator[Finding]:
    metadata = trigger.get("metadata") or {}
    for key in sorted(metadata.keys() - SQS_KEYS):
        yield overlay.finding(
            scaler, f"{at}.metadata.{key}", "KEDA reads no such key.", "Correct it."
        )
    worker = overlay.named("Deployment", dig(scaler, "spec.scaleTargetRef.name"))
    env = dig(worker, "spec.template.spec.containers.0.env") or []
    variable = metadata.get("queueURLFromEnv")
    named = next((it.get("value") for it in env if it.get("name") == variable), None)
    match = SQS.fullmatch(str(metadata.get("queueURL") or named))
    if match is None:
        yield overlay.finding(
            scaler,
            f"{at}.metadata.queueURL",
            "It names no queue, and neither does a variable of the worker.",
            "Set queueURLFromEnv to a variable that holds the queue's URL.",
        )
    elif match[1] != metadata.get("awsRegion"):
        yield overlay.finding(
            scaler,
            f"{at}.metadata.awsRegion",
            f"It is {metadata.get('awsRegion')}, but the queue is in {match[1]}.",
            "Make them agree.",
        )
    length = whole(metadata.get("queueLength"))
    if length is None or not 1 <= length <= MESSAGES_MAX:
        yield overlay.finding(
            scaler,
            f"{at}.metadata.queueLength",
            f"It is {metadata.get('queueLength')}: messages that one pod may leave waiting.",
            f"Set 1 to {MESSAGES_MAX}.",
        )
    reference = dig(trigger, "authenticationRef.name")
    if overlay.named("TriggerAuthentication", reference) is None:
        yield overlay.finding(
            scaler,
            f"{at}.authenticationRef",
            f"There is no TriggerAuthentication {reference}.",
            "Name the one there is.",
        )


def _check_target(overlay: Overlay, scaler: dict[str, Any]) -> Iterator[Finding]:
    name = dig(scaler, "spec.scaleTargetRef.name")
    worker = overlay.named("Deployment", name)
    if worker is None:
        yield overlay.finding(
            scaler, "spec.scaleTargetRef.name", f"There is no Deployment {name}.", "Name one."
        )
        return
    if dig(worker, "spec.replicas") is not None:
        yield overlay.finding(
            worker, "spec.replicas", "KEDA sets it, and each apply would unset it.", "Remove it."
        )
    container = dig(worker, "spec.template.spec.containers.0") or {}
    serves_http = "command" not in container and "args" not in container
    if serves_http and annotations_of(scaler).get(PAUSED) != "0":
        yield overlay.finding(
            scaler,
            f"metadata.annotations.{PAUSED}",
            "The worker runs its image's server, which reads no queue: its pods would never end.",
            'Set "0" until the worker has a command that does.',
        )
    elif not serves_http and KEDA_ANNOTATIONS & annotations_of(scaler).keys():
        yield overlay.finding(
            scaler, f"metadata.annotations.{PAUSED}", "No worker would ever start.", "Remove it."
        )


def _check_deployment(overlay: Overlay, deployment: dict[str, Any]) -> Iterator[Finding]:
    labels = dig(deployment, "spec.template.metadata.labels") or {}
    selector = dig(deployment, "spec.selector")
    if not (dig(selector, "matchLabels") and selects(selector, labels)):
        yield overlay.finding(
            deployment, "spec.selector", "It does not select its own pods.", "Match the labels."
        )
    function = image_function(overlay, deployment)
    grace_s = dig(deployment, "spec.template.spec.terminationGracePeriodSeconds")
    if function is not None and grace_s != overlay.functions[function].timeout_s:
        yield overlay.finding(
            deployment,
            "spec.template.spec.terminationGracePeriodSeconds",
            f"It is {grace_s}, but a call may take {overlay.functions[function].timeout_s} s.",
            "Make them agree.",
        )
    ways_out = {
        (it.get("protocol") or "TCP", it.get("port"))
        for policy in overlay.of("NetworkPolicy")
        if selects(dig(policy, "spec.podSelector"), labels)
        for rule in dig(policy, "spec.egress") or []
        for it in rule.get("ports") or []
        if (rule.get("to"), it.get("port")) != ([{"ipBlock": {"cidr": KEY_AGENT}}], HTTP)
    }
    wanted = {("TCP", HTTPS), ("UDP", NAME_SERVER), ("TCP", NAME_SERVER)}
    if ways_out != wanted:
        yield overlay.finding(
            deployment,
            "",
            f"Its pods may call the ports {sorted(map(str, ways_out)) or 'none'}.",
            "Open 443, the name server's 53 and the key agent's 80 to them, and nothing else.",
        )
