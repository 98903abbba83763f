"""The engine stepfunctions: what it asks of the service, by botocore's own stubs.

What each call takes and gives is checked by them against the service's model; that AWS itself
answers so is not verified.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import pytest
from botocore.stub import Stubber

from farthing.batch.engines import Event, Failed, Finished, Started, get_engine
from farthing.batch.engines.stepfunctions import StepFunctionsEngine
from farthing.batch.errors import EngineUnavailable, Interrupted, JobInvalid
from farthing.batch.interruption import Stop
from farthing.batch.job import Input
from farthing.batch.jobs import Opened
from farthing.batch.running import run_job
from farthing.batch.shards import ShardRunner
from tests.batch.jobs import settings_of, small_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:farthing-batch"
EXECUTIONS = "arn:aws:states:us-east-1:123456789012:execution:farthing-batch:"
MAP_RUN = f"{EXECUTIONS.replace(':execution:', ':mapRun:')[:-1]}/shards:1b2c"
BEGAN = "2026-11-22T06:00:00Z"
OUT = "s3://farthing-batch/out/prices?region=us-east-1"


@pytest.fixture
def opened(tmp_path: Path, models_dir: Path) -> Opened:
    """A planned job of four shards, which says of itself that it is in S3."""
    local = small_job(tmp_path, models_dir, rows=40, shard_rows=10)
    given = msgspec.structs.replace(local.job.inputs[0], uri="s3://farthing-batch/in/prices.tsv")
    job = msgspec.structs.replace(local.job, out=OUT, inputs=(given,))
    return Opened(job, local.plan, local.storage)


@pytest.fixture
def service() -> Iterator[Stubber]:
    client = boto3.client(
        "stepfunctions",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def engine(service: Stubber, models_dir: Path) -> StepFunctionsEngine:
    return StepFunctionsEngine(settings_of(models_dir), MACHINE, client=service.client, poll_s=0.01)


@pytest.fixture
def compute(opened: Opened, tmp_path: Path, models_dir: Path) -> Callable[[int], None]:
    """`compute(2)`: what a call of the function does for shard 2: its files and its checkpoint."""
    from farthing.batch.inputs import Reader
    from farthing.batch.scoring import Scorer

    local = small_job(tmp_path, models_dir, rows=40, shard_rows=10)
    settings = settings_of(models_dir)
    scorer = Scorer.open(local.job, settings)

    def run(number: int) -> None:
        reader = Reader(local.job)
        runner = ShardRunner(local.job, opened.storage, scorer, reader, settings)
        runner.run(opened.plan.shards[number], request_id=f"call-{number}")
        reader.close()

    return run


def asked(opened: Opened, name: str) -> dict[str, Any]:
    items = f"out/prices/_farthing/items/{name}.json"
    content = {"job": OUT, "bucket": "farthing-batch", "items": items}
    return {
        "stateMachineArn": MACHINE,
        "name": name,
        "input": json.dumps(content, separators=(",", ":")),
    }


def began(service: Stubber, opened: Opened, name: str) -> str:
    arn = EXECUTIONS + name
    service.add_response(
        "start_execution", {"executionArn": arn, "startDate": BEGAN}, asked(opened, name)
    )
    return arn


def began_before(service: Stubber, opened: Opened, name: str) -> None:
    service.add_client_error(
        "start_execution", "ExecutionAlreadyExists", expected_params=asked(opened, name)
    )


def stands(service: Stubber, name: str, status: str, **more: str) -> None:
    arn = EXECUTIONS + name
    found = {"executionArn": arn, "stateMachineArn": MACHINE, "status": status, "startDate": BEGAN}
    service.add_response("describe_execution", {**found, **more}, {"executionArn": arn})


def map_ended(service: Stubber, name: str, status: str) -> None:
    arn = EXECUTIONS + name
    run = {
        "executionArn": arn, "mapRunArn": MAP_RUN, "stateMachineArn": MACHINE, "startDate": BEGAN,
    }  # fmt: skip
    service.add_response("list_map_runs", {"mapRuns": [run]}, {"executionArn": arn})
    counts = dict.fromkeys(
        ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total",
         "resultsWritten"), 0,
    )  # fmt: skip
    described = {
        "mapRunArn": MAP_RUN, "executionArn": arn, "status": status, "startDate": BEGAN,
        "maxConcurrency": 10, "toleratedFailurePercentage": 5.0, "toleratedFailureCount": 0,
        "itemCounts": counts, "executionCounts": counts,
    }  # fmt: skip
    service.add_response("describe_map_run", described, {"mapRunArn": MAP_RUN})


def listed(opened: Opened, name: str) -> list[int]:
    numbers: list[int] = json.loads(opened.storage.read(f"_farthing/items/{name}.json"))
    return numbers


def test_an_execution_has_the_jobs_name_and_a_list_of_its_shards(
    engine: StepFunctionsEngine, service: Stubber, opened: Opened
) -> None:
    arn = began(service, opened, opened.job.id)
    assert engine.start(opened, opened.plan.shards[1:]) == arn
    assert listed(opened, opened.job.id) == [1, 2, 3]


def test_one_that_runs_is_taken_up_whoever_began_it(
    engine: StepFunctionsEngine, service: Stubber, opened: Opened
) -> None:
    began(service, opened, opened.job.id)
    engine.start(opened, opened.plan.shards)
    began_before(service, opened, opened.job.id)
    stands(service, opened.job.id, "RUNNING")
    assert engine.start(opened, opened.plan.shards[2:]) == EXECUTIONS + opened.job.id
    assert listed(opened, opened.job.id) == [0, 1, 2, 3], "the list that runs is left as it is"


def test_one_whose_map_failed_is_redriven(
    engine: StepFunctionsEngine, service: Stubber, opened: Opened
) -> None:
    began_before(service, opened, opened.job.id)
    stands(service, opened.job.id, "FAILED", redriveStatus="REDRIVABLE")
    map_ended(service, opened.job.id, "FAILED")
    arn = EXECUTIONS + opened.job.id
    service.add_response("redrive_execution", {"redriveDate": BEGAN}, {"executionArn": arn})
    assert engine.start(opened, opened.plan.shards) == arn


@pytest.mark.parametrize(
    ("status", "more", "map_status"),
    [
        ("SUCCEEDED", {}, None),
        ("FAILED", {"redriveStatus": "NOT_REDRIVABLE"}, None),
        # What a Map tolerated no redrive of its execution does again.
        ("FAILED", {"redriveStatus": "REDRIVABLE"}, "SUCCEEDED"),
    ],
)
def test_after_any_other_end_another_does_what_is_missing(
    engine: StepFunctionsEngine,
    service: Stubber,
    opened: Opened,
    status: str,
    more: dict[str, str],
    map_status: str | None,
) -> None:
    began_before(service, opened, opened.job.id)
    stands(service, opened.job.id, status, **more)
    if map_status:
        map_ended(service, opened.job.id, map_status)
    arn = began(service, opened, f"{opened.job.id}-2")
    assert engine.start(opened, opened.plan.shards[3:]) == arn
    assert listed(opened, f"{opened.job.id}-2") == [3]


def test_a_redrive_that_comes_too_late_is_another_execution(
    engine: StepFunctionsEngine, service: Stubber, opened: Opened
) -> None:
    began_before(service, opened, opened.job.id)
    stands(service, opened.job.id, "FAILED", redriveStatus="REDRIVABLE")
    map_ended(service, opened.job.id, "FAILED")
    service.add_client_error("redrive_execution", "ExecutionNotRedrivable")
    arn = began(service, opened, f"{opened.job.id}-2")
    assert engine.start(opened, opened.plan.shards) == arn


def test_checkpoints_are_told_of_as_they_appear(
    engine: StepFunctionsEngine,
    service: Stubber,
    opened: Opened,
    compute: Callable[[int], None],
) -> None:
    began(service, opened, opened.job.id)
    for _ in range(4):
        stands(service, opened.job.id, "RUNNING")
    order = iter((2, 0, 1, 3))
    compute(next(order))
    heard: list[Event] = []

    def report(event: Event) -> None:
        heard.append(event)
        number = next(order, None) if isinstance(event, Finished) else None
        if number is not None:
            compute(number)

    engine.run(opened, opened.plan.shards, report, Stop())
    assert [event.done.number for event in heard if isinstance(event, Finished)] == [2, 0, 1, 3]
    assert not any(isinstance(event, Failed) for event in heard)


def test_shards_that_an_execution_leaves_are_given_up_with_what_it_says(
    engine: StepFunctionsEngine,
    service: Stubber,
    opened: Opened,
    compute: Callable[[int], None],
) -> None:
    compute(1)
    began(service, opened, opened.job.id)
    stands(service, opened.job.id, "FAILED", error="JobUnfinished", cause="Shards are missing.")
    heard: list[Event] = []
    engine.run(opened, opened.plan.shards, heard.append, Stop())
    failed = [event for event in heard if isinstance(event, Failed)]
    assert [event.shard.number for event in failed] == [0, 2, 3]
    assert all("ended FAILED: Shards are missing." in event.reason for event in failed)


def test_a_stop_leaves_the_execution_running_and_says_so(
    engine: StepFunctionsEngine, service: Stubber, opened: Opened
) -> None:
    began(service, opened, opened.job.id)
    stands(service, opened.job.id, "RUNNING")
    stop = Stop()
    stop.set("SIGTERM")
    # The stub knows no StopExecution, and would refuse it.
    with pytest.raises(Interrupted, match=r"the job goes on: arn:aws:states:.*batch status"):
        engine.run(opened, opened.plan.shards, lambda _event: None, stop)


def test_a_job_run_by_it_ends_as_any_other(
    engine: StepFunctionsEngine,
    service: Stubber,
    opened: Opened,
    compute: Callable[[int], None],
    models_dir: Path,
) -> None:
    began(service, opened, opened.job.id)
    stands(service, opened.job.id, "SUCCEEDED")

    def report(event: object) -> None:
        if isinstance(event, Started):
            compute(event.shard.number)

    manifest = run_job(opened, engine, settings_of(models_dir), report, Stop())
    assert (manifest.rows_in, manifest.rows_out) == (40, 40)


def test_what_lambda_cannot_reach_is_refused_before_anything_is_asked(
    engine: StepFunctionsEngine, opened: Opened
) -> None:
    local = msgspec.structs.replace(opened.job, out="/tmp/out")
    with pytest.raises(JobInvalid, match="is not in S3"):
        engine.start(Opened(local, opened.plan, opened.storage), opened.plan.shards)
    given = Input(uri="/home/shop/prices.tsv", etag="1", bytes=1)
    here = msgspec.structs.replace(opened.job, inputs=(given,))
    with pytest.raises(JobInvalid, match=r"cannot read /home/shop/prices\.tsv"):
        engine.start(Opened(here, opened.plan, opened.storage), opened.plan.shards)


def test_a_refusal_of_the_service_is_one_sentence(
    engine: StepFunctionsEngine, service: Stubber, opened: Opened
) -> None:
    service.add_client_error("start_execution", "AccessDeniedException", "User: arn… secret")
    with pytest.raises(EngineUnavailable) as caught:
        engine.start(opened, opened.plan.shards)
    assert "(AccessDeniedException)" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_a_state_machine_it_says_what_to_deploy(models_dir: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"Batch=on.*FARTHING_BATCH_STATE_MACHINE"):
        get_engine("stepfunctions", settings_of(models_dir))


def test_it_takes_no_number_of_workers(models_dir: Path) -> None:
    with pytest.raises(JobInvalid, match="4 workers were asked for"):
        get_engine("stepfunctions", settings_of(models_dir), state_machine=MACHINE, workers=4)
