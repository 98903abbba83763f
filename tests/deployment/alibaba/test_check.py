"""The shipped files are clean, and each planted mistake is named with its file and its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.deployment.alibaba import check
from farthing.deployment.project import Project

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "infra/alibaba"
VPC = """      vpcConfig:
        vpcId: ${env('FARTHING_VPC')}
        vSwitchIds:
          - ${env('FARTHING_VSWITCH')}
        securityGroupId: ${env('FARTHING_SECURITY_GROUP')}
"""
OWN_LOG = "{project: logs, logstore: calls, enableInstanceMetrics: true}"


def findings(checkout: Path) -> list[str]:
    return [str(finding) for finding in check(Project.read(checkout))]


def change(checkout: Path, file: str, was: str, becomes: str, *, everywhere: bool = False) -> None:
    path = checkout / (file if file == "pyproject.toml" else f"{FOLDER}/{file}")
    text = path.read_text(encoding="utf-8")
    assert was in text, (file, was)
    path.write_text(text.replace(was, becomes, -1 if everywhere else 1), encoding="utf-8")


def test_the_shipped_files_are_clean(checkout: Path) -> None:
    assert findings(checkout) == []


@pytest.mark.parametrize(
    ("file", "was", "becomes", "at", "says"),
    [
        # Shape: what the service takes.
        ("s.yaml", "memorySize: 1024", "memorySize: 1000", "memorySize", "multiple of 64"),
        ("s.yaml", "memorySize: 1024", "memorySzie: 1024", "memorySzie", "takes no such key"),
        ("s.yaml", "cpu: 1", "cpu: 0.33", "cpu", "steps of 0.05"),
        ("s.yaml", "cpu: 1", "cpu: 4", "cpu", "gives classify 1000 milli-vCPU"),
        ("s.yaml", "diskSize: 512", "diskSize: 1024", "diskSize", "512 or 10240"),
        ("s.yaml", "timeout: 30\n", "timeout: '30'\n", "timeout", "valid integer"),
        ("s.yaml", "runtime: custom-container", "runtime: python3.12", "runtime", "http"),
        ("s.yaml", "ap-southeast-1')}\n", "mars-1')}\n", "region", "is not one of"),
        ("s.yaml", "logConfig: auto", "logConfig: {}", "logConfig.project", "is missing"),
        ("s.yaml", "scalingConfig:\n", "disableOndemand: true\n    scalingConfig:\n",
         "disableOndemand", "refuses every call above the floor"),
        # Agreement: what the project, the image and the code say.
        ("pyproject.toml", 'clouds = ["aws", "alibaba", "knative"]\nmemory_mb = 1024',
         'clouds = ["aws", "alibaba", "knative"]\nmemory_mb = 2048', "memorySize", "2048 MB"),
        ("pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"', "image", "tag is '0.1.0'"),
        ("s.yaml", "version: 0.1.0", "version: 0.1.0-arm64", "image", "amd64 only"),
        ("s.yaml", "${vars.registry}/farthing-embed", "${vars.registry}/farthing-classify",
         "image", "not farthing-embed"),
        ("s.yaml", "registry.ap-southeast-1", "registry.eu-central-1", "image",
         "own region"),
        ("s.yaml", "port: 9000", "port: 8080", "port", "our port on Function Compute"),
        ("s.yaml", "UVICORN_PORT: '9000'", "UVICORN_PORT: '8080'", "UVICORN_PORT",
         "the image's server listens"),
        ("s.yaml", "httpGetUrl: /readyz", "httpGetUrl: /healthz", "httpGetUrl", "real inference"),
        ("s.yaml", "handler: initialize", "handler: initialise", "initializer.handler",
         "the app serves it"),
        ("s.yaml", "MEMORY_MB: '1024'", "MEMORY_MB: '512'", "FARTHING_MEMORY_MB", "priced by it"),
        ("s.yaml", "FARTHING_MODEL: all", "FARTHING_MODEL: mini", "FARTHING_MODEL", "these models"),
        ("s.yaml", "FARTHING_TIMEOUT_MS", "FARTHING_TIMEOUTS", "FARTHING_TIMEOUTS",
         "reads no such variable"),
        ("s.yaml", "REGION: international", "REGION: cn-hangzhou", "FARTHING_REGION",
         "no fc.cu in region cn-hangzhou"),
        ("s.yaml", "diskSize: 512", "diskSize: 10240", "diskSize", "priced with 512 MB"),
        ("s.yaml", "value: embed", "value: embedd", "tags", "cannot be split"),
        ("s.yaml", "  embed:\n    component", "  embedding:\n    component", "resources",
         "no resource here is named so"),
        # What must hold inside one function.
        ("s.yaml", "auth: function", "auth: anonymous", "authType", "anybody could call"),
        ("s.yaml", "access: platform", "access: keys", "environmentVariables.FARTHING_",
         "nobody could call"),
        ("s.keys.yaml", "${env('FARTHING_KEYS')}", "shop=0123", "FARTHING_KEYS",
         "secret is written into the file"),
        ("s.keys.yaml", "access: keys", "access: platform", "FARTHING_ACCESS",
         "no key is asked for"),
        ("s.ledger.yaml", "${env('FARTHING_LEDGER')}", "postgresql+psycopg://u:p@db/farthing",
         "FARTHING_LEDGER", "secret is written into the file"),
        ("s.ledger.yaml", "${env('FARTHING_LEDGER')}", "${env('FARTHING_LEDGER', 'memory:')}",
         "FARTHING_LEDGER", "would default to one"),
        ("s.ledger.yaml", "version: 0.1.0-ledger", "version: 0.1.0", "image",
         "of this version is 0.1.0-ledger"),
        ("s.ledger.yaml", "OUTAGE: closed", "OUTAGE: ajar", "FARTHING_BUDGET_OUTAGE",
         "would not start"),
        ("s.ledger.yaml", "FARTHING_BUDGET_OUTAGE: closed", "FARTHING_RECORDER: spool",
         "FARTHING_RECORDER", "stands still between calls"),
        ("s.keys.yaml", "FARTHING_KEYS: ", "FARTHING_LEDGERS: x\n      FARTHING_KEYS: ",
         "FARTHING_LEDGERS", "reads no such variable"),
        ("s.yaml", "failureThreshold: 10", "failureThreshold: 1", "healthCheckConfig",
         "3 s to become ready"),
        ("s.yaml", "maxAsyncRetryAttempts: 1", "maxAsyncRetryAttempts: 8",
         "maxAsyncRetryAttempts", "every attempt is paid"),
        ("s.yaml", "[GET, POST]", "[GET]", "methods", "lets no POST through"),
        ("s.yaml", "reservedConcurrency: 10", "reservedConcurrency: 1000",
         "reservedConcurrency", "has 100 in a region"),
        ("s.yaml", "    triggers:\n", "    triggers: []\n    unused:\n", "triggers",
         "at least 1 item"),
        # The two profiles.
        ("s.yaml", "minInstances: 0", "minInstances: 1", "scalingConfig.minInstances",
         "no warm profile"),
        ("s.warm.yaml", "minInstances: 1\n      h", "minInstances: 0\n      h",
         "scalingConfig.minInstances", "nothing is warm"),
        ("s.warm.yaml", "metricTarget: 0.7", "metricTarget: 70", "metricTarget", "70 % is 0.7"),
        ("s.warm.yaml", "metricTarget: 0.7", "metricTarget: 0.5", "metricTarget", "promises 70 %"),
        ("s.warm.yaml", "CPUUtilization", "ProvisionedConcurrencyUtilization",
         "horizontalScalingPolicies", "0 rules on CPUUtilization"),
        ("s.warm.yaml", "maxInstances: 10", "maxInstances: 100", "reservedConcurrency",
         "may rise to 100"),
        ("s.yaml", "logConfig: auto", "logConfig: {project: logs, logstore: calls}",
         "logConfig.enableInstanceMetrics", "metrics are off"),
        # Events.
        ("s.events.yaml", "prefix: embed/", "prefix: classify/", "filter.key",
         "also fires a trigger of classify"),
        ("s.events.yaml", "prefix: embed/", "prefix: ''", "filter.key.prefix", "only a folder"),
        ("s.events.yaml", "readOnly: true", "readOnly: false", "readOnly", "written to"),
        ("s.events.yaml", "-internal.aliyuncs", ".aliyuncs", "endpoint", "paid as traffic"),
        ("s.events.yaml", "mountDir: /mnt/objects", "mountDir: /mnt/object", "mountDir",
         "nothing is read there"),
        ("s.events.yaml", "'@every 4m'", "'0 0 4 * *'", "cronExpression", "six fields"),
        ("s.events.yaml", "'@every 4m'", "'@every 4s'", "cronExpression", "once a minute"),
        ("s.events.yaml", "enable: true\n", "enable: false\n", "enable", "timer is off"),
        ("s.events.yaml", """'{"farthing": "ping"}'""", "keep warm", "payload",
         "no JSON object"),
        ("s.events.yaml", """'{"farthing": "ping"}'""", """'{"inputs": "keep warm"}'""", "payload",
         "a tenant would pay for the answer"),
        ("s.ping.yaml", """'{"farthing": "ping"}'""", """'{"farthing": "pnig"}'""", "payload",
         "a tenant would pay for the answer"),
        # Answers that are kept, and calls that share an instance.
        ("s.yaml", "        FARTHING_CACHE: memory\n", "", "FARTHING_CACHE", "left to chance"),
        ("s.yaml", "FARTHING_CACHE: memory", "FARTHING_CACHE: redis://:secret@10.0.0.8:6379",
         "FARTHING_CACHE", "is written into the file"),
        ("s.cache.yaml", "${env('FARTHING_CACHE')}", "${env('FARTHING_CACHE', 'redis://:a@b')}",
         "FARTHING_CACHE", "is written into the file"),
        ("s.cache.yaml", "${env('FARTHING_CACHE')}", "memory", "FARTHING_CACHE",
         "instances share what they keep"),
        ("s.gather.yaml", "instanceConcurrency: 8", "instanceConcurrency: 1",
         "instanceConcurrency", "several calls at once"),
        ("s.ping.yaml", "\ntemplate:", "\nvars: {}\nx-template:", "triggers",
         "No timer keeps an instance"),
        ("s.cache.yaml", VPC, "", "vpcConfig",
         "the function stands in none"),
        ("s.cache.yaml", "  embed:\n", "  search:\n", "FARTHING_CACHE", "keeps no answers"),
        ("s.gather.yaml", "        FARTHING_CONCURRENCY: '8'\n", "", "FARTHING_CONCURRENCY",
         "It is 1, and an instance takes 8 calls at once"),
        ("s.gather.yaml", "CONCURRENCY: '8'", "CONCURRENCY: '80'", "FARTHING_CONCURRENCY",
         "Write '8'"),
        ("s.gather.yaml", "instanceConcurrency: 8", "instanceConcurrency: 80",
         "instanceConcurrency", "longer than for a new instance"),
        ("s.gather.yaml", "  embed:\n", "  search:\n", "instanceConcurrency",
         "gives search 1 calls at once"),
        ("s.gather.yaml", "_MAX_MS: '1000'", "_MS: '1000'", "FARTHING_QUEUE_MS",
         "reads no such variable"),
        ("s.events.yaml", "classify-requests", "classify-request", "eventRuleFilterPattern",
         "no event of its own source"),
        ("s.events.yaml", "eventSourceType: MNS", "eventSourceType: Kafka", "eventSourceConfig",
         "sourceKafkaParameters"),
        ("s.events.yaml", "    role: acs", "    description: acs", "role", "no role that lets it"),
        ("s.events.yaml", "oss:ObjectCreated:*", "oss:ObjectRemoved:DeleteObject", "events",
         "not there to be read"),
        ("s.events.yaml", "acs:oss:${vars.region}", "acs:oss:eu-central-1", "sourceArn",
         "in eu-central-1"),
        ("s.events.yaml", ")}:/queues/farthing-failed", ")}:/queues/farthing-answers",
         "destinationConfig",
         "to one place"),
        # An index of one's own.
        ("s.index.yaml", "FARTHING_INDEX: /mnt/index", "FARTHING_INDEX: /mnt/indx",
         "FARTHING_INDEX", "where nothing is mounted"),
        ("s.index.yaml", "WRITES: queue", "WRITES: apply", "FARTHING_INDEX_WRITES",
         "every instance would publish"),
        ("s.index.yaml", "        FARTHING_INDEX_WRITES: queue\n", "", "readOnly",
         "the function writes nothing"),
        ("s.index.yaml", "readOnly: false", "readOnly: true", "readOnly",
         "Nothing can be queued or published"),
        ("s.index.yaml", "role/farthing-search", "role/farthing-indexer", "role",
         "Search may do all that the indexer may"),
        ("s.index.yaml", "    reservedConcurrency: 1\n", "    reservedConcurrency: 10\n",
         "reservedConcurrency", "one writer at a time"),
        ("s.index.yaml", "prefix: writes/", "prefix: write/", "triggers",
         "tells of what comes below writes/"),
        ("s.index.yaml", "triggerType: timer", "triggerType: log", "triggers", "No timer makes up"),
        ("s.index.yaml", "        timeout: 900\n".lstrip(), "timeout: 30\n", "timeout",
         "gives indexer 900 s"),
        ("s.index.yaml", "  indexer:\n    component", "  indexr:\n    component", "resources",
         "no resource here is named so"),
        ("s.batch.yaml", "oss://${vars.bucket}/out", "oss://shop/out", "FARTHING_BATCH_OUT",
         "and farthing-bucket is watched"),
        ("s.batch.yaml", "-internal.aliyuncs.com", ".aliyuncs.com", "FARTHING_BATCH_OUT",
         "reached from inside"),
        ("s.batch.yaml", "/out?", "/in?", "FARTHING_BATCH_OUT", "no folder out of a bucket"),
        ("s.batch.yaml", "prefix: in/", "prefix: files/", "triggers", "what comes below in/"),
        ("s.batch.yaml", "prefix: jobs/in/", "prefix: jobs/", "triggers", "below jobs/in/"),
        ("s.batch.yaml", "triggerType: timer", "triggerType: log", "triggers", "No timer calls"),
        ("s.batch.yaml", "@every 15m", "@every 15h", "triggers", "No timer calls it every 5 to 60"),
        ("s.batch.yaml", "@every 15m", "@every 1m", "triggers", "No timer calls it every 5 to 60"),
        ("s.batch.yaml", "enable: true", "enable: false", "triggers", "webhooks that failed"),
        ("s.batch.yaml", "maxAsyncRetryAttempts: 3", "maxAsyncRetryAttempts: 0",
         "maxAsyncRetryAttempts", "nobody goes on with them"),
        ("s.batch.yaml", "role/farthing-requests", "role/farthing-batch", "role",
         "not one that may do all of batch's"),
        ("s.batch.yaml", "  batch:\n    component", "  btch:\n    component", "resources",
         "puts batch on alibaba"),
        ("s.batch.yaml", "BATCH_TASK: classify", "BATCH_TASK: rerank", "FARTHING_BATCH_TASK",
         "would not start"),
        ("s.batch.yaml", "onFailure:", "onFailures:", "onFailures", "takes no such key"),
        ("s.yaml", "      FARTHING_PLATFORM: fc\n",
         "      FARTHING_PLATFORM: fc\n      FARTHING_JOBS: /mnt/jobs\n", "FARTHING_JOBS",
         "nothing here answers them"),
        ("s.index.yaml", "onFailure:", "onFailures:", "onFailures", "takes no such key"),
        ("s.index.yaml", "    role: acs:ram::${config('AccountID')}:role/farthing-indexer\n",
         "    description: x\n", "role", "no role that lets it"),
        ("s.index.yaml", "triggerName: writes\n          triggerType: oss",
         "triggerName: writes\n          triggerType: http", "triggers", "takes no such key"),
        # Reading.
        ("s.yaml", "edition: 3.0.0", "edition: 1.0.0", "edition", "needs 3.0.0"),
        ("s.yaml", "component: fc3", "component: fc", "component", "deployed by fc3"),
        ("s.yaml", "${vars.qualifier}", "${vars.qualifer}", "qualifier", "cannot resolve"),
        ("s.yaml", "name: function", "name: functions", "extend.name", "which there is not"),
        ("s.warm.yaml", "extend: s.yaml", "extend: s.keys.yaml", "extend", "follows one step"),
        ("s.warm.yaml", "extend: s.yaml", "extend: t.yaml", "", "no such file"),
        ("s.yaml", "cpu: 1", "cpu: [1", "line", "no YAML"),
        ("s.yaml", "version: 0.1.0", "version: ${vars.version}", "version", "cannot resolve"),
        ("s.yaml", "  function:\n    region", "  function: 3\n  other:\n    region",
         "template.function", "no map of keys"),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_named_with_its_place(
    checkout: Path, file: str, was: str, becomes: str, at: str, says: str
) -> None:
    change(checkout, file, was, becomes)
    found = findings(checkout)
    named = [it for it in found if says in it]
    assert named, found
    assert all(it.startswith(f"{FOLDER}/") and it.endswith(".") for it in named), named
    assert any(at in it.split(": ", 2)[1] for it in named) or not at, named


@pytest.mark.parametrize(
    ("file", "was", "becomes"),
    [
        ("s.yaml", "ap-southeast-1", "eu-central-1"),
        ("s.yaml", "FARTHING_PLATFORM: fc", "FARTHING_PLATFORM: fc\n      SHOP: '7'"),
        ("s.yaml", "[GET, POST]", "[GET, POST, OPTIONS]"),
        ("s.yaml", "- key: function", "- {key: team, value: shop}\n        - key: function"),
        ("s.yaml", "\nresources:\n", "\nresources:\n  domain:\n    component: fc3-domain\n"),
        ("s.yaml", "reservedConcurrency: 10", "reservedConcurrency: 20"),
        ("s.yaml", "logConfig: auto", f"logConfig: {OWN_LOG}"),
        ("s.yaml", "qualifier: LATEST", "qualifier: live"),
        ("s.yaml", "registry.ap-southeast-1", "registry-vpc.ap-southeast-1"),
        ("s.yaml", "registry.ap-southeast-1", "shop-registry-vpc.ap-southeast-1.cr"),
        ("s.warm.yaml", "maxInstances: 10", "maxInstances: 5"),
        ("s.ledger.yaml", "OUTAGE: closed", "OUTAGE: open"),
        ("s.ledger.yaml", "      # closed", "      FARTHING_REVOKED: 3f9a1c\n      # closed"),
        ("s.index.yaml", "'@every 60m'", "'@every 10m'"),
        ("s.index.yaml", "/mnt/index", "/mnt/shop"),
        ("s.batch.yaml", "BATCH_FORMAT: jsonl", "BATCH_FORMAT: parquet"),
        ("s.batch.yaml", "@every 15m", "@every 5m"),
        ("s.batch.yaml", "BATCH_TASK: classify", "BATCH_TASK: embed"),
        ("s.events.yaml", "'@every 4m'", "'CRON_TZ=Asia/Shanghai 0 */4 8-20 * * *'"),
    ],
)
def test_a_users_own_edit_is_no_finding(checkout: Path, file: str, was: str, becomes: str) -> None:
    change(checkout, file, was, becomes, everywhere=True)
    assert findings(checkout) == []


def test_a_larger_disk_is_no_finding_where_it_is_priced(checkout: Path) -> None:
    change(checkout, "s.yaml", "diskSize: 512", "diskSize: 10240")
    assert any("priced with 512 MB" in it for it in findings(checkout))
    priced = "FARTHING_PLATFORM: fc\n      FARTHING_DISK_MB: '10240'"
    change(checkout, "s.yaml", "FARTHING_PLATFORM: fc", priced)
    assert findings(checkout) == []


def test_memory_may_change_where_every_place_says_so(checkout: Path) -> None:
    change(checkout, "pyproject.toml", "memory_mb = 1024", "memory_mb = 2048", everywhere=True)
    change(checkout, "s.yaml", "memorySize: 1024", "memorySize: 2048")
    change(checkout, "s.yaml", "MEMORY_MB: '1024'", "MEMORY_MB: '2048'")
    assert findings(checkout) == []


def test_a_fault_of_the_base_is_told_once(checkout: Path) -> None:
    change(checkout, "s.yaml", "port: 9000", "port: 9001")
    found = findings(checkout)
    assert len(found) == 1
    assert found[0].startswith(f"{FOLDER}/s.yaml: template.function.customContainerConfig.port: ")


def test_a_missing_file_is_a_finding(checkout: Path) -> None:
    (checkout / FOLDER / "s.warm.yaml").unlink()
    assert findings(checkout) == [
        f"{FOLDER}/s.warm.yaml: It cannot be read: There is no such file. Restore it."
    ]


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("<Prefix>archive/</Prefix>", "<Prefix>archives/</Prefix>", "below archive/ goes to cold"),
        ("<StorageClass>DeepColdArchive", "<StorageClass>IA", "below archive/ goes to cold"),
        ("<NoncurrentDays>30<", "<NoncurrentDays><", "replaced versions go to cold archive"),
        ("<NoncurrentDays>365<", "<NoncurrentDays>90<", "180 days later or more"),
        ("<Days>1</Days>", "<Days>100</Days>", "never ended are aborted"),
        ("<Status>Enabled</Status>", "<Status>Disabled</Status>", "below archive/ goes to cold"),
        ("</LifecycleConfiguration>", "", "no XML"),
    ],
)
def test_a_mistake_in_the_buckets_rules_is_named(
    checkout: Path, was: str, becomes: str, says: str
) -> None:
    change(checkout, "oss-lifecycle.xml", was, becomes)
    assert any(says in it for it in findings(checkout)), findings(checkout)


def test_a_project_without_functions_there_needs_no_resources(checkout: Path) -> None:
    for _ in range(4):
        change(checkout, "pyproject.toml", '"aws", "alibaba", "knative"', '"aws", "knative"')
    assert all("does not put on alibaba" in it for it in findings(checkout))
