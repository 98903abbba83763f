"""Messages of SQS, ten at a time: each is done by itself, and only those that failed come again.

Powertools tells Lambda which. What cannot be done at all is not tried until the queue gives it up:
it goes to the dead-letter queue at once, with the reason, and what fails goes there when its last
time has come.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    process_partial_response,
)

from farthing.batch.errors import QueueUnavailable
from farthing.batch.events.poison import is_permanent, said_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    from farthing.batch.events.poison import DeadLetters
    from farthing.settings import Settings

FIFO = ".fifo"

log = logging.getLogger("farthing")


class Records:
    """Does SQS records by `do`, which is given a message's body and raises where it fails."""

    def __init__(
        self, settings: Settings, dead_letters: DeadLetters, do: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._dead_letters = dead_letters
        self._do = do

    def answer(self, event: dict[str, Any]) -> dict[str, Any]:
        """`{"batchItemFailures": […]}`: the messages that are to come again."""
        is_ordered = event["Records"][0].get("eventSourceARN", "").endswith(FIFO)
        # Behind a message that failed only its own group waits.
        processor: BatchProcessor = (
            SqsFifoPartialProcessor(skip_group_on_error=True)
            if is_ordered
            else BatchProcessor(EventType.SQS)
        )
        # That all failed is no other case: Lambda would log it as a crash.
        processor.raise_on_entire_batch_failure = False
        return {**process_partial_response(event, self._one, processor, context=None)}

    def _one(self, record: SQSRecord) -> None:
        try:
            self._do(record.body)
        except Exception as error:
            if (is_permanent(error) or self._is_last(record)) and self._keep(record, error):
                return
            log.warning("a message comes again: %s", said_of(error))
            raise

    def _keep(self, record: SQSRecord, error: Exception) -> bool:
        source = record.raw_event.get("eventSourceARN", "")
        group = record.attributes.message_group_id or ""
        return self._dead_letters.keep(record.body, error, source, group)

    def _is_last(self, record: SQSRecord) -> bool:
        """Whether the queue would give the message up now, and say no reason."""
        most = self._receives_max
        return most is not None and int(record.attributes.approximate_receive_count) >= most

    @cached_property
    def _receives_max(self) -> int | None:
        if not self._settings.batch_queue:
            return None
        from farthing.batch.events.queue import Queue

        try:
            return Queue(self._settings.batch_queue).receives_max
        except QueueUnavailable as error:
            log.warning("%s", error)
            return None
