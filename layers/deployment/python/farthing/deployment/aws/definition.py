"""A Distributed Map that loses no shard: what its definition has to say, state by state."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Where it is broken, what is so, and what to do.
Broken = tuple[str, str, str]

INVOKE = "arn:aws:states:::lambda:invoke"
FUNCTION, BUCKET = "${Function}", "${Bucket}"
LABEL = "shards"
# Not to be tried again: the files are at fault, and stay so.
FINAL = {
    "BudgetSpent", "InputChanged", "InputInvalid", "JobInvalid", "JobMissing", "OutputExists",
}  # fmt: skip
# https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
THROTTLED = "Lambda.TooManyRequestsException"
EVERYTHING = "States.ALL"
DAY_S = 86_400
# A call has a quarter of an hour for its shards.
SHARDS_MAX = 10
CHILDREN_MAX = 100
TOLERATED_PERCENT_MAX = 10
TRIES_MAX = 10
KEYS = {
    "Comment", "StartAt", "States", "TimeoutSeconds", "Version", "QueryLanguage",
}  # fmt: skip
RETRY_KEYS = {
    "ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds",
    "JitterStrategy",
}  # fmt: skip


def broken(definition: Any, timeout_s: int) -> Iterator[Broken]:
    """Each way in which it would lose shards, never end, or spend without bound.

    `timeout_s` is how long the function that it calls may take.
    """
    for error in _validator().iter_errors(definition):
        at = ".".join(map(str, error.absolute_path))
        yield at, f"The states language refuses it: {error.message[:160]}.", "Correct it."
    if not isinstance(definition, dict) or not isinstance(definition.get("States"), dict):
        return
    for key in definition.keys() - KEYS:
        yield key, "A definition has no such key.", "Correct its name."
    yield from _wanted(
        definition, "", {"TimeoutSeconds": (range(3600, 7 * DAY_S), "an hour to a week")}
    )
    name = str(definition.get("StartAt"))
    start = definition["States"].get(name)
    if not isinstance(start, dict) or start.get("Type") != "Map":
        yield "StartAt", f"It begins with {name}, and that is no Map.", "Begin with the Map."
        return
    yield from _map(start, f"States.{name}", timeout_s)
    after = definition["States"].get(str(start.get("Next")))
    if not isinstance(after, dict):
        says = "Nothing comes after the Map, so nobody writes the manifest."
        yield f"States.{name}.Next", says, "Name a state that calls the function with no shards."
        return
    at = f"States.{start['Next']}"
    yield from _task(after, at, timeout_s, {"job.$": "$.job", "shards": []})
    yield from _retries(after, at)
    yield from _end(definition["States"], after, {name, str(start["Next"])})


def _end(states: Mapping[str, Any], after: Mapping[str, Any], known: set[str]) -> Iterator[Broken]:
    """Shards that are missing after all fail the execution, so that somebody hears of it."""
    name = str(after.get("Next"))
    choice = states.get(name) or {}
    choices = choice.get("Choices") or [{}]
    wanted = {"Variable": "$.jobs[0].finished", "BooleanEquals": True}
    finished, unfinished = str(choices[0].get("Next")), str(choice.get("Default"))
    ends = [(states.get(it) or {}).get("Type") for it in (finished, unfinished)]
    if choice.get("Type") != "Choice" or choices != [{**wanted, "Next": finished}]:
        says = "Nothing asks whether the job is finished."
        yield f"States.{name}", says, f"Add a Choice on {wanted['Variable']}."
    elif ends != ["Succeed", "Fail"]:
        says = f"A finished job ends in {ends[0]}, and an unfinished one in {ends[1]}."
        yield f"States.{name}", says, "Let them end in Succeed and in Fail."
    for other in states.keys() - known - {name, finished, unfinished}:
        yield f"States.{other}", "Nothing leads there.", "Remove it."


def _map(state: Mapping[str, Any], at: str, timeout_s: int) -> Iterator[Broken]:
    exact = {
        "Label": (LABEL, "its role may redrive runs of that label"),
        "ItemReader.Resource": ("arn:aws:states:::s3:getObject", "shards are listed in a file"),
        "ItemReader.ReaderConfig.InputType": ("JSON", "the list is JSON"),
        "ItemReader.Parameters": (
            {"Bucket.$": "$.bucket", "Key.$": "$.items"},
            "whoever starts it says where the list is",
        ),
        "ItemBatcher.BatchInput": ({"job.$": "$.job"}, "the function must know the job"),
        "ItemProcessor.ProcessorConfig": (
            {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "EXPRESS children end after five minutes, and a call may take fifteen",
        ),
        "ResultWriter.Resource": (
            "arn:aws:states:::s3:putObject",
            "results are larger than a state",
        ),
        "ResultWriter.Parameters": (
            {"Bucket": BUCKET, "Prefix": "map"},
            "its role may write there",
        ),
    }
    for path, (value, why) in exact.items():
        found = look_up(state, path)
        if found != value:
            yield f"{at}.{path}", f"It is {found}, but {why}.", f"Make it {value}."
    for path in ("ItemReader", "ItemBatcher", "ResultWriter", "ItemReader.ReaderConfig"):
        known = {it[len(path) + 1 :].partition(".")[0] for it in exact if it.startswith(f"{path}.")}
        for key in set(look_up(state, path) or {}) - known - {"MaxItemsPerBatch"}:
            yield f"{at}.{path}.{key}", "The states language knows no such key.", "Correct it."
    yield from _wanted(
        state,
        f"{at}.",
        {
            "ItemBatcher.MaxItemsPerBatch": (
                range(1, SHARDS_MAX + 1),
                f"1 to {SHARDS_MAX} shards, which a call has time for",
            ),
            "MaxConcurrency": (
                range(1, CHILDREN_MAX + 1),
                f"1 to {CHILDREN_MAX}: it caps the bill",
            ),
            "ToleratedFailurePercentage": (
                range(TOLERATED_PERCENT_MAX + 1),
                f"0 to {TOLERATED_PERCENT_MAX}: where more fail, all will",
            ),
        },
    )
    if state.get("ResultPath", 0) is not None:
        yield f"{at}.ResultPath", "The next state would not know the job.", "Make it null."
    processor = state.get("ItemProcessor") or {}
    first = str(processor.get("StartAt"))
    inner = (processor.get("States") or {}).get(first)
    if not isinstance(inner, dict) or len(processor["States"]) != 1:
        yield f"{at}.ItemProcessor", "A child is one call of the function.", "Keep that state."
        return
    inside = f"{at}.ItemProcessor.States.{first}"
    yield from _task(inner, inside, timeout_s, None)
    yield from _retries(inner, inside)
    if inner.get("End") is not True:
        yield f"{inside}.End", "A child goes on after its call.", "Make it true."


def _task(
    state: Mapping[str, Any], at: str, timeout_s: int, payload: dict[str, Any] | None
) -> Iterator[Broken]:
    """`payload` None: the state's whole input."""
    given = {"Payload.$": "$"} if payload is None else {"Payload": payload}
    exact: dict[str, Any] = {
        "Type": "Task",
        "Resource": INVOKE,
        "Parameters": {"FunctionName": FUNCTION, **given},
        "OutputPath": "$.Payload",
    }
    for path, value in exact.items():
        if state.get(path) != value:
            yield f"{at}.{path}", f"It is {state.get(path)}.", f"Make it {value}."
    longer = range(timeout_s + 1, 2 * timeout_s)
    yield from _wanted(
        state, f"{at}.", {"TimeoutSeconds": (longer, f"more than the function's {timeout_s} s")}
    )


def _retries(state: Mapping[str, Any], at: str) -> Iterator[Broken]:
    retries = [it for it in state.get("Retry") or [] if isinstance(it, dict)]
    for index, retry in enumerate(retries):
        for key in retry.keys() - RETRY_KEYS:
            yield f"{at}.Retry.{index}.{key}", "A retry has no such key.", "Correct its name."
        tries = retry.get("MaxAttempts", 3)
        if not isinstance(tries, int) or not 0 <= tries <= TRIES_MAX:
            yield f"{at}.Retry.{index}", f"It tries {tries} times.", f"Write 0 to {TRIES_MAX}."
        if tries and not (retry.get("IntervalSeconds", 1) >= 1 and retry.get("BackoffRate") == 2):
            says = "It does not wait longer each time, so a throttled function stays so."
            yield f"{at}.Retry.{index}", says, "Write IntervalSeconds 1 or more, BackoffRate 2."
        if tries and retry.get("JitterStrategy") != "FULL":
            yield f"{at}.Retry.{index}", "All that failed come back at once.", "Add jitter: FULL."
        if (retry.get("MaxDelaySeconds") or 0) > DAY_S // 24:
            yield f"{at}.Retry.{index}", "It may wait for hours.", "Write 3600 or less."
    never = set(_errors(retries[0])) if retries and retries[0].get("MaxAttempts") == 0 else set()
    if never != FINAL:
        says = f"Tried again in vain, or not tried again: {', '.join(sorted(never ^ FINAL))}."
        yield f"{at}.Retry", says, f"Begin with MaxAttempts 0 for {', '.join(sorted(FINAL))}."
    again = {error: it.get("MaxAttempts", 3) for it in retries for error in _errors(it)}
    if not again.get(EVERYTHING) or EVERYTHING not in _errors(retries[-1]):
        yield f"{at}.Retry", "A machine that dies fails its shards.", f"End with {EVERYTHING}."
    if again.get(THROTTLED, again.get(EVERYTHING, 0)) < TRIES_MAX // 2:
        yield f"{at}.Retry", "A throttled call gives up soon.", f"Try {THROTTLED} 5 times or more."


def _errors(retry: Mapping[str, Any]) -> list[str]:
    return [str(it) for it in retry.get("ErrorEquals") or []]


def _wanted(
    state: Mapping[str, Any], at: str, wanted: Mapping[str, tuple[range, str]]
) -> Iterator[Broken]:
    for path, (numbers, words) in wanted.items():
        found = look_up(state, path)
        if isinstance(found, bool) or not isinstance(found, int) or found not in numbers:
            yield f"{at}{path}", f"It is {found}.", f"Write {words}."


def look_up(value: Any, path: str) -> Any:
    """What stands at the dotted path, or None."""
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


@cache
def _validator() -> Any:
    """The states language as cfn-lint ships it, which passes unknown keys inside some parts.

    It says more beside its references, which drafts before 2019-09 overlook.
    """
    file = files("cfnlint.data.schemas.other.step_functions").joinpath("statemachine.json")
    schema = json.loads(file.read_text(encoding="utf-8"))
    schema.pop("additionalProperties", None)
    return jsonschema.Draft202012Validator(schema)
