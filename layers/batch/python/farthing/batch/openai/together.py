"""Many requests of one endpoint computed as one invocation, their texts sharing batches."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from farthing.errors import InvalidRequest, Refusal
from farthing.inference.tasks import Prepared
from farthing.serving.limits import read_request
from farthing.serving.ports import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.serving.ports import Contract, TextAnswerer
    from farthing.settings import Settings


class Named(msgspec.Struct, frozen=True):
    """What all the requests have in common."""

    model: str | None = None


class Part(NamedTuple):
    """One request of them, checked and prepared as it would be by itself."""

    request: Any
    work: Prepared


class Together:
    """A contract over the bodies of several requests to another one.

    Every request is answered as by itself: `answers` has those that are, and `refused` why the
    others are not, by their places in `bodies`. Only what it is computed with is shared.
    """

    names = "model"
    is_cached = False
    request_type: type[msgspec.Struct] = Named

    def __init__(self, contract: Contract, bodies: Sequence[bytes]) -> None:
        self._contract = contract
        self._bodies = bodies
        self.task = contract.task
        self.answered_by = contract.answered_by
        self.path = contract.path
        self.operation = contract.operation
        self.summary = contract.summary
        self.statuses = contract.statuses
        self.answer_schema = contract.answer_schema
        self.parts: dict[int, Part] = {}
        self.answers: dict[int, dict[str, object]] = {}
        self.refused: dict[int, Refusal] = {}

    def asking(self, texts: Sequence[str]) -> dict[str, object]:
        return self._contract.asking(texts)

    def work(self, request: Named, answerer: TextAnswerer, settings: Settings) -> Prepared:
        """All that can be computed, as one work. Raises a `Refusal` where that is nothing."""
        for place, body in enumerate(self._bodies):
            try:
                self.parts[place] = self._part(body, answerer, settings)
            except Refusal as refusal:
                self.refused[place] = refusal
        works = [part.work for part in self.parts.values()]
        if not works:
            raise self.refused[0]
        return Prepared(
            list(chain.from_iterable(work.texts for work in works)),
            tokens=sum(work.tokens for work in works),
            truncated=sum(work.truncated for work in works),
        )

    def answer(
        self, request: Named, answerer: TextAnswerer, result: Any, request_id: str
    ) -> Answer:
        """Nothing by itself: each request's answer is in `answers`, or it is in `refused`.

        Raises a `Refusal` where all are.
        """
        start = 0
        for place, part in self.parts.items():
            end = start + len(part.work.texts)
            try:
                answer = self._contract.answer(
                    part.request, answerer, result[start:end], request_id
                )
                self.answers[place] = cast("dict[str, object]", answer.body)
            except Refusal as refusal:
                self.refused[place] = refusal
            start = end
        if not self.answers:
            raise self.refused[0]
        return Answer({})

    def _part(self, body: bytes, answerer: TextAnswerer, settings: Settings) -> Part:
        request = read_request(body, self._contract.request_type)
        if getattr(request, "webhook", None) is not None:
            raise InvalidRequest(
                "A request in a batch has no webhook of its own. Leave it out, and ask for the "
                "batch's state instead."
            )
        return Part(request, self._contract.work(request, answerer, settings))
