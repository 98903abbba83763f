"""The RayJob of `knative/ray`, as the API server and Ray's own autoscaler read it.

KubeRay was not at hand: nothing here ran on a cluster.
"""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from farthing.batch.engines.actors import ON_DEMAND
from farthing.billing.prices import read_price_book
from farthing.deployment.knative.overlay import dig, selects
from farthing.deployment.knative.render import renderer
from farthing.deployment.knative.schemas import errors
from farthing.hosts import find_host
from farthing.settings import known_variables, read_settings
from tests.deployment.knative.rayjob import pod_templates, ray_errors
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

# One actor, as the engine asks for it.
WORKER = {"CPU": 1}


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    command = renderer()
    if command is None:
        pytest.skip("neither kubectl nor kustomize is installed, so knative/ray cannot be rendered")
    folder = str(ROOT / "knative" / "ray")
    done = subprocess.run([*command, folder], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def job(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return next(it for it in documents if it["kind"] == "RayJob")


@pytest.fixture(scope="module")
def nodes_for(job: dict[str, Any]) -> Callable[[list[dict[str, float]]], dict[str, int]]:
    """The nodes that Ray's autoscaler adds for these demands, by group, from none at all."""
    kuberay = pytest.importorskip("ray.autoscaler._private.kuberay.autoscaling_config")
    scheduler = pytest.importorskip("ray.autoscaler._private.resource_demand_scheduler")
    cluster = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "batch", "namespace": "farthing", "labels": {}},
        "spec": job["spec"]["rayClusterSpec"],
    }
    config = kuberay._derive_autoscaling_config_from_ray_cr(cluster)

    def ask(demands: list[dict[str, float]]) -> dict[str, int]:
        added, unmet = scheduler.get_nodes_for(
            config["available_node_types"],
            {},
            config["head_node_type"],
            config["max_workers"],
            demands,
            partial(scheduler._default_utilization_scorer, node_availability_summary=None),
        )
        assert unmet == []
        return dict(added)

    return ask


def test_every_object_is_one_that_its_kind_allows(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        said = ray_errors(document) if document["kind"] == "RayJob" else errors(document)
        assert list(said) == []
        assert dig(document, "metadata.namespace") == "farthing"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.entrypoin", "true"),
        ("spec.backoffLimit", "3"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.minReplica", 0),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("spec.rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0.imagee", "x"),
    ],
)
def test_a_field_that_is_none_is_named(job: dict[str, Any], path: str, value: object) -> None:
    planted = yaml.safe_load(yaml.safe_dump(job))
    *way, last = path.split(".")
    dig(planted, ".".join(way))[last] = value
    assert list(ray_errors(planted))


def test_without_work_there_are_no_workers_and_no_cluster(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    for group in cluster["workerGroupSpecs"]:
        assert (group["minReplicas"], group["replicas"]) == (0, 0)
    head = cluster["headGroupSpec"]["rayStartParams"]
    assert head["num-cpus"] == "0", "a worker on the head's node would keep it from the books"


def test_workers_go_to_spot_nodes_and_fill_them_exactly(
    job: dict[str, Any], nodes_for: Callable[[list[dict[str, float]]], dict[str, int]]
) -> None:
    words = job["spec"]["entrypoint"].split()
    workers = int(words[words.index("--workers") + 1])
    spot = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    assert nodes_for([WORKER]) == {"spot": 1}
    assert nodes_for([WORKER] * workers) == {"spot": spot["maxReplicas"]}


def test_after_interruptions_workers_go_to_nodes_that_stay(
    nodes_for: Callable[[list[dict[str, float]]], dict[str, int]],
) -> None:
    assert nodes_for([WORKER | ON_DEMAND]) == {"on-demand": 1}
    assert nodes_for([WORKER | ON_DEMAND] * 15) == {"on-demand": 5}


def test_each_pod_has_no_more_rights_than_it_needs(job: dict[str, Any]) -> None:
    assert dig(job, "spec.rayClusterSpec.autoscalerOptions.securityContext.runAsNonRoot") is True
    for name, template in pod_templates(job).items():
        spec = template["spec"]
        assert spec["serviceAccountName"] == "ray"
        assert spec["automountServiceAccountToken"] is (name == "head")
        (container,) = spec["containers"]
        confined = container["securityContext"]
        assert confined["runAsNonRoot"] is True and confined["runAsUser"] > 0
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"] == container["resources"]["requests"]
        for volume in spec["volumes"]:
            assert dig(volume, "emptyDir.sizeLimit"), f"{name} could fill its node's disk"


def test_a_worker_is_priced_as_its_share_of_the_node_it_asks_for(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    for group in cluster["workerGroupSpecs"]:
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        settings = read_settings({it["name"]: it["value"] for it in container["env"]})
        cores = int(group["rayStartParams"]["num-cpus"])
        limits = container["resources"]["limits"]
        assert f"{settings.vcpu_milli * cores}m" == limits["cpu"]
        assert f"{settings.memory_mb * cores // 1024}Gi" == limits["memory"]
        terms = dig(
            spec,
            "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
            ".nodeSelectorTerms.0.matchExpressions",
        )
        wanted = {it["key"]: it["values"] for it in terms}
        (kind,) = wanted["node.kubernetes.io/instance-type"]
        (capacity,) = wanted["karpenter.sh/capacity-type"]
        assert settings.node == (f"{kind}.spot" if capacity == "spot" else kind)
        assert read_price_book().price(f"knative.vcpu.{settings.node}", settings.region)


def test_every_variable_is_one_that_is_read(job: dict[str, Any]) -> None:
    for template in pod_templates(job).values():
        env = {it["name"]: it["value"] for it in template["spec"]["containers"][0]["env"]}
        assert {name for name in env if name.startswith("FARTHING_")} <= known_variables()
        assert find_host(env) == "knative"


def test_a_closed_namespace_lets_the_cluster_do_its_work(
    documents: list[dict[str, Any]], job: dict[str, Any]
) -> None:
    policy = next(it for it in documents if it["kind"] == "NetworkPolicy")
    for template in pod_templates(job).values():
        assert selects(policy["spec"]["podSelector"], template["metadata"]["labels"])
    operator = [rule for rule in policy["spec"]["ingress"] if rule["ports"] == [{"port": 8265}]]
    assert dig(operator, "0.from.0.namespaceSelector.matchLabels")
    assert all(rule["ports"] for rule in policy["spec"]["egress"])


def test_the_image_is_that_of_the_pods(job: dict[str, Any]) -> None:
    images = {
        template["spec"]["containers"][0]["image"] for template in pod_templates(job).values()
    }
    assert images == {"registry.example.com/farthing-ray:0.1.0"}
    version = job["spec"]["rayClusterSpec"]["rayVersion"]
    dockerfile = Path(ROOT, "knative", "ray", "Dockerfile").read_text(encoding="utf-8")
    assert f"rayproject/ray:{version}-" in dockerfile
