"""Batch jobs: who is told of what arrives, who works it off, and where requests wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.knative.environment import DEFAULT_NODE, broken_price
from farthing.deployment.knative.jobs import runs_per_hour
from farthing.deployment.knative.nodes import is_on_spot
from farthing.deployment.knative.overlay import dig, name_of, selects
from farthing.deployment.knative.pods import environment_of, pods
from farthing.errors import FarthingError
from farthing.settings import PREFIX, known_variables, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay
    from farthing.deployment.knative.pods import Broken, Pod

BATCH = "batch"
# Functions whose requests can wait.
ASKING = ("classify", "embed")
SHARED, JOBS = "batch", "FARTHING_JOBS"
COMMAND = ["python3", "-m", "functions.batch.app"]
QUEUE, LETTERS = "FARTHING_BATCH_QUEUE", "FARTHING_BATCH_DEAD_LETTERS"
NEEDED = {JOBS, "FARTHING_BATCH_OUT", "FARTHING_BATCH_TASK", "FARTHING_BATCH_TEXT"}
JOB_TYPE = "farthing.batch.job.v1"
# What storages call a file that came: by a type, or by how it begins.
CREATED = (
    {"exact": {"type": JOB_TYPE}},
    {"prefix": {"type": "com.amazonaws.s3.ObjectCreated:"}},
    {"prefix": {"type": "oss:ObjectCreated:"}},
    {"exact": {"type": "google.cloud.storage.object.v1.finalized"}},
)
# https://kubernetes.io/docs/tasks/job/pod-failure-policy/: 1 is what `functions.batch.app` ends
# with where another try is in vain.
POLICY = [
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    {
        "action": "FailJob",
        "onExitCodes": {"containerName": BATCH, "operator": "In", "values": [1]},
    },
]
HOUR_S, DAY_S = 3600, 86_400
# More pays for pods that find nothing; fewer keeps waiting what waits.
RUNS_PER_HOUR = range(1, 13)


def check(overlay: Overlay) -> Iterator[Finding]:
    """Where files or requests would wait for nobody, be worked off twice as dear, or be lost."""
    sink = overlay.named("JobSink", BATCH)
    working = [it for it in pods(overlay) if it.job == BATCH]
    if overlay.name == BATCH and sink is None:
        yield overlay.missing("JobSink", BATCH, "Nothing works off what arrives.", "Restore it.")
    if sink is not None:
        yield from _check_sink(overlay, sink)
    workers = [it for it in working if it.owner.get("kind") == "Deployment"]
    if overlay.name == "queue" or workers:
        yield from _check_workers(overlay, workers)
    for pod in working:
        for path, says, do in _broken(overlay, pod):
            yield overlay.finding(pod.owner, f"{pod.path}.{path}", says, do)
    settings = overlay.named("ConfigMap", SHARED)
    if working and settings is not None:
        yield from _check_settings(overlay, settings)
    yield from _check_asking(overlay, bool(working))


def _check_sink(overlay: Overlay, sink: dict[str, Any]) -> Iterator[Finding]:
    job = "spec.job.spec"
    wanted: list[tuple[str, object, str]] = [
        (f"{job}.template.spec.restartPolicy", "Never", "a policy for failures asks for it"),
        (f"{job}.template.spec.containers.0.command", COMMAND, "that reads the event"),
        (f"{job}.template.spec.containers.0.name", BATCH, "its exit status is looked at by name"),
        (f"{job}.podFailurePolicy.rules", POLICY, "a lost node is no try, and a refusal is final"),
    ]
    for path, value, why in wanted:
        found = dig(sink, path)
        if found != value:
            yield overlay.finding(sink, path, f"It is {found!r}, but {why}.", f"Set {value!r}.")
    bounds = {
        "backoffLimit": range(1, 11),
        "activeDeadlineSeconds": range(HOUR_S, DAY_S + 1),
        "ttlSecondsAfterFinished": range(60, 30 * DAY_S),
    }
    for name, may_be in bounds.items():
        found = dig(sink, f"{job}.{name}")
        if found not in may_be:
            do = f"Set {may_be[0]} to {may_be[-1]}."
            yield overlay.finding(sink, f"{job}.{name}", f"It is {found}.", do)
    triggers = [
        it
        for it in overlay.of("Trigger")
        if dig(it, "spec.subscriber.ref.kind") == "JobSink"
        and dig(it, "spec.subscriber.ref.name") == BATCH
    ]
    if len(triggers) != 1:
        says = f"{len(triggers)} Triggers deliver to it."
        yield overlay.finding(sink, "", says, "Keep one.")
    for trigger in triggers:
        if dig(trigger, "spec.filters") != [{"any": list(CREATED)}]:
            says = "It does not let through what storages send when a file comes, and that alone."
            yield overlay.finding(trigger, "spec.filters", says, f"Let through any of {CREATED}.")
    clocks = [it for it in overlay.of("PingSource") if is_for_jobs(it)]
    if [runs_per_hour(it) in RUNS_PER_HOUR for it in clocks] != [True]:
        says = f"{len(clocks)} PingSources call it; webhooks wait for one, 1 to 12 times an hour."
        yield overlay.finding(sink, "", says, "Have one, at 7,22,37,52 * * * *.")


def is_for_jobs(source: dict[str, Any]) -> bool:
    """Whether it is this sink that a source's events come to."""
    ref = dig(source, "spec.sink.ref") or {}
    return (ref.get("kind"), ref.get("name")) == ("JobSink", BATCH)


def _check_workers(overlay: Overlay, workers: list[Pod]) -> Iterator[Finding]:
    """One on spot nodes, and one on demand that reads the queue where the first leaves things."""
    spot = [it for it in workers if is_on_spot(it)]
    kept = [it for it in workers if not is_on_spot(it)]
    if len(spot) != 1 or len(kept) != 1:
        says = f"{len(spot)} workers are on spot nodes, and {len(kept)} are not."
        yield overlay.missing("Deployment", "batch-worker", says, "Keep one of each.")
        return
    left = environment_of(kept[0]).get(QUEUE)
    for pod, command in (
        (spot[0], [*COMMAND, "--queue", "--on-demand", left]),
        (kept[0], [*COMMAND, "--queue"]),
    ):
        found = dig(pod.spec, "containers.0.command")
        if found != command:
            at = f"{pod.path}.containers.0.command"
            yield overlay.finding(pod.owner, at, f"It is {found}.", f"Set {command}.")
        env = environment_of(pod)
        for name in (QUEUE, LETTERS):
            if not env.get(name, "").startswith("https://sqs."):
                at = f"{pod.path}.containers.0.env.{name}"
                yield overlay.finding(pod.owner, at, "It names no queue.", "Write its URL.")
    named = {environment_of(it).get(name, "") for it in workers for name in (QUEUE, LETTERS)}
    if len(named) != 3:
        says = "Two queues for work and one for what failed are needed, each another."
        yield overlay.finding(spot[0].owner, "", says, "Name three queues.")


def _broken(overlay: Overlay, pod: Pod) -> Iterator[Broken]:
    env = environment_of(pod)
    size = overlay.jobs[BATCH]
    wanted = {
        "FARTHING_PLATFORM": "knative",
        "FARTHING_MEMORY_MB": str(size.memory_mb),
        "FARTHING_VCPU_MILLI": str(size.vcpu_milli),
    }
    for name, value in wanted.items():
        if env.get(name) != value:
            says = f"It is {env.get(name)!r}, not {value!r}: prices would be wrong."
            yield f"containers.0.env.{name}", says, f"Set {value!r}."
    for path, says, do in broken_price({**env}):
        yield f"containers.0.{path}", says, do
    if not is_on_spot(pod) and env.get("FARTHING_NODE") != DEFAULT_NODE:
        says = f"It runs where the others do, and is priced as on {env.get('FARTHING_NODE')}."
        yield "containers.0.env.FARTHING_NODE", says, f"Set {DEFAULT_NODE}."
    for name in sorted({it for it in env if it.startswith(PREFIX)} - known_variables()):
        yield f"containers.0.env.{name}", "Farthing reads no such variable.", "Correct it."
    yield from _broken_time(pod, env)
    yield from _broken_place(overlay, pod)


def _broken_place(overlay: Overlay, pod: Pod) -> Iterator[Broken]:
    """What it is told of the bucket, and that it may reach it, and by its own rights."""
    if dig(pod.spec, "containers.0.envFrom") != [{"configMapRef": {"name": SHARED}}]:
        says = "It does not know the bucket and the columns."
        yield "containers.0.envFrom", says, f"Name the ConfigMap {SHARED}."
    if overlay.named("ConfigMap", SHARED) is None:
        yield "containers.0.envFrom", f"There is no ConfigMap {SHARED}.", "Add components/batch."
    if pod.spec.get("serviceAccountName") != BATCH:
        says = "It would have the rights of those that answer callers, or they its own."
        yield "serviceAccountName", says, f"Set {BATCH}."
    template = pod.path.removesuffix(".spec")
    labels = dig(pod.owner, f"{template}.metadata.labels") or {}
    if not any(
        selects(dig(it, "spec.podSelector"), labels) and dig(it, "spec.egress")
        for it in overlay.of("NetworkPolicy")
    ):
        says = "No NetworkPolicy lets it reach its bucket."
        yield "containers.0", says, "Label it app.kubernetes.io/part-of: batch."


def _broken_time(pod: Pod, env: dict[str, str]) -> Iterator[Broken]:
    """It stops by itself before it is ended, and has the time to."""
    timeout_ms = env.get("FARTHING_TIMEOUT_MS", "")
    ends_s = dig(pod.owner, "spec.job.spec.activeDeadlineSeconds") or DAY_S
    if not timeout_ms.isdecimal() or not HOUR_S <= int(timeout_ms) / 1000 < ends_s:
        says = (
            f"It is {timeout_ms or 'missing'}; a file takes hours, and is ended after {ends_s} s."
        )
        yield "containers.0.env.FARTHING_TIMEOUT_MS", says, f"Set {HOUR_S}000 or more, below that."
    grace_s = pod.spec.get("terminationGracePeriodSeconds")
    if not isinstance(grace_s, int) or not 30 <= grace_s <= 60:
        says = f"It has {grace_s} s to write a checkpoint, and a spot node is gone in 120."
        yield "terminationGracePeriodSeconds", says, "Set 60."


def _check_settings(overlay: Overlay, settings: dict[str, Any]) -> Iterator[Finding]:
    data = dig(settings, "data") or {}
    for name in sorted(NEEDED - data.keys()):
        yield overlay.finding(settings, f"data.{name}", "It is missing.", "Add it.")
    for name in data:
        if name not in known_variables():
            says = "Farthing reads no such variable."
            yield overlay.finding(settings, f"data.{name}", says, "Correct its name.")
    try:
        size = {
            "FARTHING_MEMORY_MB": str(overlay.jobs[BATCH].memory_mb),
            "FARTHING_VCPU_MILLI": str(overlay.jobs[BATCH].vcpu_milli),
        }
        read_settings({"FARTHING_PLATFORM": "knative", **size, **data})
    except FarthingError as error:
        yield overlay.finding(settings, "data", f"Nothing would start: {error}", "Correct it.")
    places = {str(data.get(it)).partition("?")[0] for it in (JOBS, "FARTHING_BATCH_OUT")}
    if len(places) != 2 or not all(it.startswith(("s3://", "oss://")) for it in places):
        says = "Jobs and results need two folders of a bucket, which every node reaches."
        yield overlay.finding(settings, "data", says, "Write s3://BUCKET/FOLDER?region=REGION.")


def _check_asking(overlay: Overlay, is_worked: bool) -> Iterator[Finding]:
    wanted = {"name": JOBS, "valueFrom": {"configMapKeyRef": {"name": SHARED, "key": JOBS}}}
    for name, service in overlay.services():
        entries = dig(service, "spec.template.spec.containers.0.env") or []
        given = [it for it in entries if it.get("name") == JOBS]
        at = f"env.{JOBS}"
        if given and not is_worked:
            says = f"{name_of(service)} takes requests that nothing here answers."
            yield overlay.finding(service, at, says, "Add what works them off, or remove it.")
        elif is_worked and name in ASKING and given != [wanted]:
            says = "Its requests are not kept where they are worked off."
            yield overlay.finding(service, at, says, f"Read it from the ConfigMap {SHARED}.")
