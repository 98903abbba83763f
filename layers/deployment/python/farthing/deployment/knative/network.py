"""Who may reach a function, and what reads its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.knative.overlay import (
    SERVICE_LABEL,
    SERVING,
    dig,
    labels_of,
    name_of,
    selects,
)
from farthing.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay

VISIBILITY = "networking.knative.dev/visibility"
NAMESPACE = "kubernetes.io/metadata.name"
ENFORCE = "pod-security.kubernetes.io/enforce"
# https://github.com/knative/serving pkg/networking/constants.go
REQUESTS, AUTOSCALER_METRICS, REQUEST_METRICS = 8012, 9090, 9091
METRICS_PORT = "http-usermetric"
# Where the networking layers that Knative documents run their gateways:
# https://knative.dev/docs/install/yaml-install/serving/install-serving-with-yaml/
GATEWAYS = (
    "kourier-system",
    "istio-system",
    "contour-internal",
    "contour-external",
    "envoy-gateway-system",
)
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}
CLUSTER_WIDE = {"Namespace"}


def check(overlay: Overlay) -> Iterator[Finding]:
    """Where a function could be reached by those who may not, or not by those who must."""
    yield from _check_namespace(overlay)
    yield from _check_access(overlay)
    yield from _check_policies(overlay)
    yield from _check_monitor(overlay)


def _check_namespace(overlay: Overlay) -> Iterator[Finding]:
    namespaces = overlay.of("Namespace")
    if len(namespaces) != 1:
        yield overlay.missing("Namespace", "", f"There are {len(namespaces)}.", "Keep one.")
        return
    namespace = namespaces[0]
    if labels_of(namespace).get(ENFORCE) != "restricted":
        yield overlay.finding(
            namespace,
            f"metadata.labels.{ENFORCE}",
            "The cluster does not enforce the restricted standard.",
            "Set restricted.",
        )
    for document in overlay.documents:
        found = dig(document, "metadata.namespace")
        if document.get("kind") not in CLUSTER_WIDE and found != name_of(namespace):
            yield overlay.finding(
                document,
                "metadata.namespace",
                f"It is {found!r}; the rest is in {name_of(namespace)!r}.",
                "Put it there.",
            )


def _check_access(overlay: Overlay) -> Iterator[Finding]:
    """A public route needs keys; without keys a route stays inside the cluster."""
    for route in [*overlay.of("Service", SERVING), *overlay.of("Route", SERVING)]:
        found = labels_of(route).get(VISIBILITY)
        env = dig(route, "spec.template.spec.containers.0.env") or []
        values = {str(it.get("name")): it for it in env}
        keys = values.get(f"{PREFIX}KEYS")
        access = dig(values, f"{PREFIX}ACCESS.value") or "platform"
        if access not in {"platform", "keys"}:
            yield overlay.finding(
                route, f"env.{PREFIX}ACCESS", f"It is {access!r}.", "Set platform or keys."
            )
        if access == "keys" and dig(keys, "valueFrom.secretKeyRef.name") is None:
            yield overlay.finding(
                route, f"env.{PREFIX}KEYS", "It is from no Secret.", "Use valueFrom.secretKeyRef."
            )
        if found != "cluster-local" and (access != "keys" or found is not None):
            yield overlay.finding(
                route,
                f"metadata.labels.{VISIBILITY}",
                f"It is {found!r}, so the route is public, and no key is asked for.",
                f"Set cluster-local, or {PREFIX}ACCESS to keys and {PREFIX}KEYS from a Secret.",
            )


def _check_policies(overlay: Overlay) -> Iterator[Finding]:
    policies = overlay.of("NetworkPolicy")
    if not any(_closes_all(policy) for policy in policies):
        yield overlay.missing(
            "NetworkPolicy",
            "closed",
            "No policy closes every pod to both directions.",
            "Select {} with the policyTypes Ingress and Egress and no rule.",
        )
    for policy in policies:
        for direction in ("Ingress", "Egress"):
            rules = dig(policy, f"spec.{direction.lower()}")
            if rules is not None and direction not in (dig(policy, "spec.policyTypes") or []):
                yield overlay.finding(
                    policy,
                    "spec.policyTypes",
                    f"{direction} is missing.",
                    "Name it, as it has rules.",
                )
            selector = dig(policy, "spec.podSelector")
            if rules and not (dig(selector, "matchLabels") or dig(selector, "matchExpressions")):
                yield overlay.finding(
                    policy, "spec.podSelector", "It opens every pod.", "Select those it is for."
                )
            if any(_peer_is_open(peer) for rule in rules or [] for peer in rule.get("from") or []):
                yield overlay.finding(
                    policy,
                    "spec.ingress",
                    "A rule admits every pod there is.",
                    "Name the namespace.",
                )
            if any(not rule.get("ports") for rule in rules or []):
                yield overlay.finding(
                    policy,
                    f"spec.{direction.lower()}",
                    "A rule opens every port.",
                    "Name the ports.",
                )
    for name in overlay.of("Service", SERVING):
        labels = {SERVICE_LABEL: name_of(name)}
        open_to = [
            rule
            for policy in policies
            if selects(dig(policy, "spec.podSelector"), labels)
            for rule in dig(policy, "spec.ingress") or []
        ]
        for says, do in _unreachable(open_to):
            yield overlay.finding(name, "", says, do)


def _peer_is_open(peer: dict[str, Any]) -> bool:
    """Whether a peer of an ingress rule is anyone in the cluster or outside it."""
    return "ipBlock" in peer or not any(
        dig(peer, f"{part}.{kind}")
        for part in ("namespaceSelector", "podSelector")
        for kind in ("matchLabels", "matchExpressions")
    )


def _closes_all(policy: dict[str, Any]) -> bool:
    spec = policy.get("spec") or {}
    return (
        spec.get("podSelector") == {}
        and set(spec.get("policyTypes") or []) == {"Ingress", "Egress"}
        and not spec.get("ingress")
        and not spec.get("egress")
    )


def _unreachable(rules: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Which of those who must reach queue-proxy cannot."""
    needs = [
        ("The activator", ["knative-serving"], {}, REQUESTS),
        ("The autoscaler", ["knative-serving"], {}, AUTOSCALER_METRICS),
        ("No gateway that Knative documents", list(GATEWAYS), {}, REQUESTS),
        ("Prometheus", ["monitoring"], PROMETHEUS, REQUEST_METRICS),
    ]
    for who, namespaces, labels, port in needs:
        if not any(_admits(rules, namespace, labels, port) for namespace in namespaces):
            yield (
                f"{who} may reach port {port} of its pods."
                if who.startswith("No ")
                else f"{who} may not reach port {port} of its pods.",
                f"Admit {' or '.join(namespaces)} in a NetworkPolicy that selects them.",
            )


def _admits(rules: list[dict[str, Any]], namespace: str, labels: dict[str, str], port: int) -> bool:
    for rule in rules:
        ports = {
            it.get("port") for it in rule.get("ports") or [] if it.get("protocol") in {None, "TCP"}
        }
        if port not in ports:
            continue
        for peer in rule.get("from") or []:
            is_there = "namespaceSelector" in peer and selects(
                peer["namespaceSelector"], {NAMESPACE: namespace}
            )
            if is_there and ("podSelector" not in peer or selects(peer["podSelector"], labels)):
                return True
    return False


def _check_monitor(overlay: Overlay) -> Iterator[Finding]:
    for kind in ("ServiceMonitor", "Probe"):
        for monitor in overlay.of(kind):
            yield overlay.finding(
                monitor, "", "It scrapes the route, which keeps it from zero.", "Use a PodMonitor."
            )
    monitors = overlay.of("PodMonitor")
    for service in overlay.of("Service", SERVING):
        labels = {SERVICE_LABEL: name_of(service)}
        if not any(selects(dig(it, "spec.selector"), labels) for it in monitors):
            yield overlay.finding(
                service, "", "No PodMonitor selects its pods.", f"Select {SERVICE_LABEL}."
            )
    for monitor in monitors:
        if SERVICE_LABEL not in str(dig(monitor, "spec.selector")):
            yield overlay.finding(
                monitor,
                "spec.selector",
                "It takes pods that serve nothing.",
                f"Use {SERVICE_LABEL}.",
            )
        ports = [it.get("port") for it in dig(monitor, "spec.podMetricsEndpoints") or []]
        if METRICS_PORT not in ports:
            yield overlay.finding(
                monitor,
                "spec.podMetricsEndpoints",
                f"It reads the ports {ports}; queue-proxy's is {METRICS_PORT}.",
                f"Set {METRICS_PORT}.",
            )
