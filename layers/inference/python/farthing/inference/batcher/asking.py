"""What a batcher is asked for, as far as it needs to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Share(Protocol):
    """Who is told when a call's tokens are computed."""

    def begin(self, tokens: int, /) -> None:
        """From now on so many more of its tokens are computed."""

    def end(self, tokens: int, /) -> None:
        """So many of them are not any more."""


class Answerer(Protocol):
    """What computes. One that says which of its texts may share a run (`sharing`) is asked by
    `run`, with `batch_ids_max`, as a `TextModel`; any other by `compute`, with all of its work.
    """

    def compute(self, work: Any, /, *, before_batch: Callable[[int], None] | None = None) -> Any:
        """What the work comes to."""


class Computation(Protocol):
    """Work that waits for a thread, and for whom.

    `keys` name its texts, in order, where equal ones may be computed once for all who wait.
    `guard` is asked ahead of what stays whole. `is_low`: only while nothing else waits.
    """

    @property
    def answerer(self) -> Answerer: ...
    @property
    def work(self) -> Any:
        """What `prepare` gave: it counts `tokens`, and has `texts` where they may be parted."""

    @property
    def guard(self) -> Callable[[int], None]: ...
    @property
    def share(self) -> Share: ...
    @property
    def tenant(self) -> str: ...
    @property
    def deadline_ns(self) -> int:
        """On the clock of `time.perf_counter_ns`."""

    @property
    def keys(self) -> Sequence[bytes]: ...
    @property
    def is_low(self) -> bool: ...
