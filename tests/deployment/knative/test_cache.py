"""The overlay `cache`: each planted mistake is named, and its server starts as it is written."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import redis

from farthing.deployment.idle import profiles
from farthing.deployment.knative.overlay import dig
from tests.deployment.knative.test_rules import BOX, CLASSIFY, DROP, POD, findings, plant
from tests.functions.server import LOOPBACK, START_S, free_port

if TYPE_CHECKING:
    from farthing.deployment.project import Project
    from tests.deployment.knative.conftest import Documents, Rendered

SERVER = "Deployment/cache"
TO, OF = "NetworkPolicy/to-cache", "NetworkPolicy/cache"
EVERYBODY = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}
PLAIN = {"name": "CACHE_PASSWORD", "value": "secret"}


def cached_in(documents: Documents) -> str:
    """The path of the variable that tells classify of the cache."""
    service = next(it for it in documents if dig(it, "metadata.name") == "classify")
    names = [it["name"] for it in dig(service, f"{BOX}.env")]
    return f"{BOX}.env.{names.index('FARTHING_CACHE')}"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"name": "FARTHING_CACHE", "value": "redis://:a@cache:6379"}, "holds its password"),
        ({"name": "FARTHING_CACHE", "value": "memory"}, "It does not ask the cache"),
        ({"name": "FARTHING_CASH", "value": "memory"}, "reads no such variable"),
    ],
)
def test_a_mistake_in_what_a_function_is_told_is_named(
    project: Project, rendered: Rendered, value: object, says: str
) -> None:
    documents = rendered("cache")
    plant(documents, CLASSIFY, cached_in(documents), value)
    found = findings(project, "cache", documents)
    assert any(says in finding for finding in found), found


@pytest.mark.parametrize(
    ("at", "path", "value", "says"),
    [
        (SERVER, f"{BOX}.command.1", "--masterauth", "read every tenant's answers"),
        (SERVER, f"{BOX}.command.2", "", "read every tenant's answers"),
        (SERVER, f"{BOX}.command.4", "512mb", "It may keep 512mb of 256 MB"),
        (SERVER, f"{BOX}.command.3", "--maxmem", "It may keep what it likes"),
        (SERVER, f"{BOX}.command.6", "noeviction", "refuse what is new"),
        (SERVER, f"{BOX}.command.8", "60 1", "root file system that is read-only"),
        (SERVER, f"{BOX}.command.10", "yes", "root file system that is read-only"),
        (SERVER, f"{BOX}.command.0", "redis-sentinel", "Run valkey-server"),
        (SERVER, f"{BOX}.env.0", PLAIN, "there is none, or everybody reads it"),
        (SERVER, f"{BOX}.image", "docker.io/valkey/valkey:latest", "no version of Valkey"),
        (SERVER, f"{BOX}.image", "example.org/valkey:8.1", "no version of Valkey"),
        (SERVER, f"{BOX}.readinessProbe", DROP, "does not look at port 6379"),
        (SERVER, f"{BOX}.livenessProbe.tcpSocket.port", 6380, "does not look at port 6379"),
        (SERVER, f"{BOX}.resources.limits", DROP, "what is priced is neither"),
        (SERVER, f"{BOX}.securityContext.runAsUser", 0, "Set 993"),
        (SERVER, f"{BOX}.securityContext.readOnlyRootFilesystem", False, "needs no more"),
        (SERVER, f"{POD}.serviceAccountName", "default", "no ServiceAccount 'default'"),
        (SERVER, "spec.template.metadata.labels", {"app": "x"}, "Others than the functions"),
        ("Service/cache", "spec.selector", {"app": "x"}, "does not lead to port 6379"),
        ("Service/cache", "spec.ports.0.port", 80, "does not lead to port 6379"),
        (OF, "spec.ingress.0.from.0", EVERYBODY, "Others than the functions"),
        (OF, "spec.ingress.0.ports", [{"port": 6379}, {"port": 22}], "more than port 6379"),
        (OF, "spec.egress", [{"to": [EVERYBODY], "ports": [{"port": 443}]}], "It may call others"),
        (TO, "spec.egress.0.ports.0.port", 6380, "would wait for it in vain"),
        (TO, "spec.egress.0.to.0.podSelector.matchLabels", {"app": "x"}, "wait for it in vain"),
        (TO, "spec.egress.1", DROP, "would wait for it in vain"),
    ],
)
def test_a_planted_mistake_is_named(
    project: Project, rendered: Rendered, at: str, path: str, value: object, says: str
) -> None:
    documents = rendered("cache")
    plant(documents, at, path, value)
    found = findings(project, "cache", documents)
    assert any(says in finding for finding in found), found


def test_a_server_of_ones_own_needs_no_valkey(project: Project, rendered: Rendered) -> None:
    documents = rendered("cache")
    plant(documents, TO, "spec.egress.0.to", [{"ipBlock": {"cidr": "10.0.0.11/32"}}])
    kept = [it for it in documents if dig(it, "metadata.name") != "cache"]
    assert findings(project, "zero", kept) == []


def test_the_overlay_without_its_server_is_not_called_cache(
    project: Project, rendered: Rendered
) -> None:
    found = findings(project, "cache", rendered("zero"))
    assert any("There is no cache" in finding for finding in found), found


def test_a_ledger_and_a_cache_go_together(project: Project, rendered: Rendered) -> None:
    documents = rendered("ledger")
    names = {("NetworkPolicy", "to-cache")}
    both = [
        *documents,
        *(it for it in rendered("cache") if (it["kind"], dig(it, "metadata.name")) in names),
    ]
    assert findings(project, "ledger", both) == []


def test_the_server_starts_as_it_is_written_and_asks_for_its_password(rendered: Rendered) -> None:
    """Redis 7 stands in for Valkey, which began as its copy and takes the same options."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed, so the cache's options are not tried")
    server = next(it for it in rendered("cache") if it["kind"] == "Deployment")
    _, *options = dig(server, f"{BOX}.command")
    told = [it.replace("$(CACHE_PASSWORD)", "sesame") for it in options]
    port = free_port()
    here = ["--port", str(port), "--bind", LOOPBACK]
    process = subprocess.Popen([binary, *told, *here], stdout=subprocess.DEVNULL)
    try:
        with (
            redis.Redis(port=port, password="sesame") as client,
            redis.Redis(port=port) as stranger,
        ):
            _wait(client, process)
            with pytest.raises(redis.AuthenticationError):
                stranger.get("answer")
            said = {**client.config_get("maxmemory*"), **client.config_get("save")}
        assert (said["maxmemory"], said["maxmemory-policy"]) == (str(192 * 2**20), "allkeys-lru")
        assert said["save"] == ""
    finally:
        process.kill()
        process.wait()


def test_what_a_cache_and_its_hours_cost_is_told(project: Project) -> None:
    table = {it.name: it for it in profiles(project) if it.cloud == "Knative"}
    if not table:
        pytest.skip("neither kubectl nor kustomize is installed, so no overlay can be rendered")
    # A tenth of a vCPU and a quarter of a GB of a c7i.xlarge, for 2,628,000 s of a month.
    cache_e16 = 2_628_000 * (10_163_729_660 + 1_116_051_836 * 5 // 2)
    assert int(table["cache"].idle_usd_month * 10**16) == cache_e16
    # Three pods of a vCPU and a GB, for 11 hours of 5 days of a week of 168 hours.
    hours_e15 = 3 * 2_628_000 * 55 * (10_163_729_660 + 1_116_051_836)
    assert int(table["hours"].idle_usd_month * 10**15 * 168) == pytest.approx(hours_e15, rel=1e-12)
    assert table["hours"].zero == "outside 55 hours a week"


def _wait(client: redis.Redis, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the server did not start")
