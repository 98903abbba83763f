"""Parameters: what each takes, refuses, and is when nobody says."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.deployment.aws.stack import HOURS, PLANS
from farthing.deployment.aws.wanted import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.deployment.findings import Finding

TYPES = ("String", "Number", "CommaDelimitedList")
KEYS = {
    "Type", "Default", "AllowedValues", "AllowedPattern", "ConstraintDescription", "Description",
    "MaxLength", "MinLength", "MaxValue", "MinValue", "NoEcho",
}  # fmt: skip


class Parameter(NamedTuple):
    """`default` None: any that the parameter itself takes."""

    default: Any
    takes: tuple[Any, ...]
    refuses: tuple[Any, ...]
    why: str


# Lambda takes 4 KB of variables together.
TOO_LONG = "x" * 4000
SWITCH = Parameter("off", ("off", "on"), ("yes",), "it is off unless someone asks for it")
PARAMETERS = {
    "Profile": Parameter("zero", ("zero", "warm", "cpu"), ("hot",), "nothing runs unless asked"),
    "Access": Parameter("iam", ("iam", "keys"), ("none",), "AWS authenticates unless told not to"),
    "KeysSecret": Parameter(None, ("farthing/keys",), (), "keys are read from it"),
    "RevokedKeys": Parameter(
        "",
        ("", "3f9a1c", "3f9a1c,77b0e2"),
        (TOO_LONG,),
        "no key is revoked unasked, and a list fits",
    ),
    "Billing": SWITCH,
    "BudgetOutage": Parameter(
        "closed", ("closed", "open"), ("yes",), "no call is answered that no budget was asked for"
    ),
    "Plans": Parameter(
        "", ("", PLANS), (TOO_LONG,), "tenants pay cost unless a plan that fits says so"
    ),
    "SigningKeySecret": Parameter(None, ("farthing/signing-key",), (), "receipts are signed by it"),
    "Index": Parameter(
        "sample", ("sample", "bucket"), ("none",), "no bucket is made, and kept, unless asked for"
    ),
    "IndexDiskMb": Parameter(
        512, (512, 10_240), (511, 20_480), "512 MB are free, and 10,240 what Lambda gives"
    ),
    # Deep Archive bills 180 days at least, and what was replaced is deleted after 365.
    "ArchiveAfterDays": Parameter(
        None, (1, 180), (0, 365), "what is archived must have half a year until it is deleted"
    ),
    "Batch": SWITCH,
    "BatchTask": Parameter(None, ("classify", "embed"), ("rerank",), "a job does one of these"),
    "BatchText": Parameter(None, ("text", "title"), ("",), "a row's text is in a named column"),
    "BatchId": Parameter("", ("", "id"), (), "rows are counted where no column is named"),
    "BatchFormat": Parameter(None, ("jsonl", "parquet"), ("csv",), "results are one of these"),
    "JobsKeptDays": Parameter(None, (1, 30), (0,), "an answer must be there to be fetched"),
    "WebhookSecret": Parameter("", ("", "farthing/webhooks"), (), "none is sent unless signed"),
    "Cache": Parameter(
        "memory",
        ("off", "memory", "dynamodb", "redis"),
        ("elasticache",),
        "what costs nothing is kept unasked, and nothing else",
    ),
    "CacheUrlSecret": Parameter(None, ("farthing/cache",), (), "the address is read from it"),
    "KeepWarm": SWITCH,
    # The target must have room to rise to ten.
    "WarmEnvironments": Parameter(1, (1, 9), (0, 11), "one is ready, and the target may rise"),
    "WarmFrom": Parameter(
        "", ("", HOURS["WarmFrom"]), ("7:30", "rate(5 minutes)"), "a day begins at an hour"
    ),
    "WarmUntil": Parameter(
        "", ("", HOURS["WarmUntil"]), ("19:00", "rate(5 minutes)"), "a day ends at an hour"
    ),
    "WarmTimezone": Parameter(
        None,
        ("Etc/UTC", "Europe/London", "America/Argentina/Ushuaia"),
        ("",),
        "an hour has a place",
    ),
    "HttpApi": SWITCH,
    "SnapStart": SWITCH,
    "Tracing": SWITCH,
    "ReservedConcurrency": Parameter(
        "", ("", "1", "50"), ("0", "many"), "an account with a small quota refuses any"
    ),
    "LogRetentionDays": Parameter(None, (7, 30, 365), (0, 31), "CloudWatch takes certain days"),
    "SpendPerMinuteUsd": Parameter(None, (0.01, 1), (0, -1), "it is a limit"),
    "MonthlyBudgetUsd": Parameter(None, (20, 500), (0, -1), "it is a limit"),
    "AlarmEmail": Parameter("", ("", "operator@example.org"), (), "nobody is told unless named"),
    "SubnetIds": Parameter("", ("", "subnet-1,subnet-2"), (), "nothing has a network unasked"),
    "SecurityGroupIds": Parameter("", ("", "sg-1"), (), "nothing has a network unasked"),
    # Three zones with the smallest instance that is allowed: 3 times 4 vCPU.
    "MaxVCpuCount": Parameter(12, (12, 48), (2,), "instances of four vCPU stand in three zones"),
}
MINUTES_PER_HOUR = 60
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTION_DAYS = {
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
}  # fmt: skip


def check_parameters(template: dict[str, Any]) -> Iterator[Finding]:
    declared = template.get("Parameters", {})
    for name in PARAMETERS.keys() - declared.keys():
        yield missing("Parameters", f"There is no parameter {name}.", "Restore it.")
    for name, it in declared.items():
        at = f"Parameters.{name}"
        if it.get("Type") not in TYPES:
            yield missing(f"{at}.Type", f"It is {it.get('Type')}.", f"Use {' or '.join(TYPES)}.")
        for key in it.keys() - KEYS:
            yield missing(f"{at}.{key}", "A parameter has no such key.", "Correct its name.")
        if "Default" not in it or not takes(it, it["Default"]):
            yield missing(
                f"{at}.Default",
                f"Its default, {it.get('Default')!r}, is not one that it takes.",
                "Correct the default, or what is allowed.",
            )
        if name in PARAMETERS:
            yield from _held(at, it, PARAMETERS[name])
    yield from _limits(declared)


def takes(parameter: Mapping[str, Any], value: Any) -> bool:
    """Whether CloudFormation would accept the value for that parameter."""
    if parameter.get("Type") == "Number":
        try:
            amount = float(value)
        except (TypeError, ValueError):
            return False
        least, most = (number(parameter.get(key), amount) for key in ("MinValue", "MaxValue"))
        if not least <= amount <= most:
            return False
    shortest, longest = (
        number(parameter.get("MinLength")),
        number(parameter.get("MaxLength"), math.inf),
    )
    if not shortest <= len(str(value)) <= longest:
        return False
    allowed = parameter.get("AllowedValues")
    if allowed is not None and str(value) not in map(str, allowed):
        return False
    pattern = parameter.get("AllowedPattern")
    try:
        return pattern is None or re.fullmatch(str(pattern), str(value)) is not None
    except re.error:
        return False


def _held(at: str, declared: Mapping[str, Any], wanted: Parameter) -> Iterator[Finding]:
    if wanted.default is not None and declared.get("Default") != wanted.default:
        yield missing(
            f"{at}.Default",
            f"It is {declared.get('Default')!r}, but {wanted.why}.",
            f"Make it {wanted.default!r}.",
        )
    for value in wanted.takes:
        if not takes(declared, value):
            yield missing(at, f"It does not take {value!r}: {wanted.why}.", "Allow it.")
    for value in wanted.refuses:
        if takes(declared, value):
            yield missing(at, f"It takes {value!r}: {wanted.why}.", "Refuse it.")


def _limits(declared: Mapping[str, Any]) -> Iterator[Finding]:
    days = declared.get("LogRetentionDays", {}).get("AllowedValues") or []
    if unknown := set(days) - RETENTION_DAYS:
        yield missing(
            "Parameters.LogRetentionDays.AllowedValues",
            f"CloudWatch does not keep logs for {', '.join(map(str, unknown))} days.",
            "Take those out.",
        )
    if set(PARAMETERS) <= declared.keys():
        minute, month = (
            declared[name].get("Default") for name in ("SpendPerMinuteUsd", "MonthlyBudgetUsd")
        )
        if number(minute) * MINUTES_PER_HOUR > number(month):
            yield missing(
                "Parameters.SpendPerMinuteUsd.Default",
                f"An hour at {minute} USD a minute is more than the month's {month} USD.",
                "Lower it, or raise MonthlyBudgetUsd.",
            )


def number(value: Any, otherwise: float = 0.0) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return otherwise
