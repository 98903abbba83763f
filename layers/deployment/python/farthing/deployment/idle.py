"""What each platform's profiles hold, and what they cost while nobody calls.

Two rules are asked of every platform: go to zero, and scale at 70 % CPU. None holds both at once,
so each declares profiles, and this table says which profile holds which. Amounts are the shipped
files' own floors at the price book's list prices, for a month of 730 hours, without free tiers.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.prices import read_price_book
from farthing.deployment.alibaba.stack import read_stack
from farthing.deployment.aws.conditions import active_resources
from farthing.deployment.documents import Unreadable, read_documents
from farthing.deployment.knative.overlay import annotations_of
from farthing.deployment.knative.render import overlay_names, render, renderer
from farthing.deployment.project import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.billing.prices import PriceBook
    from farthing.deployment.project import Project

HOURS = Decimal(730)
SECONDS = HOURS * 3600
MB_PER_GB = Decimal(1024)
FREE_DISK_MB = 512
BY_PROXY = "by proxy: calls in flight at 70 % of one a core"
AUTOSCALING = "autoscaling.knative.dev"


class Profile(msgspec.Struct, frozen=True):
    """`zero` and `cpu` say whether the rule holds or why not; `idle` what the amount is."""

    cloud: str
    name: str
    zero: str
    cpu: str
    idle_usd_month: Decimal
    idle: str

    def as_json(self) -> dict[str, str]:
        return {
            "platform": self.cloud,
            "profile": self.name,
            "goes_to_zero": self.zero,
            "cpu_70_percent": self.cpu,
            "idle_usd_month": f"{self.idle_usd_month:.2f}",
            "idle": self.idle,
        }


def profiles(project: Project) -> list[Profile]:
    """Every profile that the shipped files declare and that could be read."""
    book = read_price_book()
    found: list[Profile] = []
    for cloud in (_aws, _alibaba, _knative):
        try:
            found += cloud(project, book)
        except (Unreadable, ProjectError, KeyError, TypeError, ValueError):
            # The checks have said what is wrong with these files.
            continue
    return found


def _aws(project: Project, book: PriceBook) -> Iterator[Profile]:
    template = read_documents(project, "template.yaml")[0]
    config = tomllib.loads((project.root / "samconfig.toml").read_text(encoding="utf-8"))
    for name in ("zero", "warm", "cpu"):
        deploy = config[name]["deploy"]["parameters"]
        overrides = dict(pair.split("=", 1) for pair in deploy["parameter_overrides"])
        yield _aws_profile(name, deploy["region"], active_resources(template, overrides), book)


def _aws_profile(
    name: str, region: str, resources: Mapping[str, Mapping[str, Any]], book: PriceBook
) -> Profile:
    def of(kind: str) -> list[Mapping[str, Any]]:
        return [it["Properties"] for it in resources.values() if it["Type"] == kind]

    metrics = sum(
        len([metric for metric in it.get("Metrics", ()) if "MetricStat" in metric]) or 1
        for it in of("AWS::CloudWatch::Alarm")
    )
    alarms_usd = metrics * book.price("cloudwatch.alarm", region).rate
    parts = [f"{metrics} alarm metrics {alarms_usd:.2f}"]
    usd = alarms_usd
    zero, cpu = "yes", "no: Lambda on demand has no CPU rule"
    held_gb = sum(
        it["MemorySize"] * _provisioned(it) / MB_PER_GB
        for it in of("AWS::Serverless::Function")
        if _provisioned(it)
    )
    if held_gb:
        held_usd = held_gb * SECONDS * book.price("lambda.provisioned.x86_64", region).rate
        parts.append(f"{held_gb:g} GB provisioned {held_usd:.2f}")
        usd += held_usd
        zero = "no: one environment stands ready"
        cpu = "no: holds 70 % of provisioned concurrency"
    for provider in of("AWS::Serverless::CapacityProvider"):
        kind = provider["InstanceRequirements"]["AllowedTypes"][0]
        floors = [
            it["FunctionScalingConfig"]["MinExecutionEnvironments"]
            for it in of("AWS::Serverless::Function")
            if "CapacityProviderConfig" in it
        ]
        # One environment a zone, and functions of one provider share its instances.
        count = max(floors)
        hour_usd = sum(
            book.price(f"lambda.{part}.{kind}", region).rate
            for part in ("managed_instance", "managed_fee")
        )
        standing_usd = count * HOURS * hour_usd
        parts.append(f"{count} {kind} with their fee {standing_usd:.2f}")
        usd += standing_usd
        zero = "no: one instance a zone stands ready"
        cpu = f"yes, {provider['ScalingConfig']['AverageCPUUtilization']} %"
    return Profile("AWS Lambda", name, zero, cpu, usd, ", ".join(parts))


def _provisioned(properties: Mapping[str, Any]) -> int:
    config = properties.get("ProvisionedConcurrencyConfig") or {}
    return int(config.get("ProvisionedConcurrentExecutions", 0))


def _alibaba(project: Project, book: PriceBook) -> Iterator[Profile]:
    for name, file in (("zero", "infra/alibaba/s.yaml"), ("warm", "infra/alibaba/s.warm.yaml")):
        usd, floor = Decimal(0), 0
        targets = set()
        for resource in read_stack(project, file).resources.values():
            props = resource.props
            region = props["environmentVariables"]["FARTHING_REGION"]
            cu = book.price("fc.cu", region).rate
            scaling = props["scalingConfig"]
            disk_mb = max(0, props["diskSize"] - FREE_DISK_MB)
            cu_per_s = (
                book.price("fc.factor.memory", region).rate * props["memorySize"]
                + book.price("fc.factor.disk", region).rate * disk_mb
            ) / MB_PER_GB
            floor += scaling["minInstances"]
            usd += scaling["minInstances"] * cu_per_s * cu * SECONDS
            targets |= {it["metricTarget"] for it in scaling.get("horizontalScalingPolicies", ())}
        yield Profile(
            "Function Compute",
            name,
            "no: instances stand by" if floor else "yes",
            f"yes, the floor moves at {max(targets) * 100:g} %"
            if targets
            else "no: instances come with the calls",
            usd,
            f"{floor} idle instances: memory, no vCPU" if floor else "no instance",
        )


def _knative(project: Project, book: PriceBook) -> Iterator[Profile]:
    command = renderer()
    for name in overlay_names(project) if command else ():
        overlay = render(project, name, command or [])
        usd, floor, cpu = Decimal(0), 0, set()
        for function, service in overlay.services():
            notes = annotations_of(service, "spec.template.metadata")
            least = int(notes.get(f"{AUTOSCALING}/min-scale", "0"))
            environment = {
                it["name"]: it.get("value")
                for it in service["spec"]["template"]["spec"]["containers"][0]["env"]
            }
            node = environment["FARTHING_NODE"]
            region = environment.get("FARTHING_REGION", "us-east-1")
            size = project.function(function)
            floor += least
            usd += (
                least
                * SECONDS
                * (
                    book.price(f"knative.vcpu.{node}", region).rate * size.vcpu_milli / 1000
                    + book.price(f"knative.memory.{node}", region).rate * size.memory_mb / MB_PER_GB
                )
            )
            is_hpa = notes.get(f"{AUTOSCALING}/class", "").startswith("hpa.")
            cpu.add(f"yes, {notes.get(f'{AUTOSCALING}/target')} %" if is_hpa else BY_PROXY)
        workers = len(overlay.of("ScaledObject"))
        yield Profile(
            "Knative",
            name,
            "no: a pod of each stands ready" if floor else "yes",
            ", ".join(sorted(cpu)) + (", queue workers literally" if workers else ""),
            usd,
            (f"{floor} pods' share of a node" if floor else "no pod") + "; your cluster is extra",
        )
