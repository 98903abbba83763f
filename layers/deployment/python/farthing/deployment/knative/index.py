"""An index on a volume: who reads it, who queues, and the one job that publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.knative.jobs import check_job
from farthing.deployment.knative.overlay import dig, name_of
from farthing.deployment.knative.pods import pods
from farthing.deployment.knative.quantities import memory_mb
from farthing.settings import known_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay
    from farthing.deployment.knative.pods import Broken, Pod

SEARCH, INDEXER = "search", "indexer"
INDEX, WRITES = "FARTHING_INDEX", "FARTHING_INDEX_WRITES"
COMMAND = ["python3", "-m", "functions.indexer.app"]
SHARED = "ReadWriteMany"


def check(overlay: Overlay) -> Iterator[Finding]:
    """Where an index would be read from nowhere, written by two, or never published."""
    readers = [it for it in pods(overlay) if it.function == SEARCH and INDEX in _env(it)]
    job = overlay.named("CronJob", INDEXER)
    yield from _check_claims(overlay)
    for pod in readers:
        yield from _said(overlay, pod, _broken_place(overlay, pod, is_writer=_queues(pod)))
        if _env(pod).get(WRITES, "off") not in {"off", "queue"}:
            says = "Every pod would publish by itself."
            yield overlay.finding(
                pod.owner, f"{pod.path}.containers.0.env.{WRITES}", says, "Set queue."
            )
    if overlay.name == "index":
        for name, service in overlay.services():
            if name == SEARCH and service not in [it.owner for it in readers]:
                says = "It answers from its image, and not from the volume."
                do = "Add knative/components/index to the overlay."
                yield overlay.finding(service, f"env.{INDEX}", says, do)
    if job is not None:
        yield from _check_indexer(overlay, job, readers)
    elif overlay.name == "index" or any(map(_queues, readers)):
        says = "Writes are queued, and nothing publishes them."
        yield overlay.missing("CronJob", INDEXER, says, "Add knative/components/index.")


def _check_claims(overlay: Overlay) -> Iterator[Finding]:
    for claim in overlay.of("PersistentVolumeClaim"):
        if dig(claim, "spec.accessModes") != [SHARED]:
            says = f"It is {dig(claim, 'spec.accessModes')}: a pod on another node cannot read it."
            yield overlay.finding(claim, "spec.accessModes", says, f"Set [{SHARED}].")
        if memory_mb(dig(claim, "spec.resources.requests.storage")) is None:
            says = "It says not how large a volume it claims."
            do = "Set resources.requests.storage, such as 2Gi."
            yield overlay.finding(claim, "spec.resources", says, do)


def _check_indexer(overlay: Overlay, job: dict[str, Any], readers: list[Pod]) -> Iterator[Finding]:
    twice = "an index has one writer at a time"
    yield from check_job(overlay, job, overlay.jobs[INDEXER], COMMAND, twice)
    pod = next(it for it in pods(overlay) if it.owner == job)
    yield from _said(overlay, pod, _broken_place(overlay, pod, is_writer=True))
    size = overlay.jobs[INDEXER]
    wanted = {
        "FARTHING_PLATFORM": "knative",
        "FARTHING_MEMORY_MB": str(size.memory_mb),
        "FARTHING_VCPU_MILLI": str(size.vcpu_milli),
    }
    env = _env(pod)
    for name in sorted(wanted.keys() | {it for it in env if it.startswith("FARTHING_")}):
        at = f"{pod.path}.containers.0.env.{name}"
        if name in wanted and env.get(name) != wanted[name]:
            says = f"It is {env.get(name)!r}; the job runs as {wanted[name]}."
            yield overlay.finding(job, at, says, f"Set {wanted[name]!r}.")
        elif name not in known_variables():
            yield overlay.finding(job, at, "Farthing reads no such variable.", "Correct its name.")
    for reader in readers:
        if (_place(reader), _env(reader)[INDEX]) != (_place(pod), env.get(INDEX)):
            says = f"It publishes another index than {name_of(reader.owner)} answers from."
            do = "Let both mount the same claim at the same folder."
            yield overlay.finding(job, f"{pod.path}.containers.0.env.{INDEX}", says, do)
    if not any(map(_queues, readers)):
        says = "Nothing queues what it would publish."
        yield overlay.finding(job, "", says, f"Set {WRITES} to queue on search, or remove it.")


def _broken_place(overlay: Overlay, pod: Pod, *, is_writer: bool) -> Iterator[Broken]:
    folder = _env(pod).get(INDEX, "")
    if not folder.startswith("/"):
        return
    place = _place(pod)
    claims = {name_of(it) for it in overlay.of("PersistentVolumeClaim")}
    if place is None or place[0] not in claims:
        says = f"It is {folder}, where no claim of this overlay is mounted."
        yield f"containers.0.env.{INDEX}", says, "Mount the claim there."
    elif place[1] == is_writer:
        says = (
            "Nothing can be queued or published there."
            if is_writer
            else "It may write what it only reads."
        )
        do = "Remove readOnly." if is_writer else "Set readOnly: true."
        yield "containers.0.volumeMounts", says, do


def _place(pod: Pod) -> tuple[str, bool] | None:
    """The claim that is mounted where the index is read, and whether it is read-only."""
    folder = _env(pod).get(INDEX)
    volumes = {it.get("name"): it for it in pod.spec.get("volumes") or []}
    for mount in dig(pod.spec, "containers.0.volumeMounts") or []:
        claim = dig(volumes.get(mount.get("name")), "persistentVolumeClaim")
        if mount.get("mountPath") == folder and claim:
            read_only = bool(mount.get("readOnly") or claim.get("readOnly"))
            return str(claim.get("claimName")), read_only
    return None


def _queues(pod: Pod) -> bool:
    return _env(pod).get(WRITES) == "queue"


def _env(pod: Pod) -> dict[str, str]:
    entries = dig(pod.spec, "containers.0.env") or []
    return {str(it.get("name")): str(it.get("value")) for it in entries}


def _said(overlay: Overlay, pod: Pod, broken: Iterator[Broken]) -> Iterator[Finding]:
    for path, says, do in broken:
        yield overlay.finding(pod.owner, f"{pod.path}.{path}", says, do)
