"""What serving needs from the layers that plug into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import msgspec

    from farthing.settings import Settings


class Rows(Protocol):
    """A float32 matrix, [inputs, dims]; a NumPy array is one, and core need not import it."""

    def tolist(self) -> list[Any]: ...
    def tobytes(self) -> bytes: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __len__(self) -> int: ...


class Work(Protocol):
    """Inputs made ready to compute, and what they count."""

    @property
    def tokens(self) -> int: ...
    @property
    def truncated(self) -> int: ...


class Answerer(Protocol):
    """A loaded model."""

    name: str
    task: str
    dims: int
    labels: Sequence[str]

    def prepare(self, texts: Sequence[str], /) -> Any:
        """The texts as `Work`; counts tokens and runs nothing."""

    def compute(self, work: Any, /, *, before_batch: Callable[[int], None] | None = None) -> Rows:
        """One row per text. `before_batch` is told each batch's tokens and may raise to stop."""

    def describe(self) -> dict[str, object]:
        """What `/v1/models` says of the model: size, accuracy, digest, licence."""


class Loader(Protocol):
    """Opens every model of a task; the first is the default. Called once, at start."""

    def __call__(self, task: str, settings: Settings, /) -> Sequence[Answerer]: ...


class Contract(Protocol):
    """One endpoint of the HTTP contract: what it takes and how it answers.

    Direct invocations and events carry the same request as the HTTP body.
    """

    task: str
    path: str
    summary: str
    request_type: type[msgspec.Struct]
    answer_schema: dict[str, object]

    def texts(self, request: Any, /) -> Sequence[str]:
        """The inputs of the request."""

    def check(self, request: Any, answerer: Answerer, /) -> None:
        """Raises `InvalidRequest` for what only the model can tell is wrong."""

    def row_bytes_max(self, request: Any, answerer: Answerer, /) -> int:
        """The most bytes that one input can add to the answer's JSON."""

    def shrink_hint(self, request: Any, /) -> str:
        """What to ask for instead to get a smaller answer; may be empty."""

    def answer(self, request: Any, answerer: Answerer, rows: Rows, /) -> dict[str, object]:
        """The answer's body, without usage and charge."""
