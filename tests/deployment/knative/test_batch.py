"""The overlays `batch` and `queue`: each planted mistake in what they render to is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from farthing.deployment.knative.overlay import dig
from tests.deployment.knative.test_rules import BOX, DROP, POD, TERMS, findings, plant

if TYPE_CHECKING:
    from farthing.deployment.project import Project
    from tests.deployment.knative.conftest import Documents, Rendered

SINK = "JobSink/batch"
JOB = "spec.job.spec"
JOB_POD = f"{JOB}.template.spec"
JOB_BOX = f"{JOB_POD}.containers.0"
CLOCK = "PingSource/batch"
SPOT = "Deployment/batch-worker"
KEPT = "Deployment/batch-worker-on-demand"
SETTINGS = "ConfigMap/batch"
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/farthing-batch"
PLAIN = ["python3", "-m", "functions.batch.app", "--queue"]


@pytest.mark.parametrize(
    ("overlay", "at", "path", "value", "says"),
    [
        # What a Job does.
        ("batch", SINK, f"{JOB_BOX}.command.2", "functions.indexer.app", "that reads the event"),
        ("batch", SINK, f"{JOB}.podFailurePolicy", DROP, "a refusal is final"),
        ("batch", SINK, f"{JOB}.podFailurePolicy.rules.1.onExitCodes.values", [75], "a refusal is"),
        ("batch", SINK, f"{JOB}.backoffLimit", 0, "Set 1 to 10"),
        ("batch", SINK, f"{JOB}.activeDeadlineSeconds", 900, "Set 3600 to 86400"),
        ("batch", SINK, f"{JOB}.ttlSecondsAfterFinished", DROP, "It is None"),
        ("batch", SINK, f"{JOB_BOX}.image", "registry.example.com/farthing-batch:0.2.0", "not REG"),
        ("batch", SINK, f"{JOB_BOX}.resources.limits.memory", "1Gi", "what is priced is neither"),
        ("batch", SINK, f"{JOB_BOX}.env.1.value", "1024", "prices would be wrong"),
        ("batch", SINK, f"{JOB_BOX}.env.3.value", "m5.large", "has no knative.vcpu.m5.large"),
        ("batch", SINK, f"{JOB_BOX}.env.3.value", "c7g.xlarge", "and is priced as on c7g.xlarge"),
        ("batch", SINK, f"{JOB_BOX}.env.4.value", "86400000", "is ended after 86400 s"),
        ("batch", SINK, f"{JOB_BOX}.envFrom", DROP, "does not know the bucket"),
        ("batch", SINK, f"{JOB_POD}.serviceAccountName", "function", "the rights of those"),
        ("batch", SINK, f"{JOB_POD}.terminationGracePeriodSeconds", 5, "to write a checkpoint"),
        ("batch", SINK, f"{JOB}.template.metadata.labels", {"a": "b"}, "lets it reach its bucket"),
        ("batch", SINK, f"{JOB_POD}.volumes.0.emptyDir", {}, "the whole disk"),
        ("batch", SINK, "metadata.name", "btch", "Nothing works off what arrives"),
        # Who tells it.
        ("batch", "Trigger/batch", "spec.filters.0.any.1.prefix.type", "com.amazonaws.s3", "alone"),
        ("batch", "Trigger/batch", "spec.filters", DROP, "and that alone"),
        ("batch", "Trigger/batch", "spec.subscriber.ref.name", "dead-letters", "0 Triggers"),
        # The clock.
        ("batch", CLOCK, "spec.sink.ref.name", "dead-letters", "0 PingSources call it"),
        ("batch", CLOCK, "spec.schedule", "7 4 * * *", "1 to 12 times an hour"),
        ("batch", CLOCK, "spec.schedule", "1-59/2 * * * *", "1 to 12 times an hour"),
        ("batch", CLOCK, "spec.schedule", ",".join(map(str, range(13))) + " * * * *", "1 to 12"),
        ("batch", CLOCK, "spec.schedule", "* * * * *", "every minute"),
        ("batch", CLOCK, "spec.sink.ref.apiVersion", "sinks.knative.dev/v1", "There is no JobSink"),
        # The bucket, and the requests that wait in it.
        ("batch", SETTINGS, "data.FARTHING_JOBS", DROP, "It is missing"),
        ("batch", SETTINGS, "data.FARTHING_JOBS", "/jobs", "which every node reaches"),
        ("batch", SETTINGS, "data.FARTHING_BATCH_OUT", "s3://farthing-batch/jobs", "two folders"),
        ("batch", SETTINGS, "data.FARTHING_BATCH_TASK", "rerank", "Nothing would start"),
        ("batch", SETTINGS, "data.FARTHING_BATCH_COLUMN", "title", "reads no such variable"),
        ("batch", "Service/embed", f"{BOX}.env", [], "not kept where they are worked off"),
        # Workers of a queue.
        ("queue", SPOT, f"{BOX}.command", PLAIN, "Set ['python3'"),
        ("queue", KEPT, f"{BOX}.command", DROP, "Set ['python3'"),
        ("queue", KEPT, f"{BOX}.env.5.value", QUEUE, "each another"),
        ("queue", SPOT, f"{BOX}.env.6.value", "farthing-batch-dead-letters", "It names no queue"),
        ("queue", SPOT, f"{POD}.affinity", DROP, "0 workers are on spot nodes"),
        ("queue", SPOT, f"{BOX}.env.3.value", "c7i.xlarge", "priced as on c7i.xlarge"),
        ("queue", SPOT, f"{POD}.tolerations", DROP, "which it does not tolerate"),
        ("queue", SPOT, f"{TERMS}.0.matchExpressions.2.values", ["amd64"], "c7g.xlarge is arm"),
        ("queue", SPOT, f"{POD}.terminationGracePeriodSeconds", 300, "a spot node is gone in 120"),
        ("queue", SPOT, "metadata.name", "workr", "There is no Deployment batch-worker"),
        ("queue", "NetworkPolicy/batch", "spec.egress.1.to", [{"ipBlock": {"cidr": "0.0.0.0/0"}}],
         "Its pods may call the ports"),
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


def test_requests_that_nobody_answers_are_not_taken(project: Project, rendered: Rendered) -> None:
    documents = rendered("zero")
    service = next(it for it in documents if dig(it, "metadata.name") == "classify")
    jobs = {"configMapKeyRef": {"name": "batch", "key": "FARTHING_JOBS"}}
    dig(service, BOX)["env"].append({"name": "FARTHING_JOBS", "valueFrom": jobs})
    found = findings(project, "zero", documents)
    assert any("takes requests that nothing here answers" in it for it in found), found


def test_what_a_user_may_choose_is_no_finding(project: Project, rendered: Rendered) -> None:
    documents = rendered("queue")
    bucket: dict[str, Any] = {
        "FARTHING_JOBS": "oss://shop/jobs?region=cn-hangzhou",
        "FARTHING_BATCH_OUT": "oss://shop/out?region=cn-hangzhou",
        "FARTHING_BATCH_TASK": "embed",
        "FARTHING_BATCH_TEXT": "title",
        "FARTHING_BATCH_ID": "sku",
        "FARTHING_BATCH_FORMAT": "parquet",
    }
    plant(documents, SETTINGS, "data", bucket)
    plant(documents, "ScaledObject/batch-worker", "spec.maxReplicaCount", 40)
    assert findings(project, "queue", documents) == []
    documents = rendered("batch")
    plant(documents, CLOCK, "spec.schedule", "30 * * * *")
    assert findings(project, "batch", documents) == []


def _kinds(documents: Documents) -> set[str]:
    return {f"{it['kind']}/{dig(it, 'metadata.name')}" for it in documents}


def test_other_overlays_run_nothing_for_it(rendered: Rendered) -> None:
    for overlay in ("zero", "warm", "spot", "index", "ledger"):
        assert not {SINK, CLOCK, SPOT, KEPT, SETTINGS} & _kinds(rendered(overlay))
