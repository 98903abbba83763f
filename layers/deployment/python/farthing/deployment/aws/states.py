"""The state machine that hands out a job's shards, and its definition in Amazon's states language.

The language's own specification: https://states-language.net/spec.html; the Distributed Map:
https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html (2026-08).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.definition import broken
from farthing.deployment.aws.names import (
    ALARM,
    ALARM_TOPIC,
    BATCH,
    BATCH_BUCKET,
    PLACE,
    STATE_MACHINE,
    alias_arn,
    deployed,
)
from farthing.deployment.aws.roles import ROLE, SAMPLING, TRACING, granted_by, is_role_of
from farthing.deployment.aws.wanted import (
    Rule,
    between,
    containing,
    exactly,
    hold,
    missing,
    one_of,
    show,
)
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.project import Project

DEFINITION = "infra/aws/batch.asl.json"
MACHINE = f"arn:aws:states:{PLACE}:stateMachine:{deployed(BATCH)}"
EXECUTIONS = f"arn:aws:states:{PLACE}:execution:{deployed(BATCH)}"
QUARTER_S, HOUR_S = 900, 3600


def check_definition(project: Project) -> Iterator[Finding]:
    """Findings in the definition; nothing where no function is called by it."""
    if BATCH not in project.on("aws"):
        return
    try:
        definition = json.loads((project.root / DEFINITION).read_text(encoding="utf-8"))
    except OSError:
        yield Finding(DEFINITION, "", "There is no such file.", "Restore it.")
        return
    except ValueError as error:
        yield Finding(DEFINITION, "", f"It is no JSON: {error}.", "Correct it.")
        return
    for at, says, do in broken(definition, project.functions[BATCH].timeout_s):
        yield Finding(DEFINITION, at, says, do)


def check_states(stack: Stack) -> Iterator[Finding]:
    """The state machine, what it may do, and who hears of it when it fails."""
    if not stack.with_batch:
        return
    machines = stack.of(STATE_MACHINE)
    if len(machines) != 1:
        says = f"Batch is on, and there are {len(machines)} state machines."
        yield missing("Resources", says, f"Keep one {STATE_MACHINE}.")
        return
    traced = stack.chosen.get("Tracing") == "on"
    yield from hold(machines[0], _machine(traced=traced))
    yield from _rights(stack, machines[0], traced=traced)
    yield from _alarm(stack)


def _machine(*, traced: bool) -> Iterator[Rule]:
    yield Rule("Name", exactly(deployed(BATCH)), "its role and its function know it by that name")
    yield Rule("Type", exactly("STANDARD"), "only such a one runs a Distributed Map")
    yield Rule("DefinitionUri", exactly(DEFINITION), "that is the definition there is")
    yield Rule(
        "DefinitionSubstitutions",
        exactly({"Bucket": BATCH_BUCKET, "Function": alias_arn(BATCH)}),
        "the definition calls the alias of batch, and writes to its bucket",
    )
    yield Rule("Tracing.Enabled", exactly(traced), "it is traced where the functions are")


def _rights(stack: Stack, machine: Resource, *, traced: bool) -> Iterator[Finding]:
    role = next((it for it in stack.of(ROLE) if is_role_of(machine, it)), None)
    if role is None:
        says = "It is no role of this template, so SAM would make one."
        yield missing(f"Resources.{machine.id}.Role", says, "Refer to one with narrow statements.")
        return
    bucket = f"arn:aws:s3:::{BATCH_BUCKET}"
    needs = {
        ("lambda:InvokeFunction", alias_arn(BATCH)),
        ("s3:GetObject", f"{bucket}/out/*"),
        *(
            (f"s3:{it}", f"{bucket}/map/*")
            for it in ("AbortMultipartUpload", "GetObject", "ListMultipartUploadParts", "PutObject")
        ),
        ("states:StartExecution", MACHINE),
        ("states:DescribeExecution", f"{EXECUTIONS}:*"),
        ("states:StopExecution", f"{EXECUTIONS}:*"),
        ("states:RedriveExecution", f"{EXECUTIONS}/shards:*"),
    }
    if traced:
        needs |= {(action, "*") for action in (*TRACING, *SAMPLING)}
    has = granted_by(role)
    for action, resource in sorted(has - needs):
        says = f"The state machine may {action} on {show(resource)}, which it has no use for."
        yield missing(f"Resources.{role.id}", says, "Take it away.")
    for action, resource in sorted(needs - has):
        says = f"It does not allow {action} on {show(resource)}, which {machine.id} needs."
        yield missing(f"Resources.{role.id}", says, "Allow it in a statement of its own.")


def _alarm(stack: Stack) -> Iterator[Finding]:
    dimensions = [{"Name": "StateMachineArn", "Value": MACHINE}]
    watched = {"Namespace": "AWS/States", "MetricName": "ExecutionsFailed"}
    alarm = stack.one(ALARM, **watched, Dimensions=dimensions)
    if alarm is None:
        says = "No alarm says that a job's shards were not all done."
        yield missing("Resources", says, "Add one on AWS/States ExecutionsFailed.")
        return
    yield from hold(alarm, _timely())


def _timely() -> Iterator[Rule]:
    late: dict[str, Any] = {
        "Statistic": exactly("Sum"),
        "Threshold": exactly(0),
        "Period": one_of(60, 300, QUARTER_S, HOUR_S),
        "EvaluationPeriods": between(1, 4),
        "ComparisonOperator": exactly("GreaterThanThreshold"),
        "TreatMissingData": exactly("notBreaching"),
        "AlarmActions": containing(ALARM_TOPIC),
        "ActionsEnabled": one_of(None, True),
    }
    for path, wanted in late.items():
        yield Rule(path, wanted, "nobody would hear in time of a job that stands still")
