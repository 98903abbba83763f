"""The batch function, called as platforms call it, with moto's S3 and SQS behind it."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import threading
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest

from farthing.batch.errors import Interrupted, JobInvalid
from farthing.batch.events.envelopes import JobAsked
from farthing.batch.events.function import BatchFunction
from farthing.errors import StorageUnavailable
from tests.batch.cloud import Cloud, Context, cloud_running, csv_of, entries_of, sqs_event
from tests.batch.functions import environ_of, function_of, manifests_in, rejected_in, rows_in
from tests.batch.jobs import small_job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FILES, DELIVERIES, INSTANCES = 60, 3, 3
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with cloud_running() as running:
        yield running


def failed(answer: dict[str, Any]) -> list[str]:
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def test_events_delivered_three_times_in_any_order_lose_and_double_nothing(
    cloud: Cloud, tmp_path: Path, models_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket, out, queue = cloud.bucket(), tmp_path / "out", cloud.queue()
    rows = {f"in/{number:04}.csv": 1 + number % 5 for number in range(FILES)}
    records = [
        cloud.put(bucket, key, csv_of(count, start=place * 100))
        for place, (key, count) in enumerate(rows.items())
    ]
    deliveries = [{"Records": [record]} for record in records * DELIVERIES]
    chance = random.Random(7)
    chance.shuffle(deliveries)
    batches = [deliveries[start : start + 10] for start in range(0, len(deliveries), 10)]
    lock, answers = threading.Lock(), []

    def work() -> None:
        instance = function_of(
            models_dir, str(out), batch_queue=queue, batch_shard_rows="2", batch_dead_letters=queue
        )
        while True:
            with lock:
                if not batches:
                    return
                batch = batches.pop()
            answer = instance.handler(sqs_event(*batch), Context())
            with lock:
                answers.append(answer)

    threads = [threading.Thread(target=work) for _ in range(INSTANCES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer == {"batchItemFailures": []} for answer in answers)
    expected = [
        f"r{place * 100 + row}" for place, count in enumerate(rows.values()) for row in range(count)
    ]
    assert sorted(row["id"] for row in rows_in(out)) == sorted(expected)
    assert len(manifests_in(out)) == FILES
    answered = [one for one in entries_of(capfd.readouterr().out) if one["kind"] == "answer"]
    billed = {(entry["writer"], entry["number"]) for entry in answered}
    shards = sum(-(-count // 2) for count in rows.values())
    assert len(billed) == shards
    # What a ledger would take first and what it would be given later say the same.
    assert len({json.dumps(entry, sort_keys=True) for entry in answered}) == shards
    assert cloud.take_all(queue) == []


def test_one_bad_message_fails_no_other_and_its_reason_is_kept(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket, dead = cloud.bucket(), cloud.queue()
    good = cloud.put(bucket, "in/good.csv", csv_of(3))
    cut = cloud.put(bucket, "in/cut.csv.gz", gzip.compress(csv_of(500).encode())[:-20])
    gone = cloud.put(bucket, "in/gone.csv", csv_of(3))
    cloud.s3.delete_object(Bucket=bucket, Key="in/gone.csv")
    column = cloud.put(bucket, "in/column.csv", "id,title\n1,chair\n")
    function = function_of(models_dir, str(tmp_path), batch_dead_letters=dead)
    bodies = [{"Records": [one]} for one in (cut, good, gone, column)]
    answer = function.handler(sqs_event(*bodies, "no event at all"), Context())
    assert answer == {"batchItemFailures": []}
    assert [row["id"] for row in rows_in(tmp_path)] == ["r0", "r1", "r2"]
    letters = sorted(cloud.letters(dead))
    assert [error for error, _ in letters] == ["InputInvalid"] * 3 + ["JobInvalid"]
    reasons = " ".join(reason for _, reason in letters)
    for named in ("cut.csv.gz", "gone.csv", "column.csv", "text"):
        assert named in reasons
    assert "chair" not in reasons


def test_what_may_go_better_next_time_comes_again_and_at_last_says_why(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket, dead = cloud.bucket(), cloud.queue()
    queue = cloud.queue(dead_letters=dead, receives_max=3)
    bodies = [{"Records": [cloud.put(bucket, f"in/{n}.csv", csv_of(2, n * 10))]} for n in (1, 2)]
    nowhere = f"s3://{bucket}/out?region=us-east-1&endpoint={NOBODY}"
    given = {"batch_queue": queue, "batch_dead_letters": dead}
    broken = function_of(models_dir, nowhere, **given)
    assert failed(broken.handler(sqs_event(*bodies), Context())) == ["m0", "m1"]
    assert cloud.take_all(dead) == []
    assert failed(broken.handler(sqs_event(bodies[0], times=3), Context())) == []
    ((error, reason),) = cloud.letters(dead)
    assert error == "StorageUnavailable"
    assert "S3 does not answer" in reason
    mended = function_of(models_dir, str(tmp_path), **given)
    assert failed(mended.handler(sqs_event(*bodies, times=2), Context())) == []
    assert sorted(row["id"] for row in rows_in(tmp_path)) == ["r10", "r11", "r20", "r21"]


def test_a_message_without_a_place_for_dead_letters_comes_again_until_its_queue_gives_up(
    tmp_path: Path, models_dir: Path
) -> None:
    function = function_of(models_dir, str(tmp_path))
    assert failed(function.handler(sqs_event("no event at all"), Context())) == ["m0"]


def test_behind_a_failure_its_group_of_a_fifo_queue_waits_and_no_other(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket = cloud.bucket()
    bodies = [{"Records": [cloud.put(bucket, f"in/{n}.csv", csv_of(1, n))]} for n in range(3)]
    event = sqs_event("no event at all", *bodies, arn="arn:aws:sqs:us-east-1:1:q.fifo")
    for record, group in zip(event["Records"], ["a", "b", "a", "b"], strict=True):
        record["attributes"]["MessageGroupId"] = group
    function = function_of(models_dir, str(tmp_path))
    assert failed(function.handler(event, Context())) == ["m0", "m2"]
    assert sorted(row["id"] for row in rows_in(tmp_path)) == ["r0", "r2"]


def test_an_event_without_a_queue_is_refused_once_and_kept(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket, dead = cloud.bucket(), cloud.queue()
    bad = {"Records": [cloud.put(bucket, "in/empty.csv", "")]}
    function = function_of(models_dir, str(tmp_path), batch_dead_letters=dead)
    assert "empty.csv" in function.handler(bad, Context())["refused"]
    (letter,) = cloud.take_all(dead)
    assert json.loads(letter["Body"]) == bad


def test_our_own_output_starts_no_job(cloud: Cloud, models_dir: Path) -> None:
    bucket = cloud.bucket()
    function = function_of(models_dir, cloud.address(bucket, "out"))
    function.handler({"Records": [cloud.put(bucket, "in/a.csv", csv_of(2))]}, Context())
    keys = [one["Key"] for one in cloud.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    echoes = [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
        }
        for key in keys
        if key.startswith("out/")
    ]
    assert len(echoes) > 4
    assert function.handler({"Records": echoes}, Context()) == {"jobs": []}


def test_the_same_file_again_is_the_same_job_and_another_content_another(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket = cloud.bucket()
    function = function_of(models_dir, str(tmp_path))

    def job(content: str) -> dict[str, Any]:
        event = {"Records": [cloud.put(bucket, "in/a.csv", content)]}
        (done,) = function.handler(event, Context())["jobs"]
        return done

    first, again, other = job(csv_of(3)), job(csv_of(3)), job(csv_of(4))
    assert (first["shards"], again["shards"], other["shards"]) == (1, 0, 1)
    assert first["job"] == again["job"] != other["job"]
    assert len(manifests_in(tmp_path)) == 2


@pytest.mark.parametrize("key", ["in/../../etc/cron.csv", "in/.hidden/ä 1.csv", "in/a[1]*.csv"])
def test_a_key_of_any_kind_leads_to_a_place_below_the_output(
    cloud: Cloud, tmp_path: Path, models_dir: Path, key: str
) -> None:
    bucket = cloud.bucket()
    function = function_of(models_dir, str(tmp_path / "out"))
    detail = {"bucket": {"name": bucket}, "object": {"key": key}}
    cloud.put(bucket, key, csv_of(2))
    function.handler({"detail-type": "Object Created", "detail": detail}, Context())
    assert len(rows_in(tmp_path / "out")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (manifest,) = manifests_in(tmp_path / "out")
    assert manifest["job"]["inputs"][0]["uri"] == f"s3://{bucket}/{key}"


def drained(cloud: Cloud, queue: str, function: BatchFunction) -> list[list[int]]:
    """Has a function do what is on the queue until nothing is; the shards of each message."""
    seen = []
    while found := cloud.take_all(queue):
        for message in found:
            seen.append(json.loads(message["Body"])["shards"])
            answer = function.handler(sqs_event(message["Body"]), Context())
            assert answer == {"batchItemFailures": []}
    return seen


def test_what_is_too_much_for_one_call_is_handed_out_and_ends_as_if_it_were_not(
    cloud: Cloud, tmp_path: Path, models_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket, queue = cloud.bucket(), cloud.queue()
    event = {"Records": [cloud.put(bucket, "in/large.csv", csv_of(240))]}
    alone = function_of(models_dir, str(tmp_path / "alone"), batch_shard_rows="10")
    alone.handler(event, Context())
    capfd.readouterr()
    given = {"batch_shard_rows": "10", "batch_queue": queue}
    first = function_of(models_dir, str(tmp_path / "many"), **given)
    context = Context(600_000)
    run = first.worker._one

    def slow(*arguments: Any) -> None:
        run(*arguments)
        context.remaining_ms = 15_002

    first.worker._one = slow  # type: ignore[method-assign]
    (told,) = first.handler(event, context)["jobs"]
    assert (told["shards"], told["handed_on"], told["finished"]) == (1, 23, False)
    assert manifests_in(tmp_path / "many") == []
    second = function_of(models_dir, str(tmp_path / "many"), **given)
    pieces = drained(cloud, queue, second)
    assert sorted(number for piece in pieces for number in piece) == list(range(1, 24))
    assert len(pieces) > 1
    assert rows_in(tmp_path / "many") == rows_in(tmp_path / "alone")
    (manifest,) = manifests_in(tmp_path / "many")
    assert manifest["rows_out"] == 240
    billed = [entry["number"] for entry in entries_of(capfd.readouterr().out)]
    assert set(billed) == set(range(1, 25))


def test_a_message_that_runs_out_of_time_hands_on_the_rest(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket, queue = cloud.bucket(), cloud.queue()
    function = function_of(models_dir, str(tmp_path), batch_shard_rows="5", batch_queue=queue)
    opened = function.worker._open(asked(cloud, bucket, 30))
    body = {"job": opened.job.out, "shards": [0, 1, 2, 3]}
    context = Context(600_000)
    run = function.worker._one

    def slow(*arguments: Any) -> None:
        run(*arguments)
        if len(opened.done()) == 2:
            context.remaining_ms = 10

    function.worker._one = slow  # type: ignore[method-assign]
    assert function.handler(sqs_event(body), context) == {"batchItemFailures": []}
    assert sorted(opened.done()) == [0, 1]
    left = [json.loads(message["Body"]) for message in cloud.take_all(queue)]
    assert {piece["job"] for piece in left} == {opened.job.out}
    assert sorted(number for piece in left for number in piece["shards"]) == [2, 3]


def asked(cloud: Cloud, bucket: str, rows: int) -> JobAsked:
    cloud.put(bucket, "in/file.csv", csv_of(rows))
    return JobAsked(inputs=(f"s3://{bucket}/in/file.csv",))


def test_a_state_machine_is_told_what_failed_and_what_was_done(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket = cloud.bucket()
    function = function_of(models_dir, str(tmp_path), batch_shard_rows="5")
    opened = function.worker._open(asked(cloud, bucket, 20))
    with pytest.raises(Interrupted, match="2 shards"):
        function.handler(items(opened.job.out, 0, 1), Context(0))
    with pytest.raises(JobInvalid, match="Shard 9"):
        function.handler(items(opened.job.out, 9), Context())
    (first,) = function.handler(items(opened.job.out, 2, 3), Context())["jobs"]
    (second,) = function.handler(items(opened.job.out, 0, 1, 2), Context())["jobs"]
    assert (first["shards"], first["finished"]) == (2, False)
    assert (second["shards"], second["finished"]) == (2, True)
    assert [row["id"] for row in rows_in(tmp_path)] == [f"r{n}" for n in range(20)]


def test_where_there_is_a_state_machine_it_hands_out_the_rest(
    cloud: Cloud, models_dir: Path
) -> None:
    bucket = cloud.bucket()
    machines = boto3.client("stepfunctions")
    definition = {"StartAt": "End", "States": {"End": {"Type": "Pass", "End": True}}}
    machine = machines.create_state_machine(
        name=bucket, definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/r"
    )["stateMachineArn"]
    function = function_of(
        models_dir,
        cloud.address(bucket, "out"),
        batch_shard_rows="5",
        batch_state_machine=machine,
        batch_queue=cloud.queue(),
    )
    event = {"Records": [cloud.put(bucket, "in/a.csv", csv_of(20))]}
    for _ in range(2):
        (told,) = function.handler(event, Context(0))["jobs"]
        assert (told["shards"], told["handed_on"], told["finished"]) == (0, 4, False)
    (execution,) = machines.list_executions(stateMachineArn=machine)["executions"]
    assert execution["name"] == told["job"]
    asked = json.loads(machines.describe_execution(executionArn=execution["executionArn"])["input"])
    listed = cloud.s3.get_object(Bucket=bucket, Key=asked["items"])["Body"].read()
    assert json.loads(listed) == [0, 1, 2, 3]
    # As the definition calls the function: with items, and with none to end the job.
    for numbers in ([0, 1], [2, 3]):
        batch = {"BatchInput": {"job": asked["job"]}, "Items": numbers}
        assert function.handler(batch, Context())["jobs"][0]["shards"] == 2
    end = {"job": asked["job"], "shards": []}
    assert function.handler(end, Context())["jobs"][0]["finished"] is True


def items(address: str, *numbers: int) -> dict[str, Any]:
    """As the ItemBatcher of a Distributed Map hands them over."""
    return {"BatchInput": {"job": address}, "Items": list(numbers)}


def test_an_entry_that_a_dead_worker_owed_is_booked_by_whoever_ends_the_job(
    cloud: Cloud, tmp_path: Path, models_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket = cloud.bucket()
    function = function_of(models_dir, str(tmp_path), batch_shard_rows="5")
    opened = function.worker._open(asked(cloud, bucket, 15))

    def die(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    keep, function.worker._books.keep = function.worker._books.keep, die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        function.handler(items(opened.job.out, 1), Context())
    function.worker._books.keep = keep  # type: ignore[method-assign]
    assert sorted(opened.done()) == [1]
    function.handler(items(opened.job.out, 0), Context())
    assert {entry["number"] for entry in entries_of(capfd.readouterr().out)} == {1}
    function.handler(items(opened.job.out, 2), Context())
    assert {entry["number"] for entry in entries_of(capfd.readouterr().out)} == {1, 2, 3}


def post(function: BatchFunction, content: bytes, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=function)
        async with httpx.AsyncClient(transport=transport, base_url="http://batch") as client:
            return await client.post("/invoke", content=content, headers=headers)

    return asyncio.run(ask())


def test_a_platform_without_partial_failures_sends_all_again_and_only_the_rest_is_done(
    cloud: Cloud, tmp_path: Path, models_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket = cloud.bucket()
    good = [cloud.put(bucket, f"in/{n}.csv", csv_of(2, n * 10)) for n in range(3)]
    late = cloud.put(bucket, "in/late.csv", csv_of(2, 90))
    body = json.dumps({"Records": [*good, late]}).encode()
    environ = environ_of(models_dir, str(tmp_path), platform="fc", vcpu_milli="1000")
    environ |= {"FC_FUNCTION_NAME": "batch", "FC_FUNCTION_MEMORY_SIZE": "2048"}
    function = BatchFunction(environ)
    run = function.worker._open

    def refuse(work: Any) -> Any:
        if work.inputs[0].endswith("late.csv"):
            raise StorageUnavailable("The storage does not answer now. Try again.")
        return run(work)

    function.worker._open = refuse  # type: ignore[method-assign]
    first = post(function, body)
    assert (first.status_code, first.headers["x-fc-status"]) == (503, "404")
    assert first.json() == {"status": "failed"}
    function.worker._open = run  # type: ignore[method-assign]
    second = post(function, body)
    assert (second.status_code, second.headers["x-fc-status"]) == (200, "200")
    assert [job["shards"] for job in second.json()["jobs"]] == [0, 0, 0, 1]
    assert len(rows_in(tmp_path)) == 8
    assert len(entries_of(capfd.readouterr().out)) == 4


def test_a_broker_is_told_why_what_can_never_be_done_cannot(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket = cloud.bucket()
    record = cloud.put(bucket, "in/a.csv", "id,title\n1,chair\n")
    function = function_of(models_dir, str(tmp_path))
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "com.example.s3"}
    answer = post(function, json.dumps(record).encode(), **headers)
    assert answer.status_code == 422
    assert "a.csv" in answer.json()["reason"]
    assert post(function, b"\xff\xfe", **headers).status_code == 422
    assert post(function, b"x" * (7 << 20)).status_code == 422


def test_rows_that_cannot_be_scored_fail_no_event(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket = cloud.bucket()
    record = cloud.put(bucket, "in/a.csv", "id,text\n1,chair\n2,\n3,lamp\n")
    function_of(models_dir, str(tmp_path)).handler({"Records": [record]}, Context())
    assert [row["id"] for row in rows_in(tmp_path)] == ["1", "3"]
    assert [row["id"] for row in rejected_in(tmp_path)] == ["2"]


def test_an_event_has_no_file_of_the_machine_read(tmp_path: Path, models_dir: Path) -> None:
    data = {"inputs": ["/proc/self/environ"], "out": str(tmp_path / "out")}
    event = {"specversion": "1.0", "id": "1", "type": "farthing.batch.job.v1", "data": data}
    function = function_of(models_dir, str(tmp_path))
    with pytest.raises(JobInvalid, match="lie in no bucket"):
        function.handler(event, Context())
    opened = small_job(tmp_path, models_dir, rows=10)
    with pytest.raises(JobInvalid, match="lie in no bucket"):
        function.handler(items(opened.job.out, 0), Context())
    assert opened.done() == {}
