"""What runs in a pod: its image, rights, folders, probes and account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farthing.deployment.answers import keeps_answers
from farthing.deployment.knative.cache import IMAGE, is_cache
from farthing.deployment.knative.environment import broken_environment, broken_size
from farthing.deployment.knative.overlay import annotations_of, dig, name_of
from farthing.deployment.knative.pods import pods
from farthing.deployment.knative.quantities import memory_mb
from farthing.deployment.knative.scaling import HPA
from farthing.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay
    from farthing.deployment.knative.pods import Broken, Pod

USER, GROUP = 993, 990
# The image's own, and what Knative calls where nothing is declared.
PORT = 8080
# queue-proxy's own: https://github.com/knative/serving pkg/networking/constants.go
RESERVED_PORTS = {"8012", "8013", "8022", "8112", "9090", "9091"}
TMP_MB_MAX = 512
CLASS = "autoscaling.knative.dev/class"
# More calls would wait for each other longer than for a new pod.
GATHERED_MAX = 32
# Pod Security Standards, restricted, and a root file system that nobody writes to:
# https://kubernetes.io/docs/concepts/security/pod-security-standards/
RESTRICTED = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "privileged": None,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def check(overlay: Overlay) -> Iterator[Finding]:
    """Where a pod is not what the project describes, or has more rights than it needs."""
    for pod in pods(overlay):
        yield from _check_concurrency(overlay, pod)
        containers = dig(pod.spec, "containers") or []
        if len(containers) != 1:
            yield overlay.finding(
                pod.owner, f"{pod.path}.containers", "A pod here has one container.", "Keep one."
            )
            continue
        at = f"{pod.path}.containers.0"
        for path, says, do in _broken(overlay, pod, containers[0]):
            yield overlay.finding(pod.owner, f"{at}.{path}", says, do)
        for path, says, do in _broken_account(overlay, pod):
            yield overlay.finding(pod.owner, f"{pod.path}.{path}", says, do)


def _check_concurrency(overlay: Overlay, pod: Pod) -> Iterator[Finding]:
    """The 70 % rule of KPA is of containerConcurrency, so it must not pass the knee.

    HPA's is of the CPU itself, so texts may be gathered there, as many as their calls are charged.
    """
    if not pod.is_serving or pod.function is None:
        return
    function = overlay.functions[pod.function]
    found = pod.spec.get("containerConcurrency")
    cores = max(1, function.vcpu_milli // 1000)
    env = {str(it.get("name")): it.get("value") for it in dig(pod.spec, "containers.0.env") or []}
    charged = env.get(f"{PREFIX}CONCURRENCY") or "1"
    if charged != str(found):
        yield overlay.finding(
            pod.owner,
            f"{pod.path}.containers.0.env.{PREFIX}CONCURRENCY",
            f"It is {charged}, and a pod takes {found} calls at once, which share its time.",
            "Make it say containerConcurrency.",
        )
    notes = annotations_of(pod.owner, "spec.template.metadata")
    gathers = keeps_answers(pod.function) and notes.get(CLASS) == HPA
    if gathers and isinstance(found, int) and cores <= found <= GATHERED_MAX:
        return
    if found != function.concurrency:
        yield overlay.finding(
            pod.owner,
            f"{pod.path}.containerConcurrency",
            f"It is {found}, but pyproject.toml gives {pod.function} {function.concurrency}.",
            "Make them agree.",
        )
    elif found > cores:
        yield overlay.finding(
            pod.owner,
            f"{pod.path}.containerConcurrency",
            f"It is {found} on {cores} cores: 70 % of it would keep them busier than 70 %.",
            f"Set {cores}: a call is computed on one core.",
        )


def _broken(overlay: Overlay, pod: Pod, container: dict[str, Any]) -> Iterator[Broken]:
    yield from _broken_image(overlay, pod, container)
    yield from _broken_rights(pod, container)
    yield from _broken_folders(pod, container)
    yield from broken_size(overlay, pod, container)
    if pod.function is not None:
        yield from broken_environment(pod, container, overlay.functions[pod.function])
        yield from _broken_probes(pod, container)


def _broken_image(overlay: Overlay, pod: Pod, container: dict[str, Any]) -> Iterator[Broken]:
    """The version's image; one that keeps a ledger has the wheels for it."""
    image = str(container.get("image"))
    if is_cache(pod.owner):
        if not IMAGE.fullmatch(image):
            do = "Name docker.io/valkey/valkey with a version, such as 8.1-alpine."
            yield "image", f"It is {image}, and no version of Valkey.", do
        return
    tag, with_ledger = overlay.project.version, overlay.project.ledger_tag
    env = {str(it.get("name")) for it in container.get("env") or []}
    if pod.function:
        wanted = {f"farthing-{pod.function}:{with_ledger if f'{PREFIX}LEDGER' in env else tag}"}
    elif pod.owner.get("kind") == "CronJob":
        wanted = {f"farthing-{name_of(pod.owner)}:{tag}"}
    elif pod.job:
        wanted = {f"farthing-{pod.job}:{tag}"}
    else:
        wanted = {
            f"farthing-{name}:{it}" for name in overlay.functions for it in (tag, with_ledger)
        }
    registry, _, last = image.rpartition("/")
    if last not in wanted or not re.fullmatch(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*", registry):
        yield (
            "image",
            f"It is {image}, not REGISTRY/{' or '.join(sorted(wanted))}.",
            "Correct its name, or its line in knative/components/images.",
        )


def _broken_rights(pod: Pod, container: dict[str, Any]) -> Iterator[Broken]:
    context = container.get("securityContext") or {}
    for name, wanted in RESTRICTED.items():
        if context.get(name) != wanted:
            yield (
                f"securityContext.{name}",
                f"It is {context.get(name)!r}, not {wanted!r}.",
                "Restrict it: the function needs no more.",
            )
    for name, wanted_id in (("runAsUser", USER), ("runAsGroup", GROUP)):
        found = context.get(name)
        if pod.is_serving and found is not None:
            yield (
                f"securityContext.{name}",
                "Serving takes a group only behind a flag; a user alone leaves it to chance.",
                f"Remove it: the image says {USER}:{GROUP}.",
            )
        elif not pod.is_serving and found != wanted_id:
            yield f"securityContext.{name}", f"It is {found!r}.", f"Set {wanted_id}."


def _broken_folders(pod: Pod, container: dict[str, Any]) -> Iterator[Broken]:
    volumes = {str(it.get("name")): it for it in pod.spec.get("volumes") or []}
    mounts = {str(it.get("name")): it for it in container.get("volumeMounts") or []}
    for name in sorted(volumes.keys() ^ mounts.keys()):
        yield "volumeMounts", f"{name} is not both a volume and mounted.", "State both, or neither."
    for name, volume in volumes.items():
        size_mb = memory_mb(dig(volume, "emptyDir.sizeLimit"))
        # A volume that names no source is an emptyDir, and without bounds.
        if (len(volume) == 1 or "emptyDir" in volume) and (
            size_mb is None or not 1 <= size_mb <= TMP_MB_MAX
        ):
            yield (
                "volumeMounts",
                f"{name} may grow to {dig(volume, 'emptyDir.sizeLimit') or 'the whole disk'}.",
                f"Set a sizeLimit up to {TMP_MB_MAX}Mi.",
            )
    if (pod.function or pod.job) and "/tmp" not in {it.get("mountPath") for it in mounts.values()}:  # noqa: S108
        yield "volumeMounts", "Nothing is mounted at /tmp.", "Mount an emptyDir there."


def _broken_probes(pod: Pod, container: dict[str, Any]) -> Iterator[Broken]:
    env = {str(it.get("name")): it.get("value") for it in container.get("env") or []}
    listens = str(env.get("UVICORN_PORT") or PORT)
    for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")):
        found = dig(container, f"{probe}.httpGet.path")
        if found != path:
            yield f"{probe}.httpGet.path", f"It is {found!r}.", f"Set {path}."
        port = dig(container, f"{probe}.httpGet.port")
        # Knative fills in its own; elsewhere a probe needs one.
        if not (port is None and pod.is_serving) and str(port) != listens:
            yield (
                f"{probe}.httpGet.port",
                f"It is {port!r}, but the server listens on {listens}.",
                "Make them agree.",
            )
    for place, port in enumerate(container.get("ports") or []):
        if str(port.get("containerPort")) != listens:
            yield (
                f"ports.{place}.containerPort",
                f"It is {port.get('containerPort')}, but the server listens on {listens}.",
                "Make them agree, or remove it.",
            )
    if listens in RESERVED_PORTS:
        yield "env.UVICORN_PORT", f"{listens} is queue-proxy's.", "Take another."


def _broken_account(overlay: Overlay, pod: Pod) -> Iterator[Broken]:
    name = pod.spec.get("serviceAccountName")
    account = overlay.named("ServiceAccount", name)
    if account is None:
        yield (
            "serviceAccountName",
            f"There is no ServiceAccount {name!r}.",
            "Name the one there is.",
        )
    elif account.get("automountServiceAccountToken") is not False:
        yield (
            "serviceAccountName",
            f"The token of {name_of(account)} is put into every pod, which none uses.",
            "Set automountServiceAccountToken: false on it.",
        )
    if pod.spec.get("automountServiceAccountToken"):
        yield "automountServiceAccountToken", "No function talks to the API.", "Remove it."
