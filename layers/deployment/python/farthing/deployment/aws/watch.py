"""Watching: logs that end, alarms on what is called, and failures that somebody hears of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farthing.deployment.aws.names import (
    ALARM,
    ALARM_TOPIC,
    ALIAS,
    BATCH,
    BUDGET_TOPIC,
    FUNCTION,
    INDEXER,
    LOG_GROUP,
    PLACE,
    QUEUE,
    SETTLE,
    deployed,
    serving,
)
from farthing.deployment.aws.wanted import (
    Rule,
    Wanted,
    between,
    containing,
    exactly,
    hold,
    missing,
    one_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Project

# The longest that SQS keeps a message.
FOURTEEN_DAYS_S = 14 * 24 * 3600
LATEST_WORD_S = 900
TOLD_WITHIN_S = 3600
ABOVE = exactly("GreaterThanThreshold")
MINUTES = re.compile(r"(\d+)Minutes?$")


def check_watch(project: Project, stack: Stack) -> Iterator[Finding]:
    for group in stack.of(LOG_GROUP):
        days = stack.parameters.get("LogRetentionDays")
        why = "without the parameter's days logs are kept, and billed, for ever"
        yield from hold(group, [Rule("RetentionInDays", exactly(days), why)])
        writers = [
            it
            for it in stack.of(FUNCTION)
            if it.get("LoggingConfig.LogGroup") == group.get("LogGroupName")
        ]
        if not writers:
            yield missing(
                f"Resources.{group.id}",
                f"No function writes to it with Profile {stack.profile}.",
                "Refer to it from its function, and give it the function's condition.",
            )
    for name in serving(project):
        yield from _function_alarms(stack, name, project.functions[name].timeout_s)
    for name, parameter, is_there in (
        (SETTLE, "Billing", stack.with_billing),
        (INDEXER, "Index", stack.with_bucket),
        (BATCH, "Batch", stack.with_batch),
    ):
        if is_there:
            yield from _scheduled(stack, name)
        elif (alarm := _alarm_on(stack, name, "Errors")) is not None:
            says = (
                f"{parameter} is {stack.parameters.get(parameter)}, so there is no {name}, and an "
                "alarm costs by the month."
            )
            do = f"Give it the condition of {parameter}."
            yield missing(f"Resources.{alarm.id}.Condition", says, do)
    yield from _queues(stack)
    yield from _mail(stack)


def _function_alarms(stack: Stack, name: str, timeout_s: int) -> Iterator[Finding]:
    wanted: dict[str, list[Rule]] = {
        "Errors": [
            Rule("Statistic", exactly("Sum"), "errors are counted"),
            Rule("Threshold", exactly(0), "one failing call is already wrong"),
        ],
        "Duration": [
            Rule("ExtendedStatistic", one_of("p99", "p99.9"), "it is the slowest that matter"),
            Rule(
                "Threshold",
                between(1, timeout_s * 1000 - 1),
                f"a call ends after {timeout_s} s, in milliseconds",
            ),
        ],
    }
    function = stack.function(name)
    window_s = _first_window_s(function)
    for metric, rules in wanted.items():
        alarm = _alarm_on(stack, name, metric)
        if alarm is None:
            yield missing(
                "Resources",
                f"No alarm watches {metric} of the alias {ALIAS} of {name}.",
                f"Add one on AWS/Lambda {metric}, with the dimensions FunctionName and Resource.",
            )
            continue
        yield from hold(alarm, [*rules, *_timely(alarm, window_s)])
        stopped_by = function.get("DeploymentPreference.Alarms") if function else None
        if function and stack.profile != "cpu" and alarm.id not in (stopped_by or []):
            yield missing(
                f"Resources.{function.id}.DeploymentPreference.Alarms",
                f"{alarm.id} does not stop a new version that sets it off.",
                "Name it there.",
            )


def _scheduled(stack: Stack, name: str) -> Iterator[Finding]:
    """An alarm on what a clock calls has the time between two runs, and stops no deployment."""
    alarm = _alarm_on(stack, name, "Errors")
    if alarm is None:
        yield missing(
            "Resources",
            f"No alarm watches Errors of the alias {ALIAS} of {name}.",
            "Add one on AWS/Lambda Errors, with the dimensions FunctionName and Resource.",
        )
        return
    yield from hold(alarm, _timely(alarm, TOLD_WITHIN_S))
    yield from hold(
        alarm,
        [
            Rule("Statistic", exactly("Sum"), "errors are counted"),
            Rule("Threshold", exactly(0), "one failing run is already wrong"),
        ],
    )


def _alarm_on(stack: Stack, name: str, metric: str) -> Resource | None:
    for it in stack.of(ALARM):
        places = {str(d.get("Name")): d.get("Value") for d in it.get("Dimensions") or []}
        watched = {"FunctionName": deployed(name), "Resource": f"{deployed(name)}:{ALIAS}"}
        if (it.get("Namespace"), it.get("MetricName"), places) == ("AWS/Lambda", metric, watched):
            return it
    return None


def _timely(alarm: Resource, within_s: int) -> Iterator[Rule]:
    periods = alarm.get("EvaluationPeriods")
    count = periods if isinstance(periods, int) and periods > 0 else 1
    yield Rule("Period", Wanted(lambda it: it in (10, 20, 30) or (
        isinstance(it, int) and it % 60 == 0 and 0 < it * count < within_s
    ), f"whole minutes that, {count} times, are less than {within_s} s"),
    "it speaks too late, or never")  # fmt: skip
    yield Rule("EvaluationPeriods", between(1, within_s / 60), "it speaks too late, or never")
    yield Rule("ComparisonOperator", ABOVE, "too much is what is wrong")
    yield Rule("TreatMissingData", exactly("notBreaching"), "silence is what scaling to zero is")
    yield Rule("AlarmActions", containing(ALARM_TOPIC), "nobody would hear of it")
    yield Rule("ActionsEnabled", one_of(None, True), "nobody would hear of it")


def _queues(stack: Stack) -> Iterator[Finding]:
    for queue in stack.of(QUEUE):
        yield from hold(
            queue,
            [
                Rule("SqsManagedSseEnabled", exactly(True), "events hold callers' texts"),
                Rule(
                    "MessageRetentionPeriod",
                    exactly(FOURTEEN_DAYS_S),
                    "events wait for a person, and 14 days are the most that SQS gives",
                ),
            ],
        )
        if queue.get("RedrivePolicy"):
            continue  # Work waits in it, and what fails goes on to one that is watched.
        dimensions = [{"Name": "QueueName", "Value": queue.id}]
        alarm = stack.one(
            ALARM,
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Dimensions=dimensions,
        )
        if alarm is None:
            yield missing(
                "Resources",
                f"No alarm says that {queue.id} holds something.",
                "Add one on AWS/SQS ApproximateNumberOfMessagesVisible.",
            )
            continue
        yield from hold(alarm, _timely(alarm, LATEST_WORD_S))
        yield from hold(
            alarm,
            [
                Rule("Statistic", exactly("Maximum"), "the queue holds as many as it holds"),
                Rule("Threshold", exactly(0), "one failed event is one too many"),
            ],
        )
        if any(
            it.get("RedrivePolicy.deadLetterTargetArn") == f"arn:aws:sqs:{PLACE}:{queue.id}"
            for it in stack.of("AWS::SNS::Subscription")
        ):
            yield from _senders(stack, queue)


def _senders(stack: Stack, queue: Resource) -> Iterator[Finding]:
    """SNS leaves here what it could not deliver to the breaker."""
    wanted = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": f"arn:aws:sqs:{PLACE}:{queue.id}",
        "Condition": {"ArnEquals": {"aws:SourceArn": BUDGET_TOPIC}},
    }
    for policy in stack.of("AWS::SQS::QueuePolicy"):
        if (
            wanted in (policy.get("PolicyDocument.Statement") or [])
            and len(policy.get("Queues") or []) == 1
            and str(policy.get("Queues.0")).endswith(f"/{queue.id}")
        ):
            return
    yield missing(
        "Resources",
        f"SNS may not leave in {queue.id} what it could not tell the breaker.",
        "Allow it sqs:SendMessage there, with the ARN of BudgetTopic as aws:SourceArn.",
    )


def _mail(stack: Stack) -> Iterator[Finding]:
    email = stack.chosen.get("AlarmEmail")
    mails = [it for it in stack.of("AWS::SNS::Subscription") if it.get("Protocol") == "email"]
    if [it.get("Endpoint") for it in mails] != ([email] if email else []):
        yield missing(
            "Resources",
            f"AlarmEmail is {'given' if email else 'empty'}, and {len(mails)} subscriptions mail.",
            "Subscribe the address to the topic of alarms under the condition that there is one.",
        )
    for it in mails:
        yield from hold(it, [Rule("TopicArn", exactly(ALARM_TOPIC), "alarms are sent there")])


def _first_window_s(function: Resource | None) -> int:
    kind = str(function.get("DeploymentPreference.Type")) if function else ""
    match = MINUTES.search(kind)
    return int(match[1]) * 60 if match and int(match[1]) >= 5 else 600
