"""The overlay `ledger`: each planted mistake in what it renders to is named, in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.deployment.knative.overlay import dig
from tests.deployment.knative.test_rules import BOX, CLASSIFY, DROP, POD, findings, plant

if TYPE_CHECKING:
    from farthing.deployment.project import Project
    from tests.deployment.knative.conftest import Documents, Rendered

JOB = "CronJob/settle"
RUN = "spec.jobTemplate.spec"
JOB_BOX = f"{RUN}.template.spec.containers.0"
PLAIN = {"name": "FARTHING_LEDGER", "value": "postgresql+psycopg://u:p@db/farthing"}
NOT_MOUNTED = "no folder on disk is mounted"


def place(documents: Documents, name: str) -> int:
    """Where classify sets that variable, and spool's volume and mount stand."""
    service = next(it for it in documents if dig(it, "metadata.name") == "classify")
    return [it["name"] for it in dig(service, f"{BOX}.env")].index(name)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("FARTHING_LEDGER", PLAIN, "whoever reads the manifest reads it"),
        ("FARTHING_LEDGER", {"name": "FARTHING_LEDGR", "value": "x"}, "taken from no budget"),
        ("FARTHING_LEDGER", {"name": "FARTHING_LEDGR", "value": "x"}, "not REGISTRY/farthing-cl"),
        ("FARTHING_RECORDER", {"name": "FARTHING_RECORDER", "value": "line"}, "never reach the"),
        ("FARTHING_SPOOL", {"name": "FARTHING_SPOOL", "value": "/spol"}, NOT_MOUNTED),
        ("FARTHING_SPOOL", {"name": "TZ", "value": "UTC"}, NOT_MOUNTED),
        ("FARTHING_SPOOL_MAX_MB", {"name": "FARTHING_SPOOL_MAX_MB", "value": "640"}, "is evicted"),
        ("FARTHING_BUDGET_OUTAGE", {"name": "FARTHING_BUDGET_OUTAGE", "value": "ajar"},
         "Set closed or open"),
        ("FARTHING_BUDGET_OUTAGE", {"name": "FARTHING_PLANS", "value": "[]"},
         "not what every function sells by"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_variable_is_named(
    project: Project, rendered: Rendered, variable: str, value: object, says: str
) -> None:
    documents = rendered("ledger")
    plant(documents, CLASSIFY, f"{BOX}.env.{place(documents, variable)}", value)
    found = findings(project, "ledger", documents)
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize(
    ("at", "path", "value", "says"),
    [
        # Where entries wait.
        (CLASSIFY, f"{POD}.volumes.1.emptyDir", {}, "may grow to the whole disk"),
        (CLASSIFY, f"{POD}.volumes.1.emptyDir.sizeLimit", "64Mi", "its entries with it"),
        (CLASSIFY, f"{POD}.volumes.1.emptyDir.medium", "Memory", NOT_MOUNTED),
        (CLASSIFY, f"{BOX}.volumeMounts.1.mountPath", "/var/spool", NOT_MOUNTED),
        (CLASSIFY, f"{BOX}.lifecycle", {"preStop": {"exec": {"command": ["true"]}}}, "lifecycle"),
        (CLASSIFY, f"{BOX}.image", "registry.example.com/farthing-classify:0.1.0", "not REGISTRY/"),
        # The way to the database.
        ("NetworkPolicy/ledger", "spec.egress.0.to", DROP, "may call those ports anywhere"),
        ("NetworkPolicy/ledger", "spec.egress.0.to.0", {"podSelector": {}}, "or nowhere"),
        ("NetworkPolicy/ledger", "spec.egress.0.ports.0.port", DROP, "no ledger can be reached"),
        ("NetworkPolicy/ledger", "spec.egress", [], "no ledger can be reached"),
        ("NetworkPolicy/ledger", "spec.egress.0.ports", [{"port": 5432}, {"port": 443}],
         "or more than it"),
        ("NetworkPolicy/settle", "spec.egress.1.ports", [{"port": 53}], "no ledger can be reached"),
        ("NetworkPolicy/settle", "spec.podSelector.matchLabels", {"app": "x"}, "call the ports"),
        # The job.
        (JOB, "spec.concurrencyPolicy", "Allow", "two settlements at once"),
        (JOB, "spec.concurrencyPolicy", DROP, "two settlements at once"),
        (JOB, "spec.schedule", "* * * * *", "Write */15 * * * *"),
        (JOB, "spec.schedule", "0 4 * * *", "Write */15 * * * *"),
        (JOB, "spec.schedule", "*/7 * * * *", "Write */15 * * * *"),
        (JOB, "spec.timeZone", "Europe/London", "hours and days are UTC's"),
        (JOB, "spec.suspend", True, "It would never run"),
        (JOB, "spec.startingDeadlineSeconds", 5, "from 60 to 900"),
        (JOB, "spec.failedJobsHistoryLimit", 0, "from 1 to 10"),
        (JOB, f"{RUN}.backoffLimit", 60, "from 0 to 3"),
        (JOB, f"{RUN}.activeDeadlineSeconds", 30, "pyproject.toml says so"),
        (JOB, f"{RUN}.ttlSecondsAfterFinished", DROP, "from 60 to 604800"),
        (JOB, f"{RUN}.template.spec.restartPolicy", "OnFailure", "a retry is a pod of its own"),
        (JOB, f"{RUN}.template.spec.serviceAccountName", "default", "no ServiceAccount 'default'"),
        (JOB, f"{JOB_BOX}.command", DROP, "that is the job"),
        (JOB, f"{JOB_BOX}.command.2", "farthing.legder", "that is the job"),
        (JOB, f"{JOB_BOX}.image", "registry.example.com/farthing-embed:0.1.0", "farthing-settle:0"),
        (JOB, f"{JOB_BOX}.env.1", {"name": "FARTHING_SIGNING_KEY", "value": "a"}, "no Secret"),
        (JOB, f"{JOB_BOX}.env.1", {"name": "TZ", "value": "UTC"}, "SIGNING_KEY: It is missing"),
        (JOB, f"{JOB_BOX}.env.0.valueFrom.secretKeyRef.key", "uri", "settles another ledger"),
        (JOB, f"{JOB_BOX}.env.1.valueFrom.secretKeyRef.name", DROP, "is from no Secret"),
        (JOB, f"{RUN}.template.spec.volumes.0.emptyDir", DROP, "may grow to the whole disk"),
        (JOB, f"{JOB_BOX}.env.0.name", "FARTHING_LEDGR", "Farthing reads no such variable"),
        (JOB, f"{JOB_BOX}.resources.limits.memory", "64Mi", "gives settle 512Mi"),
        (JOB, f"{JOB_BOX}.resources.requests.cpu", DROP, "what is priced is neither"),
        (JOB, f"{JOB_BOX}.securityContext.runAsUser", 0, "Set 993"),
        (JOB, f"{JOB_BOX}.securityContext.readOnlyRootFilesystem", False, "needs no more"),
        (JOB, "spec.concurencyPolicy", "Forbid", "concurencyPolicy"),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_named(
    project: Project, rendered: Rendered, at: str, path: str, value: object, says: str
) -> None:
    documents = rendered("ledger")
    plant(documents, at, path, value)
    found = findings(project, "ledger", documents)
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize(
    ("at", "path", "value"),
    [
        (JOB, "spec.schedule", "*/30 * * * *"),
        ("NetworkPolicy/ledger", "spec.egress.0.to", [{"ipBlock": {"cidr": "10.0.0.10/32"}}]),
        (CLASSIFY, f"{POD}.volumes.1.emptyDir.sizeLimit", "256Mi"),
    ],
)
def test_what_a_user_may_choose_is_no_finding(
    project: Project, rendered: Rendered, at: str, path: str, value: object
) -> None:
    documents = rendered("ledger")
    plant(documents, at, path, value)
    assert findings(project, "ledger", documents) == []


def test_a_ledger_that_nothing_settles_is_named(project: Project, rendered: Rendered) -> None:
    kept = [it for it in rendered("ledger") if it["kind"] != "CronJob"]
    found = findings(project, "ledger", kept)
    assert any("nothing settles it" in finding for finding in found), found


def test_the_overlay_without_a_ledger_is_not_called_ledger(
    project: Project, rendered: Rendered
) -> None:
    found = findings(project, "ledger", rendered("zero"))
    assert any("It keeps no ledger" in finding for finding in found)
    assert any("nothing settles it" in finding for finding in found)
