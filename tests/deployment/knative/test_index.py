"""The overlay `index`: each planted mistake in what it renders to is named, in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.deployment.knative.overlay import dig
from tests.deployment.knative.test_rules import BOX, DROP, POD, findings, plant

if TYPE_CHECKING:
    from farthing.deployment.project import Project
    from tests.deployment.knative.conftest import Documents, Rendered

SEARCH = "Service/search"
JOB = "CronJob/indexer"
CLAIM = "PersistentVolumeClaim/index"
RUN = "spec.jobTemplate.spec"
JOB_BOX = f"{RUN}.template.spec.containers.0"


def place(documents: Documents, variable: str) -> int:
    """Where search sets that variable."""
    service = next(it for it in documents if dig(it, "metadata.name") == "search")
    return [it["name"] for it in dig(service, f"{BOX}.env")].index(variable)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("FARTHING_INDEX", {"name": "FARTHING_INDX", "value": "/index"}, "reads no such variable"),
        ("FARTHING_INDEX", {"name": "TZ", "value": "UTC"}, "It answers from its image"),
        ("FARTHING_INDEX", {"name": "FARTHING_INDEX", "value": "/indx"}, "no claim of this"),
        ("FARTHING_INDEX_WRITES", {"name": "FARTHING_INDEX_WRITES", "value": "apply"},
         "Every pod would publish"),
        ("FARTHING_INDEX_WRITES", {"name": "TZ", "value": "UTC"}, "Nothing queues what it would"),
        ("FARTHING_INDEX_WRITES", {"name": "TZ", "value": "UTC"}, "may write what it only reads"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_variable_is_named(
    project: Project, rendered: Rendered, variable: str, value: object, says: str
) -> None:
    documents = rendered("index")
    plant(documents, SEARCH, f"{BOX}.env.{place(documents, variable)}", value)
    found = findings(project, "index", documents)
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize(
    ("at", "path", "value", "says"),
    [
        (CLAIM, "spec.accessModes", ["ReadWriteOnce"], "a pod on another node cannot read it"),
        (CLAIM, "spec.resources", DROP, "says not how large"),
        (SEARCH, f"{POD}.volumes.1.persistentVolumeClaim.claimName", "indx", "no claim of this"),
        (SEARCH, f"{BOX}.volumeMounts.1.readOnly", True, "Nothing can be queued"),
        (SEARCH, f"{BOX}.volumeMounts.1.mountPath", "/data", "no claim of this overlay"),
        (JOB, f"{JOB_BOX}.volumeMounts.1.readOnly", True, "Nothing can be queued or published"),
        (JOB, f"{JOB_BOX}.volumeMounts.1.mountPath", "/data", "no claim of this overlay"),
        (JOB, f"{JOB_BOX}.env.3.value", "/other", "publishes another index than search"),
        (JOB, f"{JOB_BOX}.env.1.value", "512", "the job runs as 1024"),
        (JOB, f"{JOB_BOX}.env.2", DROP, "FARTHING_VCPU_MILLI"),
        (JOB, f"{JOB_BOX}.env.3.name", "FARTHING_INDX", "Farthing reads no such variable"),
        (JOB, f"{JOB_BOX}.command", ["python3"], "that is the job"),
        (JOB, f"{JOB_BOX}.image", "registry.example.com/farthing-search:0.1.0", "farthing-indexer"),
        (JOB, f"{JOB_BOX}.resources.limits.memory", "512Mi", "gives indexer 1024Mi"),
        (JOB, "spec.concurrencyPolicy", "Allow", "an index has one writer at a time"),
        (JOB, "spec.concurrencyPolicy", DROP, "an index has one writer at a time"),
        (JOB, "spec.schedule", "* * * * *", "Write */15 * * * *"),
        (JOB, "spec.suspend", True, "It would never run"),
        (JOB, f"{RUN}.activeDeadlineSeconds", 30, "pyproject.toml says so"),
        (JOB, f"{RUN}.backoffLimit", 60, "from 0 to 3"),
    ],
)
def test_a_planted_mistake_is_named(
    project: Project, rendered: Rendered, at: str, path: str, value: object, says: str
) -> None:
    documents = rendered("index")
    plant(documents, at, path, value)
    found = findings(project, "index", documents)
    assert any(says in finding for finding in found), found


def test_writes_that_nothing_publishes_are_named(project: Project, rendered: Rendered) -> None:
    kept = [it for it in rendered("index") if it["kind"] != "CronJob"]
    found = findings(project, "index", kept)
    assert any("Writes are queued, and nothing publishes them" in it for it in found), found


def test_an_index_that_is_only_read_is_no_finding(project: Project, rendered: Rendered) -> None:
    documents = [it for it in rendered("index") if it["kind"] != "CronJob"]
    plant(documents, SEARCH, f"{BOX}.env.{place(documents, 'FARTHING_INDEX_WRITES')}.value", "off")
    plant(documents, SEARCH, f"{BOX}.volumeMounts.1.readOnly", True)
    assert findings(project, "zero", documents) == []


def test_the_overlay_without_a_volume_is_not_called_index(
    project: Project, rendered: Rendered
) -> None:
    found = findings(project, "index", rendered("zero"))
    assert any("It answers from its image, and not from the volume" in it for it in found)
    assert any("nothing publishes them" in it for it in found)
