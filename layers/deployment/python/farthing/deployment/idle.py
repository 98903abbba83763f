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
from farthing.billing.quantities import FREE_DISK_MB, MB_PER_GB
from farthing.deployment.alibaba.stack import read_stack
from farthing.deployment.aws.names import FUNCTION, INDEXER, SETTLE, deployed
from farthing.deployment.aws.stack import REGION, make_stack, read_template
from farthing.deployment.aws.standing import (
    HOURS_PER_MONTH,
    INSTANCES_MIN,
    RUN_MS,
    SCHEDULED,
    runs_usd,
    standing_usd,
)
from farthing.deployment.documents import Unreadable
from farthing.deployment.knative.batch import BATCH, is_for_jobs
from farthing.deployment.knative.cache import is_cache
from farthing.deployment.knative.environment import DEFAULT_NODE
from farthing.deployment.knative.hours import kept_hours_per_week
from farthing.deployment.knative.jobs import runs_per_hour
from farthing.deployment.knative.overlay import annotations_of, dig, name_of
from farthing.deployment.knative.quantities import cpu_milli, memory_mb
from farthing.deployment.knative.render import overlay_names, render, renderer
from farthing.errors import FarthingError, PriceMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.billing.prices import PriceBook
    from farthing.deployment.aws.stack import Stack
    from farthing.deployment.knative.overlay import Overlay
    from farthing.deployment.project import Project

SECONDS_PER_MONTH = Decimal(HOURS_PER_MONTH * 3600)
HOURS_PER_WEEK = 7 * 24
NO_RULE = "no"
BY_PROXY = "by calls in flight"
BY_CONCURRENCY = "of concurrency"
# A ledger, an index in a bucket, or batch jobs add the same to each of AWS's profiles, and each is
# shown for one; pings belong to that one alone.
OPTIONS = ({"Billing": "on"}, {"Index": "bucket"}, {"Batch": "on"}, {"KeepWarm": "on"})
AUTOSCALING = "autoscaling.knative.dev"


class Profile(msgspec.Struct, frozen=True):
    """`zero` and `cpu` say which of the two rules holds; `idle` what the amount is made of."""

    cloud: str
    name: str
    zero: str
    cpu: str
    idle_usd_month: Decimal | None
    idle: str

    @property
    def usd(self) -> str:
        """The amount to cents; a dash where the price book has no price for the region."""
        return "-" if self.idle_usd_month is None else f"{self.idle_usd_month:.2f}"

    def as_json(self) -> dict[str, str]:
        return {
            "platform": self.cloud,
            "profile": self.name,
            "goes_to_zero": self.zero,
            "cpu_70_percent": self.cpu,
            "idle_usd_month": self.usd,
            "idle": self.idle,
        }


def profiles(project: Project) -> list[Profile]:
    """Every profile that the shipped files declare and that could be read."""
    book = read_price_book()
    found: list[Profile] = []
    for cloud in (_aws, _alibaba, _knative):
        try:
            found += cloud(project, book)
        except (Unreadable, FarthingError, OSError, KeyError, TypeError, ValueError):
            # The checks have said what is wrong with these files.
            continue
    return found


def _aws(project: Project, book: PriceBook) -> Iterator[Profile]:
    template = read_template(project)
    config = tomllib.loads((project.root / "samconfig.toml").read_text(encoding="utf-8"))
    for name, option in (
        ("zero", {}), *(("zero", it) for it in OPTIONS), ("warm", {}), ("cpu", {}),
    ):  # fmt: skip
        deploy = config[name]["deploy"]["parameters"]
        chosen = dict(pair.split("=", 1) for pair in deploy["parameter_overrides"])
        region = deploy["region"]
        stack = make_stack(template, {**chosen, **option}, region)
        named = ", ".join([name, *(f"{key}={it}" for key, it in option.items())])
        try:
            yield _aws_profile(named, stack, book, region)
        except PriceMissing:
            rules = _aws_profile(named, stack, book, REGION)
            unpriced = f"no price in {region}"
            yield msgspec.structs.replace(rules, idle_usd_month=None, idle=unpriced)


def _aws_profile(name: str, stack: Stack, book: PriceBook, region: str) -> Profile:
    metrics = sum(
        len([it for it in alarm.get("Metrics") or () if "MetricStat" in it]) or 1
        for alarm in stack.of("AWS::CloudWatch::Alarm")
    )
    alarms_usd = metrics * book.price("cloudwatch.alarm", region).rate
    called = (str(it.get("FunctionName")).removeprefix(deployed("")) for it in stack.of(FUNCTION))
    runs = {name: runs_usd(stack, name, book, region) for name in called}
    pings_usd = sum(usd for name, usd in runs.items() if name not in SCHEDULED)
    standing = standing_usd(stack, book, region) - sum(runs.values())
    parts = [f"{metrics} alarm metrics {alarms_usd:.2f}"]
    zero, cpu = "yes", NO_RULE
    if stack.of("AWS::Serverless::CapacityProvider"):
        (provider,) = stack.of("AWS::Serverless::CapacityProvider")
        parts.append(f"{INSTANCES_MIN} instances with their fee {standing:.2f}")
        zero = "no"
        cpu = f"yes, {provider.get('ScalingConfig.AverageCPUUtilization')} %"
    elif standing:
        parts.append(f"provisioned concurrency {standing:.2f}")
        zero, cpu = "no", BY_CONCURRENCY
    parts += [f"runs of {it} {runs[it]:.2f}" for it in SCHEDULED if runs.get(it)]
    if pings_usd:
        parts.append(f"pings {pings_usd:.2f}")
    if runs.get(SETTLE):
        parts.append("and a secret that the book has no price of")
    if runs.get(INDEXER):
        parts.append("and the gigabytes of the index")
    if stack.with_batch:
        parts.append("and polls of an empty queue, most months within SQS's free million")
    usd = alarms_usd + standing + sum(runs.values())
    return Profile("AWS Lambda", name, zero, cpu, usd, ", ".join(parts))


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
            usd += scaling["minInstances"] * cu_per_s * cu * SECONDS_PER_MONTH
            targets |= {it["metricTarget"] for it in scaling.get("horizontalScalingPolicies", ())}
        yield Profile(
            "Function Compute",
            name,
            "no" if floor else "yes",
            f"yes, {max(targets) * 100:g} %" if targets else NO_RULE,
            usd,
            f"{floor} idle instances, memory alone" if floor else "nothing",
        )


def _knative(project: Project, book: PriceBook) -> Iterator[Profile]:
    command = renderer()
    for name in overlay_names(project) if command else ():
        yield _knative_profile(project, render(project, name, command or []), book)


def _knative_profile(project: Project, overlay: Overlay, book: PriceBook) -> Profile:
    usd, floor, kept_hours, cpu = Decimal(0), 0, 0, set()
    for function, service in overlay.services():
        notes = annotations_of(service, "spec.template.metadata")
        least = int(notes.get(f"{AUTOSCALING}/min-scale", "0"))
        hours = kept_hours_per_week(overlay, function)
        kept_hours = max(kept_hours, hours)
        environment = {
            it["name"]: it.get("value")
            for it in service["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        node = environment["FARTHING_NODE"]
        region = environment.get("FARTHING_REGION", "us-east-1")
        size = project.function(function)
        floor += least
        usd += (
            (least or Decimal(hours) / HOURS_PER_WEEK)
            * SECONDS_PER_MONTH
            * (
                book.price(f"knative.vcpu.{node}", region).rate * size.vcpu_milli / 1000
                + book.price(f"knative.memory.{node}", region).rate * size.memory_mb / MB_PER_GB
            )
        )
        is_hpa = notes.get(f"{AUTOSCALING}/class", "").startswith("hpa.")
        cpu.add(f"yes, {notes.get(f'{AUTOSCALING}/target')} %" if is_hpa else BY_PROXY)
    pods, zero = (f"{floor} pods' share of a node", "no") if floor else ("no pod", "yes")
    if kept_hours and not floor:
        pods, zero = "pods in those hours", f"outside {kept_hours} hours a week"
    parts = {pods: usd, **_beside(overlay, book)}
    workers = len(overlay.of("ScaledObject"))
    return Profile(
        "Knative",
        overlay.name,
        zero,
        ", ".join(sorted(cpu)) + ("; workers yes" if workers else ""),
        sum(parts.values(), Decimal(0)),
        ", ".join([pods, *(f"{it} {parts[it]:.2f}" for it in sorted(parts) if it != pods)]),
    )


def _beside(overlay: Overlay, book: PriceBook) -> dict[str, Decimal]:
    """What a month of a clock's runs costs that find nothing, and of a cache that nobody asks."""
    clocks = [(name_of(it), it) for it in overlay.of("CronJob")]
    clocks += [(BATCH, it) for it in overlay.of("PingSource") if is_for_jobs(it)]
    found = {f"runs of {name}": _runs_usd(overlay, it, name, book) for name, it in clocks}
    for deployment in filter(is_cache, overlay.of("Deployment")):
        found["the cache"] = SECONDS_PER_MONTH * _share_usd(deployment, book)
    return found


def _share_usd(deployment: dict[str, Any], book: PriceBook) -> Decimal:
    """A second of one pod's share of the default node."""
    asked = dig(deployment, "spec.template.spec.containers.0.resources.requests")
    vcpu, memory = (book.price(f"knative.{it}.{DEFAULT_NODE}", REGION) for it in ("vcpu", "memory"))
    milli, mb = cpu_milli(asked["cpu"]), memory_mb(asked["memory"])
    return (vcpu.rate * Decimal(milli or 0)) / 1000 + memory.rate * Decimal(mb or 0) / MB_PER_GB


def _runs_usd(overlay: Overlay, clock: dict[str, Any], name: str, book: PriceBook) -> Decimal:
    """A month of runs of a job that find nothing: its pods' share of the default node."""
    size = overlay.jobs[name]
    seconds = Decimal(runs_per_hour(clock) * HOURS_PER_MONTH * RUN_MS) / 1000
    return seconds * (
        book.price(f"knative.vcpu.{DEFAULT_NODE}", REGION).rate * size.vcpu_milli / 1000
        + book.price(f"knative.memory.{DEFAULT_NODE}", REGION).rate * size.memory_mb / MB_PER_GB
    )
