"""Each rule on a planted mistake in what an overlay renders to: where, and in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from farthing.deployment.knative import check_rendered
from farthing.deployment.knative.nodes import REQUIRED
from farthing.deployment.knative.overlay import dig

if TYPE_CHECKING:
    from farthing.deployment.project import Project
    from tests.deployment.knative.conftest import Documents, Rendered

NOTES = "spec.template.metadata.annotations"
POD = "spec.template.spec"
BOX = f"{POD}.containers.0"
AUTO = "autoscaling.knative.dev"
DROP = object()
HPA = "hpa.autoscaling.knative.dev"
CLASSIFY = "Service/classify"
TERMS = f"{POD}.{REQUIRED}"
WORKER = "ScaledObject/batch-worker"
PAUSED = {"autoscaling.keda.sh/paused-replicas": "0"}
CPU_ONLY = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}


def plant(documents: Documents, at: str, path: str, value: object) -> None:
    """Sets the value at a path of `Kind/name`; a step may be a key with dots, between slashes."""
    kind, _, name = at.partition("/")
    node: Any = next(
        it for it in documents if it["kind"] == kind and dig(it, "metadata.name") == name
    )
    steps = [
        step
        for place, part in enumerate(path.split("|"))
        for step in (part.split(".") if place % 2 == 0 else [part])
        if step
    ]
    for step in steps[:-1]:
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    last: Any = int(steps[-1]) if isinstance(node, list) else steps[-1]
    if value is DROP:
        del node[last]
    else:
        node[last] = value


def findings(project: Project, overlay: str, documents: Documents) -> list[str]:
    return [str(finding) for finding in check_rendered(project, overlay, documents)]


def note(name: str) -> str:
    return f"{NOTES}.|{AUTO}/{name}|"


@pytest.mark.parametrize(
    ("overlay", "at", "path", "value", "says"),
    [
        # Annotations: what Serving's own webhook refuses, and what it would ignore.
        ("zero", CLASSIFY, note("class"), "keda.autoscaling.knative.dev", "may be kpa.auto"),
        ("zero", CLASSIFY, note("class"), DROP, "the cluster's default decides"),
        ("zero", CLASSIFY, note("class"), HPA, "the overlay is called zero"),
        ("zero", CLASSIFY, note("minScale"), "0", "Serving knows no such annotation"),
        ("zero", CLASSIFY, f"metadata.annotations.|{AUTO}/min-scale|", "0", "does not read it"),
        ("zero", CLASSIFY, f"{NOTES}.|autoscaling.knative.com/window|", "60s", "No autoscaler"),
        ("zero", CLASSIFY, note("window"), "5s", "from 6s to 1h"),
        ("zero", CLASSIFY, note("window"), "60", "from 6s to 1h"),
        ("zero", CLASSIFY, note("scale-to-zero-pod-retention-period"), "60m", "up to 300s"),
        ("zero", CLASSIFY, note("panic-threshold-percentage"), "2", "a percentage from 110"),
        ("warm", CLASSIFY, note("activation-scale"), "2", "does not read it"),
        # The two rules.
        ("zero", CLASSIFY, note("target-utilization-percentage"), "0.7", "a fraction where"),
        ("zero", CLASSIFY, note("target-utilization-percentage"), "80", "rule is 70 %"),
        ("zero", CLASSIFY, note("target-utilization-percentage"), DROP, "another rule than 70"),
        ("zero", CLASSIFY, note("min-scale"), "1", "promises zero when idle"),
        ("zero", CLASSIFY, note("metric"), "cpu", "says nothing of busy cores"),
        ("zero", CLASSIFY, note("target"), "100", "containerConcurrency is 1"),
        ("zero", CLASSIFY, f"{POD}.containerConcurrency", 0, "gives classify 1"),
        ("warm", CLASSIFY, note("min-scale"), "0", "the HPA class never reaches zero"),
        ("warm", CLASSIFY, note("target"), DROP, "another rule than 70 % holds"),
        ("warm", CLASSIFY, note("target"), "0.7", "a fraction where a percentage belongs"),
        ("warm", CLASSIFY, note("metric"), "memory", "the rule is about cpu"),
        ("warm", CLASSIFY, note("min-scale"), "10", "nothing scales"),
        ("zero", CLASSIFY, note("max-scale"), "0", "one caller could spend without end"),
        # Shape.
        ("zero", CLASSIFY, f"{POD}.containerConcurency", 1, "'containerConcurency' was unexp"),
        ("zero", CLASSIFY, f"{POD}.timeoutSeconds", "30s", "is not of type 'integer'"),
        ("zero", "NetworkPolicy/closed", "spec.policyType", [], "policyType"),
        ("zero", "JobSink/dead-letters", "spec.job.spec.backofLimit", 1, "backofLimit"),
        ("zero", "Broker/events", "spec.delivery.retries", 5, "'retries' was unexpected"),
        ("spot", CLASSIFY, f"{POD}.tolerations.0.efect", "NoSchedule", "efect"),
        # Size, price and limits of the project.
        ("zero", CLASSIFY, f"{BOX}.resources.limits.memory", "512Mi", "gives classify 1024Mi"),
        ("zero", CLASSIFY, f"{BOX}.resources.limits.cpu", "2", "what is priced is neither"),
        ("warm", CLASSIFY, f"{BOX}.resources.requests.cpu", DROP, "what is priced is neither"),
        ("zero", CLASSIFY, f"{BOX}.env.1.value", "512", "FARTHING_MEMORY_MB"),
        ("zero", CLASSIFY, f"{BOX}.env.0.value", "m5.large", "has no knative.vcpu.m5.large"),
        ("zero", CLASSIFY, f"{BOX}.env.2.name", "FARTHING_VCPU", "Farthing reads no such var"),
        ("zero", CLASSIFY, f"{POD}.timeoutSeconds", 300, "pyproject.toml gives classify 30 s"),
        ("zero", CLASSIFY, f"{BOX}.image", "registry.example.com/farthing-embed:0.1.0", "not REG"),
        ("zero", CLASSIFY, f"{BOX}.image", "registry.example.com/farthing-classify", "not REGIS"),
        # What runs, and with which rights.
        ("zero", CLASSIFY, f"{BOX}.securityContext.runAsNonRoot", False, "the function needs no"),
        ("zero", CLASSIFY, f"{BOX}.securityContext.capabilities", DROP, "not {'drop': ['ALL']}"),
        ("zero", CLASSIFY, f"{BOX}.securityContext.runAsUser", 993, "leaves it to chance"),
        ("queue", "Deployment/batch-worker", f"{BOX}.securityContext.runAsGroup", 0, "Set 990"),
        ("zero", CLASSIFY, f"{BOX}.readinessProbe.httpGet.path", "/healthz", "Set /readyz"),
        ("zero", CLASSIFY, f"{BOX}.ports", [{"containerPort": 9091}], "listens on 8080"),
        ("zero", CLASSIFY, f"{BOX}.volumeMounts", DROP, "not both a volume and mounted"),
        ("zero", CLASSIFY, f"{POD}.volumes.0.emptyDir", {}, "the whole disk"),
        ("zero", CLASSIFY, f"{POD}.serviceAccountName", "default", "no ServiceAccount 'default'"),
        ("zero", "ServiceAccount/function", "automountServiceAccountToken", True, "every pod"),
        # Who may reach it.
        ("zero", CLASSIFY, "metadata.labels", {}, "the route is public, and no key"),
        ("priority", "Route/embed-priority", "metadata.labels", {}, "the route is public"),
        ("zero", CLASSIFY, "metadata.namespace", "default", "the rest is in 'farthing'"),
        ("zero", "Namespace/farthing", "metadata.labels", {}, "the restricted standard"),
        ("zero", "NetworkPolicy/closed", "spec.policyTypes", ["Ingress"], "No policy closes"),
        ("zero", "NetworkPolicy/serving", "spec.ingress.0.ports.0.port", 8080, "The activator may"),
        ("zero", "NetworkPolicy/serving", "spec.ingress.0.ports.1.port", 90, "The autoscaler may"),
        ("zero", "NetworkPolicy/serving", "spec.ingress.1.ports.0.port", 80, "No gateway"),
        ("zero", "NetworkPolicy/serving", "spec.ingress.0.from.0.namespaceSelector", {},
         "admits every pod"),
        ("zero", "NetworkPolicy/serving", "spec.podSelector", {}, "It opens every pod"),
        ("zero", "NetworkPolicy/serving", "spec.ingress.2.ports", DROP, "opens every port"),
        ("zero", "PodMonitor/functions", "spec.podMetricsEndpoints.0.port", "http", "queue-prox"),
        ("zero", "PodMonitor/functions", "spec.selector", {"matchLabels": {"app": "x"}},
         "No PodMonitor selects"),
        # Events.
        ("zero", "Trigger/embed", "spec.broker", "default", "There is no Broker default"),
        ("zero", "Trigger/embed", "spec.subscriber.ref.name", "classify", "No Trigger delivers to"),
        ("zero", "Trigger/embed", "spec.filter", DROP, "come back as questions"),
        ("zero", "Trigger/embed", "spec.filter.attributes.type", "farthing.answer.v1", "Name a"),
        ("zero", "Trigger/embed", "spec.filter.attributes.type", "farthing.classify.v1", "same ev"),
        ("zero", "Broker/events", "spec.delivery.deadLetterSink.ref.name", "lost", "no JobSink"),
        ("zero", "Broker/events", "spec.delivery.backoffDelay", "1s", "ISO 8601"),
        ("zero", "Broker/events", "spec.delivery.retry", 0, "Set 1 to 10"),
        ("zero", "JobSink/dead-letters", "spec.job.spec.template.spec.containers.0.command.2",
         "pass", "It does not show the event"),
        ("zero", "PingSource/wake-classify", "spec.schedule", "55 25 * * *", "is no schedule"),
        ("zero", "PingSource/wake-classify", "spec.schedule", "* * * * *", "every minute"),
        ("zero", "PingSource/wake-classify", "spec.data", '{"input": 1}', "does not ask what"),
        ("zero", "PingSource/wake-classify", "spec.data", '{"farthing": 1}', "does not ask what"),
        ("hours", "PingSource/keep-embed", "spec.schedule", "* * * * 1-5", "every minute"),
        ("hours", "PingSource/keep-embed", "spec.data", '{"input": "a"}', "every minute"),
        ("hours", "PingSource/keep-embed", "spec.sink.ref.name", "embedd", "There is no Service"),
        # Calls that share a pod.
        ("gather", CLASSIFY, f"{POD}.containerConcurrency", 80, "pyproject.toml gives classify 1"),
        ("gather", CLASSIFY, f"{POD}.containerConcurrency", 16, "is 8, and a pod takes 16 calls"),
        ("gather", CLASSIFY, note("class"), "kpa.autoscaling.knative.dev", "gives classify 1"),
        ("gather", "Service/search", f"{POD}.containerConcurrency", 8, "gives search 1"),
        ("zero", "PingSource/wake-classify", "spec.timezone", "Europe/Londn", "Name a zone"),
        # Nodes.
        ("spot", CLASSIFY, f"{BOX}.env.0.value", "c7i.xlarge", "priced as on c7i.xlarge"),
        ("spot", CLASSIFY, f"{POD}.tolerations", DROP, "which it does not tolerate"),
        ("spot", CLASSIFY, f"{POD}.affinity", {}, "does not ask for spot nodes"),
        ("spot", CLASSIFY, f"{TERMS}.0.matchExpressions.2.values", ["amd64"], "c7g.xlarge is arm"),
        ("spot", "PodDisruptionBudget/spot", "spec.minAvailable", 1, "forbids every drain"),
        ("spot", "PodDisruptionBudget/spot", "spec.selector.matchExpressions.0.key", "app",
         "no PodDisruptionBudget selects"),
        # Traffic.
        ("canary", CLASSIFY, "spec.traffic.1.percent", 20, "add up to 110 %"),
        ("canary", CLASSIFY, "spec.traffic.0.revisionName", "embed-00001", "no revision of class"),
        ("canary", CLASSIFY, "spec.traffic", DROP, "no small, tagged share"),
        ("priority", "Route/embed-priority", "spec.traffic.1.configurationName", "embed",
         "not embed on spot nodes"),
        ("priority", "Route/embed-priority", "spec.traffic.0.configurationName", "gone",
         "There is no Service gone"),
        # KEDA, and the recommender.
        ("queue", WORKER, "spec.triggers.0", CPU_ONLY, "CPU alone"),
        ("queue", WORKER, "spec.triggers.1.metadata.type", "Utilization", "2.18 "),
        ("queue", WORKER, "spec.triggers.1.metadata.value", "0.7", "a fraction"),
        ("queue", WORKER, "spec.minReplicaCount", 1, "an empty queue costs nothing"),
        ("queue", WORKER, "spec.triggers.0.metadata.awsRegion", "eu-west-1",
         "the queue is in us-east-1"),
        ("queue", "Deployment/batch-worker", f"{BOX}.command", DROP, "which reads no queue"),
        ("queue", WORKER, "metadata.annotations", PAUSED, "No worker would ever start"),
        ("queue", WORKER, "spec.scaleTargetRef.name", "classify-00001-deployment",
         "which scales it itself"),
        ("queue", "Deployment/batch-worker", "spec.replicas", 1, "each apply would unset it"),
        ("recommend", "VerticalPodAutoscaler/embed", "spec.updatePolicy.updateMode", "Recreate",
         "It would change pods"),
        ("recommend", "VerticalPodAutoscaler/embed", "spec.targetRef.name", "embed", "no revision"),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_named(
    project: Project,
    rendered: Rendered,
    overlay: str,
    at: str,
    path: str,
    value: object,
    says: str,
) -> None:
    documents = rendered(overlay)
    plant(documents, at, path, value)
    found = findings(project, overlay, documents)
    assert any(says in finding for finding in found), found


def test_an_hpa_beside_kpa_is_refused(project: Project, rendered: Rendered) -> None:
    rival = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "rival", "namespace": "farthing"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": "classify-00001-deployment",
            },
        },
    }
    found = findings(project, "zero", [*rendered("zero"), rival])
    assert any("belongs to the Knative Service classify" in finding for finding in found)


def test_a_function_missing_from_an_overlay_is_named(project: Project, rendered: Rendered) -> None:
    kept = [it for it in rendered("warm") if dig(it, "metadata.name") != "embed"]
    found = findings(project, "warm", kept)
    assert any("pyproject.toml puts it on knative" in finding for finding in found)


def test_keys_from_a_secret_open_a_public_route(project: Project, rendered: Rendered) -> None:
    documents = rendered("zero")
    plant(documents, CLASSIFY, "metadata.labels", {})
    service = next(it for it in documents if it["metadata"]["name"] == "classify")
    keys = {"secretKeyRef": {"name": "keys", "key": "keys"}}
    dig(service, BOX)["env"] += [
        {"name": "FARTHING_ACCESS", "value": "keys"},
        {"name": "FARTHING_KEYS", "valueFrom": keys},
    ]
    assert findings(project, "zero", documents) == []


def test_keys_written_into_the_manifest_are_refused(project: Project, rendered: Rendered) -> None:
    documents = rendered("zero")
    service = next(
        it for it in documents if it["kind"] == "Service" and it["metadata"]["name"] == "classify"
    )
    dig(service, BOX)["env"] += [
        {"name": "FARTHING_ACCESS", "value": "keys"},
        {"name": "FARTHING_KEYS", "value": "shop=" + "0" * 64},
    ]
    assert any(
        "It is from no Secret" in finding for finding in findings(project, "zero", documents)
    )
