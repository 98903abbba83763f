"""A queue of SQS: what a job's shards are handed out by, and where what cannot be done is kept.

A dead letter is the message that came, with what was wrong with it in its attributes: `reason` is
the sentence, `error` its kind, `source` where the message came from.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from farthing.batch.errors import QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The service's own bound of a batch.
MESSAGES_MAX: Final = 10
ATTEMPTS_MAX: Final = 3
REASON_CHARS_MAX: Final = 1000
REGION: Final = re.compile(r"://sqs\.([a-z0-9-]+)\.amazonaws\.com")
# What the service takes of a text is what XML 1.0 takes.
UNSENDABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Message(NamedTuple):
    """What is sent. Of one `group` a FIFO queue hands out one at a time; a queue that is none knows
    no groups. What has the same `key` is the same message to a FIFO queue, for five minutes.
    """

    body: str
    attributes: dict[str, str] = {}  # noqa: RUF012 - never changed
    group: str = "farthing"
    key: str = ""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message for as long as its receiver holds it, and what it is let go by."""

    id: str
    handle: str
    body: str
    times: int
    group: str
    attributes: dict[str, str]


class Queue:
    """Raises `QueueUnavailable` where the service does not answer, or refuses."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._is_fifo = url.endswith(".fifo")

    @cached_property
    def _client(self) -> Any:
        import boto3

        region = REGION.search(self.url)
        return boto3.client("sqs", region_name=region[1] if region else None)

    def send(self, messages: Sequence[Message]) -> None:
        """Puts all of them there; some may be there after an error."""
        for start in range(0, len(messages), MESSAGES_MAX):
            self._send(messages[start : start + MESSAGES_MAX])

    def receive(self, most: int, *, wait_s: int = 0, hold_s: int) -> list[Received]:
        """Up to `most` messages, which nobody else gets for `hold_s` seconds."""
        answer = self._ask(
            "receive_message",
            MaxNumberOfMessages=min(most, MESSAGES_MAX),
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=hold_s,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
            MessageAttributeNames=["All"],
        )
        return [_received(message) for message in answer.get("Messages", ())]

    def hold(self, message: Received, hold_s: int) -> None:
        """Keeps a message for so many seconds more, or gives it back at once: 0."""
        self._ask(
            "change_message_visibility", ReceiptHandle=message.handle, VisibilityTimeout=hold_s
        )

    def delete(self, message: Received) -> None:
        """Ends a message: it is done."""
        self._ask("delete_message", ReceiptHandle=message.handle)

    @cached_property
    def receives_max(self) -> int | None:
        """After how many receives the queue itself gives a message up; None for never."""
        answer = self._ask("get_queue_attributes", AttributeNames=["RedrivePolicy"])
        policy = answer.get("Attributes", {}).get("RedrivePolicy")
        return None if policy is None else int(msgspec.json.decode(policy)["maxReceiveCount"])

    def _send(self, messages: Sequence[Message]) -> None:
        waiting = {str(number): message for number, message in enumerate(messages)}
        for _ in range(ATTEMPTS_MAX):
            entries = [self._entry(name, message) for name, message in waiting.items()]
            answer = self._ask("send_message_batch", Entries=entries)
            for sent in answer.get("Successful", ()):
                del waiting[sent["Id"]]
            if not waiting:
                return
        raise QueueUnavailable(
            f"{len(waiting)} of {len(messages)} messages could not be sent to {self.url}. See that "
            "the queue is there and takes messages of this size, and try again."
        )

    def _entry(self, name: str, message: Message) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "Id": name,
            "MessageBody": message.body,
            "MessageAttributes": {
                key: {"DataType": "String", "StringValue": _sendable(value)}
                for key, value in message.attributes.items()
                if value
            },
        }
        if self._is_fifo:
            key = message.key or uuid.uuid4().hex
            entry["MessageGroupId"] = message.group
            entry["MessageDeduplicationId"] = hashlib.sha256(key.encode()).hexdigest()
        return entry

    def _ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(self._client, what)(QueueUrl=self.url, **arguments)
        except ClientError as error:
            why = error.response.get("Error", {}).get("Code", "an error without a name")
            raise self._unavailable(why) from None
        except BotoCoreError as error:
            raise self._unavailable(type(error).__name__) from None
        return answer

    def _unavailable(self, why: str) -> QueueUnavailable:
        return QueueUnavailable(
            f"The queue {self.url} cannot be used ({why}). See that it is there, that the region "
            "is its own, and that this role may send, receive and delete its messages."
        )


def dead_letter(body: str, reason: str, error: str, source: str, group: str = "") -> Message:
    """The message for the dead-letter queue."""
    attributes = {"reason": reason[:REASON_CHARS_MAX], "error": error, "source": source}
    return Message(body, attributes, group or "farthing")


def waiting_in(queue: Queue, most: int, hold_s: int) -> Iterator[Received]:
    """Up to `most` of the messages that are there now, each once, held for `hold_s` seconds."""
    seen: set[str] = set()
    while len(seen) < most:
        found = queue.receive(most - len(seen), hold_s=hold_s)
        new = [message for message in found if message.id not in seen]
        if not new:
            return
        seen.update(message.id for message in new)
        yield from new


def redrive(source: Queue, target: Queue, message: Received) -> None:
    """Sends a dead letter back to be tried again, without what was said of it; then removes it.

    Where this is cut short between the two, it is tried twice, which changes nothing.
    """
    target.send([Message(message.body, {}, message.group or "farthing")])
    source.delete(message)


def _received(message: dict[str, Any]) -> Received:
    system = message.get("Attributes", {})
    return Received(
        id=message["MessageId"],
        handle=message["ReceiptHandle"],
        body=message["Body"],
        times=int(system.get("ApproximateReceiveCount", 1)),
        group=system.get("MessageGroupId", ""),
        attributes={
            name: value.get("StringValue", "")
            for name, value in message.get("MessageAttributes", {}).items()
        },
    )


def _sendable(text: str) -> str:
    return UNSENDABLE.sub("?", text)
