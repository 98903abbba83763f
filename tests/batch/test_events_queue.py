"""Queues, dead letters and the command that sends them back, against moto's SQS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from farthing.batch.errors import QueueUnavailable
from farthing.batch.events.queue import Message, Queue, dead_letter
from farthing.cli.main import app
from tests.batch.cloud import Cloud, aws_variables, cloud_running
from tests.functions.server import farthing, run_to_end

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with cloud_running() as running:
        yield running


def redrive(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["batch", "redrive", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_more_messages_than_a_batch_holds_all_arrive(cloud: Cloud) -> None:
    queue = Queue(cloud.queue())
    queue.send([Message(f"body {number}") for number in range(23)])
    bodies = [message["Body"] for message in cloud.take_all(queue.url)]
    assert sorted(bodies) == sorted(f"body {number}" for number in range(23))


def test_a_fifo_queue_keeps_one_of_what_is_the_same(cloud: Cloud) -> None:
    queue = Queue(cloud.queue(fifo=True))
    for _ in range(2):
        queue.send([Message("one", group="a", key="1"), Message("two", group="b", key="2")])
    found = cloud.take_all(queue.url)
    assert sorted(message["Body"] for message in found) == ["one", "two"]
    assert {message["Attributes"]["MessageGroupId"] for message in found} == {"a", "b"}


def test_a_dead_letter_says_why_even_of_what_has_no_name_to_print(cloud: Cloud) -> None:
    queue = Queue(cloud.queue())
    queue.send([dead_letter("body", "a\x00b is no gzip " + "x" * 2000, "InputInvalid", "source")])
    ((error, reason),) = cloud.letters(queue.url)
    assert error == "InputInvalid"
    assert reason.startswith("a?b is no gzip x")
    assert len(reason) == 1000


def test_a_queue_that_is_not_there_is_told_in_a_sentence(cloud: Cloud) -> None:
    missing = Queue(cloud.queue() + "-gone")
    with pytest.raises(QueueUnavailable, match=r"-gone cannot be used .*role may send"):
        missing.send([Message("body")])


def test_redrive_lists_reasons_and_leaves_what_it_lists(cloud: Cloud) -> None:
    dead = cloud.queue()
    Queue(dead).send([dead_letter("b", "a.gz is cut short. Send it again.", "InputInvalid", "s")])
    for _ in range(2):
        told = redrive("--from", dead, "--list")
        assert "InputInvalid: a.gz is cut short. Send it again." in told
        assert "Messages that lie there: 1." in told
    assert len(cloud.take_all(dead)) == 1


def test_redrive_sends_back_no_more_than_asked_and_tells_of_each(cloud: Cloud) -> None:
    dead, queue = cloud.queue(), cloud.queue()
    Queue(dead).send(
        [dead_letter(f"body {n}", f"reason {n}", "JobInvalid", "s") for n in range(12)]
    )
    told = json.loads(redrive("--from", dead, "--to", queue, "--max", "5", "--json"))
    assert (len(told), {one["error"] for one in told}) == (5, {"JobInvalid"})
    assert all(one["redriven"] and one["reason"].startswith("reason ") for one in told)
    assert "Messages that were sent back: 7." in redrive("--from", dead, "--to", queue)
    found = cloud.take_all(queue)
    assert sorted(message["Body"] for message in found) == sorted(f"body {n}" for n in range(12))
    assert not any("MessageAttributes" in message for message in found)
    assert cloud.take_all(dead) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "FARTHING_BATCH_DEAD_LETTERS"),
        (("--from", "http://127.0.0.1:9/1/dead"), "FARTHING_BATCH_QUEUE"),
    ],
)
def test_redrive_refuses_in_a_sentence(cloud: Cloud, arguments: tuple[str, ...], says: str) -> None:
    done = run_to_end(farthing("batch", "redrive", *arguments), aws_variables())
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
