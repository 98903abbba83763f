"""A service that keeps files and batches in a folder, its caller, and whoever computes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from farthing.batch.openai import BatchFileRunner
from tests.batch.waiting import KeepingService

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EMBED, CLASSIFY = "/v1/embeddings", "/v1/classify"


def line(custom_id: str, body: object, endpoint: str = EMBED) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": endpoint, "body": body}


def as_file(lines: Sequence[object]) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in lines)


class Shop(KeepingService):
    """With a caller of OpenAI's routes, and what computes their batches."""

    def __init__(self, folder: Path, models: Path, **overrides: object) -> None:
        super().__init__(folder, models, **overrides)
        self.storage = self.store.storage
        self.runner = BatchFileRunner(self.storage, lambda _task: self.service)

    def upload(self, content: bytes, **headers: str) -> dict[str, Any]:
        answer = self.client.post(
            "/v1/files",
            data={"purpose": "batch"},
            files={"file": ("requests.jsonl", content)},
            headers=headers,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def begin(self, lines: Sequence[object], endpoint: str = EMBED) -> str:
        """The id of a batch of these lines, which nobody has computed yet."""
        file = self.upload(as_file(lines))
        asked = {
            "input_file_id": file["id"],
            "endpoint": endpoint,
            "completion_window": "24h",
        }
        answer = self.client.post("/v1/batches", json=asked)
        assert answer.status_code == 200, answer.text
        batch: dict[str, Any] = answer.json()
        assert batch["status"] == "validating"
        return str(batch["id"])

    def batch(self, batch_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/v1/batches/{batch_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        if file_id is None:
            return []
        answer = self.client.get(f"/v1/files/{file_id}/content")
        assert answer.status_code == 200, answer.text
        return [json.loads(one) for one in answer.text.splitlines()]

    def answers(self, batch_id: str) -> list[dict[str, Any]]:
        return self.lines(self.batch(batch_id)["output_file_id"])

    def errors(self, batch_id: str) -> list[dict[str, Any]]:
        return self.lines(self.batch(batch_id)["error_file_id"])

    def sold_keys(self) -> list[tuple[str, int]]:
        """The keys of the entries that are not the house's."""
        return [(entry["writer"], entry["number"]) for entry in self.sold()]
