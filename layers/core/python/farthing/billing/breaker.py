"""The circuit breaker: too much spent in a minute, or in a month, and the functions stop.

A function whose reserved concurrency is 0 refuses every call at no cost until a person lifts it.
The events: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
and https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-sns-policy.html (2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from farthing.errors import FarthingError

if TYPE_CHECKING:
    from collections.abc import Sequence

# What Lambda answers where nothing is provisioned: the aim is reached already.
NOTHING_PROVISIONED = {"ResourceNotFoundException", "ProvisionedConcurrencyConfigNotFoundException"}


class UnknownEvent(FarthingError):
    """The breaker was called with what is neither an alarm nor a budget's message."""


class StillRunning(FarthingError):
    """Some functions could not be stopped; Lambda tries the event again, then keeps it."""


class LambdaClient(Protocol):
    """The two calls of boto3's Lambda client that the breaker makes."""

    def put_function_concurrency(self, **asked: Any) -> Any: ...

    def delete_provisioned_concurrency_config(self, **asked: Any) -> Any: ...


class Breaker:
    """`alias` is given where it has provisioned concurrency, which Lambda wants gone first."""

    def __init__(
        self, client: LambdaClient, functions: Sequence[str], alias: str | None = None
    ) -> None:
        self.client = client
        self.functions = tuple(functions)
        self.alias = alias

    def handle(self, event: dict[str, Any]) -> dict[str, Any]:
        """What was stopped, why, and how to start it again; an alarm that is over stops nothing.

        May be repeated. Raises `UnknownEvent`, and `StillRunning` once every function was tried.
        """
        reason = find_reason(event)
        if reason is None:
            return {"stopped": [], "reason": "", "lift": []}
        refused = {}
        for function in self.functions:
            try:
                self._stop(function)
            except Exception as error:  # the others must still be stopped
                refused[function] = str(error)
        if refused:
            said = "; ".join(f"{function}: {why}" for function, why in refused.items())
            raise StillRunning(
                f"{reason} These functions could not be stopped: {said}. Stop each with "
                "`aws lambda put-function-concurrency --function-name NAME "
                "--reserved-concurrent-executions 0`."
            )
        return {
            "stopped": list(self.functions),
            "reason": reason,
            "lift": [
                f"aws lambda delete-function-concurrency --function-name {function}"
                for function in self.functions
            ],
        }

    def _stop(self, function: str) -> None:
        if self.alias is not None:
            try:
                self.client.delete_provisioned_concurrency_config(
                    FunctionName=function, Qualifier=self.alias
                )
            except Exception as error:
                if _code(error) not in NOTHING_PROVISIONED:
                    raise
        self.client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)


def find_reason(event: dict[str, Any]) -> str | None:
    """Why to stop, in a sentence; None if an alarm only says that all is well again."""
    if event.get("source") == "aws.cloudwatch" and "alarmData" in event:
        alarm = event["alarmData"]
        return _alarm(alarm.get("alarmName"), alarm.get("state", {}).get("value"))
    for record in event.get("Records", ()):
        # Budgets writes prose, not JSON, and documents no wording: its name is all there is to see.
        message = record.get("Sns", {})
        if "budget" in f"{message.get('Subject')} {message.get('Message')}".casefold():
            return "The month's budget is spent."
    raise UnknownEvent(
        "The breaker takes a CloudWatch alarm or an SNS message of AWS Budgets; this event is "
        "neither, and nothing was stopped. Wire it as template.yaml does."
    )


def _alarm(name: object, state: object) -> str | None:
    return f"The alarm {name} says that too much is spent." if state == "ALARM" else None


def _code(error: Exception) -> str:
    """What a botocore ClientError carries, without importing botocore."""
    response = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
