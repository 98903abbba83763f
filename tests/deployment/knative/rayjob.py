"""What an API server would say of a RayJob: fields that the kind has, and pods that are pods.

The fields are those of ray.io/v1 in github.com/ray-project/kuberay
`ray-operator/apis/ray/v1/{rayjob,raycluster}_types.go`; unknown ones a server drops in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema import Draft7Validator

from farthing.deployment.knative.schemas import METADATA, errors

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = {"type": "integer", "minimum": 0}
TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
TEMPLATE = {"type": "object", "required": ["spec"]}


def _closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


GROUP = _closed(
    ("groupName", "maxReplicas", "minReplicas", "rayStartParams", "template"),
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    numOfHosts=COUNT,
    idleTimeoutSeconds=COUNT,
    rayStartParams=TEXTS,
    template=TEMPLATE,
)
AUTOSCALER = _closed(
    resources={"type": "object"},
    image=TEXT,
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    env={"type": "array"},
    envFrom={"type": "array"},
    volumeMounts={"type": "array"},
    securityContext={"type": "object"},
    idleTimeoutSeconds=COUNT,
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
)
CLUSTER = _closed(
    ("headGroupSpec",),
    headGroupSpec=_closed(
        ("rayStartParams", "template"),
        serviceType=TEXT,
        enableIngress={"type": "boolean"},
        rayStartParams=TEXTS,
        template=TEMPLATE,
    ),
    workerGroupSpecs={"type": "array", "items": GROUP},
    rayVersion=TEXT,
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=AUTOSCALER,
    suspend={"type": "boolean"},
)
RAY_JOB = _closed(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=METADATA,
    spec=_closed(
        activeDeadlineSeconds={"type": "integer", "minimum": 1},
        backoffLimit=COUNT,
        rayClusterSpec=CLUSTER,
        metadata=TEXTS,
        clusterSelector=TEXTS,
        submitterPodTemplate=TEMPLATE,
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        jobId=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        entrypointResources=TEXT,
        entrypointNumCpus={"type": "number"},
        ttlSecondsAfterFinished=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        suspend={"type": "boolean"},
    ),
)


def ray_errors(job: dict[str, Any]) -> Iterator[str]:
    """A sentence for each field that would be refused, dropped or misread."""
    for error in Draft7Validator(RAY_JOB).iter_errors(job):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
    for name, template in pod_templates(job).items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}
        pod["metadata"] = {"name": "pod", **template.get("metadata", {})}
        yield from (f"{name}.{path}: {says}" for path, says in errors(pod))


def pod_templates(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The head's and each worker group's pods, by the group's name."""
    cluster = job["spec"]["rayClusterSpec"]
    found = {"head": cluster["headGroupSpec"]["template"]}
    return found | {it["groupName"]: it["template"] for it in cluster["workerGroupSpecs"]}
