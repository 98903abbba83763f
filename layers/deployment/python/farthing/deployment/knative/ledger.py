"""The ledger: who keeps it, where entries wait for it, and the job that settles it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.deployment.knative.cache import leads_to_cache
from farthing.deployment.knative.jobs import check_job
from farthing.deployment.knative.network import NAMESPACE
from farthing.deployment.knative.overlay import SERVICE_LABEL, dig, labels_of, name_of, selects
from farthing.deployment.knative.pods import pods
from farthing.deployment.knative.quantities import memory_mb
from farthing.settings import Settings, known_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay
    from farthing.deployment.knative.pods import Broken, Pod

SETTLE = "settle"
LEDGER = "FARTHING_LEDGER"
SIGNING_KEY = "FARTHING_SIGNING_KEY"
SHARED = {
    LEDGER: "It settles another ledger than the functions keep.",
    "FARTHING_PLANS": "Invoices follow it, and it is not what every function sells by.",
}
SECRET = re.compile(r"(KEYS?|LEDGER|TOKEN|PASSWORD)$")
COMMAND = ["python3", "-m", "farthing.ledger"]
NAME_SERVER = 53
# The kubelet measures a folder from time to time, and evicts the pod that it finds too large.
SPOOL_HEADROOM = 2


def check(overlay: Overlay) -> Iterator[Finding]:
    """Where entries could be lost, settled twice or never, or a secret be read by all."""
    keeping = []
    for pod in pods(overlay):
        for name, entry in _env(pod).items():
            source = dig(entry, "valueFrom.secretKeyRef") or {}
            if SECRET.search(name) and not (source.get("name") and source.get("key")):
                yield overlay.finding(
                    pod.owner,
                    f"{pod.path}.containers.0.env.{name}",
                    "It is from no Secret, so whoever reads the manifest reads it.",
                    "Use valueFrom.secretKeyRef with a name and a key.",
                )
        if pod.is_serving and LEDGER in _env(pod):
            keeping.append(pod)
            yield from _said(overlay, pod, [*_broken_spool(pod), *_broken_way(overlay, pod)])
    if overlay.name == "ledger" or keeping:
        yield from _check_all_keep(overlay, keeping)
        if SETTLE in overlay.jobs:
            yield from _check_settle(overlay)


def _check_all_keep(overlay: Overlay, keeping: list[Pod]) -> Iterator[Finding]:
    """A budget holds over all functions, or over none."""
    owners = [pod.owner for pod in keeping]
    for _, service in overlay.services():
        if service not in owners:
            yield overlay.finding(
                service,
                f"env.{LEDGER}",
                "It keeps no ledger, so its calls are taken from no budget.",
                "Add knative/components/ledger to the overlay.",
            )


def _broken_spool(pod: Pod) -> Iterator[Broken]:
    values = {name: it.get("value") for name, it in _env(pod).items()}
    recorder = values.get("FARTHING_RECORDER") or "spool"
    if recorder != "spool":
        yield (
            "containers.0.env.FARTHING_RECORDER",
            f"It is {recorder!r}, so entries never reach the ledger.",
            "Set spool.",
        )
    folder = values.get("FARTHING_SPOOL")
    mounts = dig(pod.spec, "containers.0.volumeMounts") or []
    names = {str(it.get("mountPath")): it.get("name") for it in mounts}
    volumes = {it.get("name"): it for it in pod.spec.get("volumes") or []}
    volume = volumes.get(names.get(str(folder)))
    if volume is None or "emptyDir" not in volume or dig(volume, "emptyDir.medium"):
        yield (
            "containers.0.env.FARTHING_SPOOL",
            f"It is {folder}, where no folder on disk is mounted: entries die with the container.",
            "Mount an emptyDir there.",
        )
        return
    most_mb = int(str(values.get("FARTHING_SPOOL_MAX_MB") or _default("spool_max_mb")))
    limit_mb = memory_mb(dig(volume, "emptyDir.sizeLimit"))
    if limit_mb is None or limit_mb < SPOOL_HEADROOM * most_mb:
        says = (
            f"The spool may grow to {most_mb} MB and its folder to "
            f"{dig(volume, 'emptyDir.sizeLimit')}; a pod that passes that is evicted, and its "
            "entries with it."
        )
        wanted_mb = SPOOL_HEADROOM * most_mb
        yield (
            "volumes",
            says,
            f"Set a sizeLimit of {wanted_mb}Mi, or a lower FARTHING_SPOOL_MAX_MB.",
        )
    outage = values.get("FARTHING_BUDGET_OUTAGE") or "closed"
    if outage not in {"closed", "open"}:
        yield (
            "containers.0.env.FARTHING_BUDGET_OUTAGE",
            f"It is {outage!r}.",
            "Set closed or open.",
        )


def _broken_way(overlay: Overlay, pod: Pod) -> Iterator[Broken]:
    """To the database and to the name server, and nowhere else."""
    labels = _labels(pod)
    rules = [
        rule
        for policy in overlay.of("NetworkPolicy")
        if selects(dig(policy, "spec.podSelector"), labels)
        for rule in dig(policy, "spec.egress") or []
        if not leads_to_cache(rule)
    ]
    ports = {
        (it.get("protocol") or "TCP", it.get("port"))
        for rule in rules
        for it in rule.get("ports") or []
    }
    finds = {("UDP", NAME_SERVER), ("TCP", NAME_SERVER)}
    database = ports - finds
    if not finds <= ports or len(database) != 1 or (("TCP", None) in database):
        says = (
            f"Its pods may call the ports {sorted(map(str, ports)) or 'none'}, and no ledger can "
            "be reached, or more than it."
        )
        yield "", says, "Open the database's port and the name server's 53 in a NetworkPolicy."
    if not all(rule.get("to") and all(map(_is_place, rule["to"])) for rule in rules):
        yield (
            "",
            "Its pods may call those ports anywhere, or nowhere.",
            f"Name in `to` where the ledger is: an ipBlock, or a namespace by {NAMESPACE}.",
        )


def _is_place(peer: dict[str, Any]) -> bool:
    named = dig(peer, "namespaceSelector.matchLabels") or {}
    return "ipBlock" in peer or NAMESPACE in named


def _check_settle(overlay: Overlay) -> Iterator[Finding]:
    job = overlay.named("CronJob", SETTLE)
    if job is None:
        yield overlay.missing(
            "CronJob", SETTLE, "A ledger is kept, and nothing settles it.", "Add it."
        )
        return
    twice = "two settlements at once would do the work twice"
    yield from check_job(overlay, job, overlay.jobs[SETTLE], COMMAND, twice)
    pod = next(it for it in pods(overlay) if it.owner == job)
    yield from _said(overlay, pod, [*_broken_way(overlay, pod), *_broken_names(overlay, pod)])


def _broken_names(overlay: Overlay, pod: Pod) -> Iterator[Broken]:
    env = _env(pod)
    for name, says in SHARED.items():
        found = {str(_env(it).get(name)) for it in pods(overlay) if it.is_serving}
        if found and found != {str(env.get(name))}:
            yield f"containers.0.env.{name}", says, "Set it alike on the Services and the job."
    for name in (LEDGER, SIGNING_KEY):
        if name not in env:
            yield f"containers.0.env.{name}", "It is missing.", "Read it from a Secret."
    for name in env:
        if name.startswith("FARTHING_") and name not in {*known_variables(), SIGNING_KEY}:
            says = "Farthing reads no such variable."
            yield f"containers.0.env.{name}", says, "Correct its name."


def _said(overlay: Overlay, pod: Pod, broken: list[Broken]) -> Iterator[Finding]:
    for path, says, do in broken:
        yield overlay.finding(pod.owner, f"{pod.path}.{path}".rstrip("."), says, do)


def _env(pod: Pod) -> dict[str, dict[str, Any]]:
    return {str(it.get("name")): it for it in dig(pod.spec, "containers.0.env") or []}


def _labels(pod: Pod) -> dict[str, str]:
    """The labels of the pods; Serving adds the name of the Service that they are of."""
    own = labels_of(pod.owner, pod.path.removesuffix(".spec") + ".metadata")
    if pod.is_serving:
        own[SERVICE_LABEL] = name_of(pod.owner)
    return own


def _default(field: str) -> object:
    return next(it.default for it in msgspec.structs.fields(Settings) if it.name == field)
