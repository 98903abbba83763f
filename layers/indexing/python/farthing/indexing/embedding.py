"""Embedding on several cores at once, in the order of asking."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from farthing.inference.tasks import Embedder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from farthing.inference.bundle import Bundle

    Halves = NDArray[np.float16]

Asked = TypeVar("Asked")
# Some seven seconds: enough to keep every core busy while a segment is being written.
BATCHES_AHEAD = 3
CHARS_AHEAD_MAX = 16_000_000


class EmbeddingPool:
    """`workers` threads that share one loaded model, a core each; use it in a `with`.

    ONNX Runtime and the tokenizer compute outside of Python's lock. Processes were no faster, and
    each took 150 MB more.
    """

    def __init__(self, bundle: Bundle, workers: int) -> None:
        self._embedder = Embedder(bundle)
        self._ahead = BATCHES_AHEAD * workers
        self._threads = ThreadPoolExecutor(workers, "embedding")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def embed(
        self, batches: Iterable[Asked], texts_of: Callable[[Asked], Sequence[str]]
    ) -> Iterator[tuple[Asked, Halves]]:
        """Every batch with its texts' vectors, float16 [texts, dims], in the batches' order.

        Batches are taken ahead, up to a bound.
        """
        waiting: deque[tuple[Asked, int, Future[Halves]]] = deque()
        chars_ahead = 0
        for batch in batches:
            texts = texts_of(batch)
            chars = sum(map(len, texts))
            waiting.append((batch, chars, self._threads.submit(self._vectors, texts)))
            chars_ahead += chars
            while (
                len(waiting) > self._ahead
                or (waiting and waiting[0][2].done())
                or (chars_ahead > CHARS_AHEAD_MAX and len(waiting) > 1)
            ):
                done, chars, vectors = waiting.popleft()
                chars_ahead -= chars
                yield done, vectors.result()
        for done, _, vectors in waiting:
            yield done, vectors.result()

    def _vectors(self, texts: Sequence[str]) -> Halves:
        return self._embedder.vectors(texts).astype(np.float16)
