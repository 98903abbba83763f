"""A cache that pods share: one Valkey with a password, reached by the functions and nobody else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farthing.deployment.answers import ALONE, keeps_answers
from farthing.deployment.answers import CACHE_VARIABLE as VARIABLE
from farthing.deployment.knative.network import NAMESPACE
from farthing.deployment.knative.overlay import SERVICE_LABEL, dig, labels_of, name_of, selects
from farthing.deployment.knative.pods import pods
from farthing.deployment.knative.quantities import memory_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay
    from farthing.deployment.knative.pods import Broken, Pod

CACHE, PASSWORD = "cache", "CACHE_PASSWORD"
IMAGE = re.compile(r"docker\.io/valkey/valkey:\d+\.\d+(\.\d+)?(-alpine)?")
PORT, NAME_SERVER = 6379, 53
LABELS = {"app.kubernetes.io/name": CACHE}
# What it is started with, and what would be so without.
OPTIONS = {
    "--requirepass": (f"$({PASSWORD})", "whoever reaches it could read every tenant's answers"),
    "--maxmemory-policy": ("allkeys-lru", "it would refuse what is new when it is full"),
    "--save": ("", "it would write to a root file system that is read-only"),
    "--appendonly": ("no", "it would write to a root file system that is read-only"),
}
# Its own tables, and what connections hold, come on top of what it keeps.
PERCENT = 75


def is_cache(document: dict[str, Any]) -> bool:
    """Whether the object is the server itself, or the name that finds it."""
    return name_of(document) == CACHE and document.get("kind") in {"Deployment", "Service"}


def check(overlay: Overlay) -> Iterator[Finding]:
    """Where a cache could be read by others, would be asked in vain, or never be asked."""
    for pod in pods(overlay):
        for path, says, do in _broken_client(pod):
            yield overlay.finding(pod.owner, f"{pod.path}.containers.0.env.{path}", says, do)
    asking = [pod for pod in pods(overlay) if pod.is_serving and dig(_entry(pod), "valueFrom")]
    for pod in asking:
        if not _reaches(overlay, name_of(pod.owner)):
            says = "Its pods reach no cache, so every answer would wait for it in vain."
            do = f"Open port {PORT} of the cache, and the name server's 53, in a NetworkPolicy."
            yield overlay.finding(pod.owner, pod.path, says, do)
    server = overlay.named("Deployment", CACHE)
    if server is not None:
        for path, says, do in _broken_server(server):
            yield overlay.finding(server, f"spec.template.spec.{path}", says, do)
        yield from _check_name(overlay)
        yield from _check_who_may(overlay, server)
    elif overlay.name == CACHE:
        yield overlay.missing("Deployment", CACHE, "There is no cache.", "Restore it.")
    if server is not None or overlay.name == CACHE:
        yield from _check_all_ask(overlay, [pod.owner for pod in asking])


def _check_all_ask(overlay: Overlay, asking: list[dict[str, Any]]) -> Iterator[Finding]:
    for name, service in overlay.services():
        if keeps_answers(name) and service not in asking:
            says = "It does not ask the cache, and what others kept is computed again."
            yield overlay.finding(service, f"env.{VARIABLE}", says, "Name it in keep.yaml.")


def _broken_client(pod: Pod) -> Iterator[Broken]:
    entry = _entry(pod)
    if entry is None:
        return
    if not pod.is_serving or not keeps_answers(str(pod.function)):
        yield VARIABLE, "It keeps no answers, so it does nothing.", "Remove it."
    source = dig(entry, "valueFrom.secretKeyRef") or {}
    from_secret = bool(source.get("name") and source.get("key"))
    if entry.get("value") not in ALONE and not from_secret:
        yield (
            VARIABLE,
            "It is from no Secret, and a server's address holds its password.",
            "Use valueFrom.secretKeyRef with a name and a key, or write memory or off.",
        )


def _broken_server(server: dict[str, Any]) -> Iterator[Broken]:
    container = dig(server, "spec.template.spec.containers.0") or {}
    at = "containers.0"
    command = [str(it) for it in container.get("command") or []]
    if command[:1] != ["valkey-server"]:
        yield f"{at}.command", f"It runs {command[:1]}.", "Run valkey-server."
    given = dict(zip(command[1::2], command[2::2], strict=False))
    for option, (value, why) in OPTIONS.items():
        if given.get(option) != value:
            yield (
                f"{at}.command",
                f"{option} is {given.get(option)!r}, so {why}.",
                f"Set it to {value!r}.",
            )
    most = re.fullmatch(r"(\d+)mb", given.get("--maxmemory", ""))
    limit_mb = memory_mb(dig(container, "resources.limits.memory"))
    if most is None or limit_mb is None or 100 * int(most[1]) > PERCENT * limit_mb:
        yield (
            f"{at}.command",
            f"It may keep {given.get('--maxmemory', 'what it likes')} of {limit_mb} MB.",
            f"Set --maxmemory to {PERCENT} % of the limit at most, or it is killed when full.",
        )
    secrets = {
        it.get("name"): dig(it, "valueFrom.secretKeyRef") for it in container.get("env") or ()
    }
    if not dig(secrets.get(PASSWORD), "name") or not dig(secrets.get(PASSWORD), "key"):
        says = "The password is from no Secret, so there is none, or everybody reads it."
        yield f"{at}.env.{PASSWORD}", says, "Use valueFrom.secretKeyRef with a name and a key."
    for probe in ("readinessProbe", "livenessProbe"):
        if dig(container, f"{probe}.tcpSocket.port") != PORT:
            yield f"{at}.{probe}", f"It does not look at port {PORT}.", f"Set tcpSocket to {PORT}."


def _check_name(overlay: Overlay) -> Iterator[Finding]:
    found = overlay.named("Service", CACHE, "v1")
    if found is None:
        yield overlay.missing("Service", CACHE, "No name leads to the cache.", "Restore it.")
    elif dig(found, "spec.selector") != LABELS or dig(found, "spec.ports.0.port") != PORT:
        says = f"It does not lead to port {PORT} of the cache's pods."
        yield overlay.finding(found, "spec", says, f"Select {LABELS}.")


def _check_who_may(overlay: Overlay, server: dict[str, Any]) -> Iterator[Finding]:
    labels = labels_of(server, "spec.template.metadata")
    policies = [
        it for it in overlay.of("NetworkPolicy") if selects(dig(it, "spec.podSelector"), labels)
    ]
    rules = [rule for it in policies for rule in dig(it, "spec.ingress") or []]
    functions = [
        {"podSelector": {"matchExpressions": [{"key": SERVICE_LABEL, "operator": "Exists"}]}}
    ]
    if [(it.get("from"), _ports(it)) for it in rules] != [(functions, {("TCP", PORT)})]:
        says = f"Others than the functions may reach it, or more than port {PORT}, or nobody."
        do = f"Admit pods with {SERVICE_LABEL} to port {PORT} in one NetworkPolicy."
        yield overlay.finding(server, "", says, do)
    if any(dig(it, "spec.egress") for it in policies):
        yield overlay.finding(server, "", "It may call others.", "Remove its egress: it answers.")


def _reaches(overlay: Overlay, service: str) -> bool:
    """Whether pods of the Service may call a cache at a named place, and find it by name."""
    rules = [
        rule
        for it in overlay.of("NetworkPolicy")
        if selects(dig(it, "spec.podSelector"), {SERVICE_LABEL: service})
        for rule in dig(it, "spec.egress") or []
    ]
    finds = any({("UDP", NAME_SERVER), ("TCP", NAME_SERVER)} <= _ports(it) for it in rules)
    return finds and any(leads_to_cache(it) for it in rules)


def leads_to_cache(rule: dict[str, Any]) -> bool:
    """Whether a rule of egress lets pods reach a cache, and nothing else."""
    places = rule.get("to") or []
    return _ports(rule) == {("TCP", PORT)} and bool(places) and all(map(_is_place, places))


def _is_place(peer: dict[str, Any]) -> bool:
    is_ours = dig(peer, "podSelector.matchLabels") == LABELS
    return (
        is_ours
        or "ipBlock" in peer
        or NAMESPACE in (dig(peer, "namespaceSelector.matchLabels") or {})
    )


def _ports(rule: dict[str, Any]) -> set[tuple[str, Any]]:
    return {(it.get("protocol") or "TCP", it.get("port")) for it in rule.get("ports") or []}


def _entry(pod: Pod) -> dict[str, Any] | None:
    entries = dig(pod.spec, "containers.0.env") or []
    return next((it for it in entries if it.get("name") == VARIABLE), None)
