"""A job's shards on AWS Lambda, handed out by a Distributed Map of Step Functions.

The state machine is BatchStateMachine of template.yaml, its definition infra/aws/batch.asl.json.
Started with the name of the job it is started once, whoever asks and however often. This engine
begins it, watches for checkpoints, and costs nothing while it does; what computes is in the cloud,
and goes on when this process goes.

    the execution of the job      what `start` does
    there is none                 begins it
    running                       takes it up
    failed, and its Map with it   redrives it: children that failed run again, those done do not
    any other end                 begins another, `JOB-2`, for the shards that are missing

The calls are tested with botocore's own stubs and against moto, which has no batches of items and
in which no Map fails. Not verified on AWS.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from farthing.batch.checkpoints import read_checkpoint
from farthing.batch.engines import Failed, Finished, Started
from farthing.batch.errors import EngineUnavailable, Interrupted, JobInvalid
from farthing.batch.job import DONE_FOLDER, done_name
from farthing.errors import PublishConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.batch.engines import Event
    from farthing.batch.interruption import Stop
    from farthing.batch.job import Shard
    from farthing.batch.jobs import Opened
    from farthing.settings import Settings

POLL_S: Final = 5.0
# How often a job may have been begun anew; more is no accident.
RUNS_MAX: Final = 100
ITEMS_FOLDER: Final = "_farthing/items/"
RUNNING: Final = {"RUNNING", "PENDING_REDRIVE"}
REASON_CHARS_MAX: Final = 300

Standing = Literal["running", "redriven", "over"]


class StepFunctionsEngine:
    """`state_machine` is an ARN; without it that of FARTHING_BATCH_STATE_MACHINE."""

    name = "stepfunctions"

    def __init__(
        self,
        settings: Settings,
        state_machine: str | None = None,
        *,
        workers: int | None = None,
        client: Any = None,
        poll_s: float = POLL_S,
    ) -> None:
        if workers is not None:
            raise JobInvalid(
                f"{workers} workers were asked for, and the state machine says how many it has. "
                "Leave out --workers, or change MaxConcurrency in infra/aws/batch.asl.json."
            )
        self._arn = state_machine or settings.batch_state_machine
        self._given, self._poll_s = client, poll_s
        if self._arn.count(":") < 6:
            raise EngineUnavailable(
                "The engine stepfunctions needs the ARN of a state machine. Deploy template.yaml "
                "with Batch=on, and set FARTHING_BATCH_STATE_MACHINE to its output "
                "BatchStateMachineArn."
            )

    def start(self, opened: Opened, shards: Sequence[Shard]) -> str:
        """The ARN of the execution that does the shards, begun, redriven or found running.

        Raises `JobInvalid` for a job that Lambda cannot reach, `EngineUnavailable` where Step
        Functions refuses or does not answer.
        """
        bucket, prefix = _bucket_of(opened)
        for count in range(1, RUNS_MAX + 1):
            name = opened.job.id if count == 1 else f"{opened.job.id}-{count}"
            items = f"{ITEMS_FOLDER}{name}.json"
            self._list(opened, items, shards)
            asked = {"job": opened.job.out, "bucket": bucket, "items": prefix + items}
            arn = self._begin(name, asked)
            if arn is not None:
                return arn
            arn = self._execution(name)
            if self._take_up(arn) != "over":
                return arn
        raise EngineUnavailable(
            f"The job {opened.job.id} was begun {RUNS_MAX} times, and shards are still missing. "
            "See why its calls fail, in the log of the function batch."
        )

    def run(
        self,
        opened: Opened,
        shards: Sequence[Shard],
        report: Callable[[Event], None],
        stop: Stop,
        /,
    ) -> None:
        """As `Engine.run` says, but for a `stop`: then it raises `Interrupted`, and the execution
        goes on without this process."""
        arn = self.start(opened, shards)
        waiting = {done_name(shard.number): shard for shard in shards}
        for shard in shards:
            report(Started(shard, 1))
        while True:
            # Asked before looking: what an execution that is over left is all there.
            state = self._ask("describe_execution", executionArn=arn)
            self._report_new(opened, waiting, report)
            if not waiting or state["status"] not in RUNNING:
                break
            if stop.is_set():
                raise Interrupted(
                    f"This process stops ({stop.reason}), and the job goes on: {arn}. See what is "
                    f"done with `farthing batch status {opened.job.out}`."
                )
            time.sleep(self._poll_s)
        if waiting:
            reason = self._reason(arn, state)
            for shard in waiting.values():
                report(Failed(shard, reason))

    def _list(self, opened: Opened, items: str, shards: Sequence[Shard]) -> None:
        """The shards' numbers, where the Map reads them. What another listed under the same name
        stays: shards that are done by now are passed over."""
        numbers = msgspec.json.encode([shard.number for shard in shards])
        try:
            opened.storage.write(items, numbers, expect=None)
        except PublishConflict:
            return

    def _begin(self, name: str, asked: dict[str, str]) -> str | None:
        """The execution's ARN; None where one of that name was begun before."""
        content = msgspec.json.encode(asked).decode()
        found = self._ask(
            "start_execution",
            stateMachineArn=self._arn,
            name=name,
            input=content,
            unless="ExecutionAlreadyExists",
        )
        return None if found is None else str(found["executionArn"])

    def _take_up(self, arn: str) -> Standing:
        """Goes on with an execution, where it can do more."""
        state = self._ask("describe_execution", executionArn=arn)
        if state["status"] in RUNNING:
            return "running"
        if state["status"] == "SUCCEEDED" or state.get("redriveStatus") != "REDRIVABLE":
            return "over"
        runs = self._ask("list_map_runs", executionArn=arn)["mapRuns"]
        if any(self._is_complete(run["mapRunArn"]) for run in runs):
            # It would only fail again over what its Map tolerated.
            return "over"
        redriven = self._ask("redrive_execution", executionArn=arn, unless="ExecutionNotRedrivable")
        return "over" if redriven is None else "redriven"

    def _is_complete(self, run: str) -> bool:
        return bool(self._ask("describe_map_run", mapRunArn=run)["status"] == "SUCCEEDED")

    def _report_new(
        self, opened: Opened, waiting: dict[str, Shard], report: Callable[[Event], None]
    ) -> None:
        for name in list(opened.storage.names(DONE_FOLDER)):
            shard = waiting.get(name)
            done = read_checkpoint(opened.storage, opened.job, shard.number) if shard else None
            if done is not None:
                del waiting[name]
                report(Finished(done))

    def _reason(self, arn: str, state: dict[str, Any]) -> str:
        said = state.get("cause") or state.get("error") or "it says not why"
        return f"the execution {arn} ended {state['status']}: {said[:REASON_CHARS_MAX]}"

    def _execution(self, name: str) -> str:
        """`arn:…:stateMachine:NAME` is `arn:…:execution:NAME:…` of what it runs."""
        return f"{self._arn.replace(':stateMachine:', ':execution:', 1)}:{name}"

    @cached_property
    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        try:
            import boto3
        except ImportError:
            raise EngineUnavailable(
                "The engine stepfunctions needs boto3, which is not installed. Install "
                "farthing[batch]."
            ) from None
        return boto3.client("stepfunctions", region_name=self._arn.split(":")[3])

    def _ask(self, what: str, *, unless: str = "", **arguments: Any) -> Any:
        """The service's answer; None for the error named `unless`."""
        client = self._client
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(client, what)(**arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if unless and code == unless:
                return None
            raise self._unavailable(code or "an error without a name") from None
        except BotoCoreError as error:
            raise self._unavailable(type(error).__name__) from None

    def _unavailable(self, why: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"Step Functions does not do what the job needs of {self._arn} ({why}). See that the "
            "state machine is there, and that you may start, describe and redrive its executions."
        )


def _bucket_of(opened: Opened) -> tuple[str, str]:
    """The bucket of the job's output, and what precedes its files' names there."""
    parts = urlsplit(opened.job.out)
    if parts.scheme != "s3":
        raise JobInvalid(
            f"The engine stepfunctions works on AWS, and the output {opened.job.out} is not in S3. "
            "Give --out s3://BUCKET/out/NAME?region=REGION, in the stack's own bucket."
        )
    here = [given.uri for given in opened.job.inputs if not given.uri.startswith("s3://")]
    if here:
        raise JobInvalid(
            f"The engine stepfunctions works on AWS, and cannot read {here[0]}. Copy the file to "
            "the stack's own bucket, and name it s3://BUCKET/KEY?region=REGION."
        )
    prefix = parts.path.strip("/")
    return parts.netloc, f"{prefix}/" if prefix else ""
