"""The peer that batches: LitServe over ONNX Runtime, in an environment of its own.

    python -m tests.bench.peer_litserve --port 8000

It gathers what waits, up to 32 texts, and answers with bytes that msgspec made.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

import litserve
import msgspec
from starlette.responses import Response

from tests.bench.peer_model import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH_TEXTS = int(os.environ.get("BENCH_BATCH_TEXTS", "32"))
BATCH_WAIT_S = float(os.environ.get("BENCH_BATCH_WAIT_S", "0.001"))
WORKERS = int(os.environ.get("BENCH_WORKERS", "1"))


class Embeddings(litserve.LitAPI):
    """One text a request."""

    def setup(self, device: str) -> None:
        self._model = Model()

    def batch(self, inputs: Sequence[dict[str, str]]) -> Sequence[dict[str, str]]:
        return inputs

    def predict(self, requests: Any, **_: object) -> Any:
        if isinstance(requests, dict):
            return self._model.answers([requests["input"]])[0]
        return self._model.answers([request["input"] for request in requests])

    def unbatch(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        return output

    def encode_response(self, output: dict[str, object], **_: object) -> Response:
        return Response(msgspec.json.encode(output), media_type="application/json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    api = Embeddings(
        max_batch_size=BATCH_TEXTS, batch_timeout=BATCH_WAIT_S, api_path="/v1/embeddings"
    )
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=WORKERS,
        healthcheck_path="/readyz",
        fast_queue=os.environ.get("BENCH_FAST_QUEUE") == "1",
    )
    server.run(
        host="127.0.0.1",
        port=parser.parse_args().port,
        num_api_servers=1,
        log_level="error",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()
