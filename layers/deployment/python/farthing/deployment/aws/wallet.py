"""The wallet: the alarm on a minute's spend, the breaker it sets off, and the budget behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.expressions import slopes
from farthing.deployment.aws.names import (
    ALARM,
    ALARM_TOPIC,
    ALIAS,
    BREAKER,
    BUDGET_TOPIC,
    PERMISSION,
    PLACE,
    QUEUE,
    alias_arn,
    deployed,
    stopped,
)
from farthing.deployment.aws.stack import REGION
from farthing.deployment.aws.wanted import (
    Rule,
    between,
    containing,
    exactly,
    hold,
    missing,
    one_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.billing.prices import PriceBook
    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Function, Project

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create-alarm-on-metric-math-expression.html
METRICS_MAX = 10
MINUTE_S, HOUR_S = 60, 3600
TAG_FILTER = "user:app$farthing"


def check_wallet(project: Project, stack: Stack, book: PriceBook) -> Iterator[Finding]:
    yield from _budget(stack)
    if stack.profile == "cpu":
        return  # Instances are billed by the hour; MaxVCpuCount caps them.
    alarms = [it for it in stack.of(ALARM) if it.get("Metrics")]
    watched: set[str] = set()
    for alarm in alarms:
        yield from _spend(project, stack, alarm, book, watched)
    if unwatched := sorted(set(stopped(project, stack)) - watched):
        yield missing(
            "Resources",
            f"No alarm on spend counts {', '.join(unwatched)}, so nothing would stop its cost.",
            "Add its Invocations and Duration to SpendAlarm, or begin a second alarm.",
        )
    yield from _breaker(project, stack, alarms)


def _spend(
    project: Project, stack: Stack, alarm: Resource, book: PriceBook, watched: set[str]
) -> Iterator[Finding]:
    limit = stack.parameters.get("SpendPerMinuteUsd")
    yield from hold(
        alarm,
        [
            Rule("Threshold", exactly(limit), "SpendPerMinuteUsd is the limit"),
            Rule("ComparisonOperator", exactly("GreaterThanThreshold"), "it is an upper limit"),
            Rule("EvaluationPeriods", exactly(1), "every further minute costs as much again"),
            Rule("TreatMissingData", exactly("notBreaching"), "no call costs nothing"),
            Rule("AlarmActions", containing(alias_arn(BREAKER)), "the breaker must be told"),
            Rule("AlarmActions", containing(ALARM_TOPIC), "people must be told"),
            Rule("ActionsEnabled", one_of(None, True), "the breaker must be told"),
        ],
    )
    at = f"Resources.{alarm.id}.Metrics"
    metrics = [it for it in alarm.get("Metrics") if isinstance(it, dict)]
    counted = [it for it in metrics if it.get("MetricStat")]
    if len(counted) > METRICS_MAX:
        yield missing(
            at,
            f"It reads {len(counted)} metrics, and CloudWatch allows an alarm {METRICS_MAX}.",
            "Begin a second alarm.",
        )
    returned = [it for it in metrics if it.get("ReturnData") is not False]
    if len(returned) != 1 or "Expression" not in returned[0]:
        yield missing(
            f"{at}.ReturnData",
            "An alarm compares one value, and it must be the sum in USD.",
            "Set ReturnData to true there, and to false everywhere else.",
        )
        return
    found = slopes(str(returned[0]["Expression"]), [str(it.get("Id")) for it in counted])
    if isinstance(found, str):
        yield missing(f"{at}.Expression", found, "Write a sum of metrics times prices.")
        return
    named: set[str] = set()
    for name, function in stopped(project, stack).items():
        period_s = _period_s(function)
        gb_s_per_ms = function.memory_mb / 1024 / 1000
        wanted = {
            "Invocations": float(book.price("lambda.requests", REGION).rate),
            "Duration": gb_s_per_ms * float(book.price("lambda.duration.x86_64", REGION).rate),
        }
        ids = {metric: _id(counted, name, metric, period_s) for metric in wanted}
        if None in ids.values():
            continue
        watched.add(name)
        named |= {str(it) for it in ids.values()}
        for metric, price in wanted.items():
            slope = found[str(ids[metric])] * period_s / MINUTE_S
            if abs(slope - price) > price * 1e-6:
                yield missing(
                    f"{at}.Expression",
                    f"{ids[metric]} counts {slope:.4g} USD each, but {name} costs {price:.4g}: "
                    f"{function.memory_mb} MB at the book's price.",
                    "Correct the expression: requests × price + ms × MB / 1024 / 1000 × price, "
                    f"a minute's part of {period_s} s.",
                )
    for metric in {str(it.get("Id")) for it in counted} - named:
        if found[metric]:
            yield missing(
                f"{at}.{metric}",
                "It adds to the spend, and is no function's Invocations or Duration, summed over "
                f"{MINUTE_S} s, or over {HOUR_S} s where calls may be longer than a minute.",
                "Correct its metric, or take it out.",
            )


def _period_s(function: Function) -> int:
    """Over which time a function's cost is summed.

    A call counts at the time at which it began, once it has ended: over a minute, calls that take
    many would all seem to be spent in one.
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
    """
    return MINUTE_S if function.timeout_s <= MINUTE_S else HOUR_S


def _id(metrics: list[dict[str, Any]], name: str, metric: str, period_s: int) -> str | None:
    """The id of that metric of that function, if it is that period's sum."""
    wanted = {
        "Metric": {
            "Namespace": "AWS/Lambda",
            "MetricName": metric,
            "Dimensions": [{"Name": "FunctionName", "Value": deployed(name)}],
        },
        "Period": period_s,
        "Stat": "Sum",
    }
    return next((str(it["Id"]) for it in metrics if it["MetricStat"] == wanted), None)


def _breaker(project: Project, stack: Stack, alarms: list[Resource]) -> Iterator[Finding]:
    function = stack.function(BREAKER)
    if function is None:
        yield missing("Resources", "There is no breaker.", "Add the function breaker.")
        return
    yield from hold(
        function,
        [
            Rule(
                "Environment.Variables.BREAKER_FUNCTIONS",
                exactly(",".join(deployed(name) for name in stopped(project, stack))),
                "it must stop every function that serves a model, and batch",
            ),
            Rule(
                "Environment.Variables.BREAKER_ALIAS",
                exactly(ALIAS if stack.profile == "warm" else None),
                "Lambda refuses a cap of 0 while an alias has provisioned concurrency",
            ),
            Rule("ReservedConcurrentExecutions", exactly(None), "it must be able to run"),
            Rule("ProvisionedConcurrencyConfig", exactly(None), "it is called once a year"),
        ],
    )
    wanted = [
        {
            "Principal": "lambda.alarms.cloudwatch.amazonaws.com",
            "SourceAccount": "123456789012",
            "SourceArn": f"arn:aws:cloudwatch:{PLACE}:alarm:{alarm.id}",
        }
        for alarm in alarms
    ]
    wanted.append({"Principal": "sns.amazonaws.com", "SourceArn": BUDGET_TOPIC})
    for caller in wanted:
        invoked = {"FunctionName": alias_arn(BREAKER), "Action": "lambda:InvokeFunction"}
        if stack.one(PERMISSION, **invoked, **caller) is None:
            yield missing(
                "Resources",
                f"No permission lets {caller['SourceArn'].rpartition(':')[2]} call the breaker.",
                f"Add an {PERMISSION} on its alias for {caller['Principal']}, with that SourceArn.",
            )
    yield from _subscription(stack)


def _subscription(stack: Stack) -> Iterator[Finding]:
    wanted = {"TopicArn": BUDGET_TOPIC, "Protocol": "lambda", "Endpoint": alias_arn(BREAKER)}
    subscription = stack.one("AWS::SNS::Subscription", **wanted)
    if subscription is None:
        yield missing(
            "Resources",
            "The breaker hears nothing of a spent budget.",
            "Subscribe its alias to BudgetTopic, with the protocol lambda.",
        )
        return
    queues = [f"arn:aws:sqs:{PLACE}:{it.id}" for it in stack.of(QUEUE)]
    why = "a message that does not reach the breaker would be lost"
    yield from hold(subscription, [Rule("RedrivePolicy.deadLetterTargetArn", one_of(*queues), why)])


def _budget(stack: Stack) -> Iterator[Finding]:
    budgets = stack.of("AWS::Budgets::Budget")
    if not budgets:
        yield missing("Resources", "There is no budget.", "Add an AWS::Budgets::Budget.")
    for budget in budgets:
        yield from hold(budget, _budget_rules(stack))
        notices = {
            (it.get("Subscribers") or [{}])[0].get("Address"): (index, it)
            for index, it in enumerate(budget.get("NotificationsWithSubscribers") or [])
        }
        for topic, least, most in ((ALARM_TOPIC, 50, 99), (BUDGET_TOPIC, 100, 100)):
            if topic not in notices:
                yield missing(
                    f"Resources.{budget.id}.NotificationsWithSubscribers",
                    f"{topic.rpartition(':')[2]} is told of no threshold.",
                    "Add a notification to it.",
                )
                continue
            path = f"NotificationsWithSubscribers.{notices[topic][0]}."
            actual = "only what is spent already may stop anything"
            yield from hold(
                budget,
                [
                    Rule(f"{path}Notification.NotificationType", exactly("ACTUAL"), actual),
                    Rule(f"{path}Notification.ComparisonOperator", exactly("GREATER_THAN"), actual),
                    Rule(
                        f"{path}Notification.Threshold",
                        between(least, most),
                        "people hear of it before it is spent, and the breaker when it is",
                    ),
                    Rule(f"{path}Notification.ThresholdType", one_of(None, "PERCENTAGE"), actual),
                    Rule(f"{path}Subscribers.0.SubscriptionType", exactly("SNS"), "it is a topic"),
                ],
            )


def _budget_rules(stack: Stack) -> Iterator[Rule]:
    yield Rule("Budget.BudgetType", exactly("COST"), "money is what runs out")
    yield Rule("Budget.TimeUnit", exactly("MONTHLY"), "the parameter is a month's")
    limit = stack.parameters.get("MonthlyBudgetUsd")
    yield Rule("Budget.BudgetLimit.Amount", exactly(limit), "MonthlyBudgetUsd is the limit")
    yield Rule("Budget.BudgetLimit.Unit", exactly("USD"), "the parameter is in USD")
    yield Rule(
        "Budget.CostFilters.TagKeyValue",
        exactly([TAG_FILTER]),
        "this stack's resources, and no others, have that tag",
    )
