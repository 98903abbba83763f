"""What serving needs from the layers that plug into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import msgspec

    from farthing.billing.shares import Share
    from farthing.settings import Settings


class Rows(Protocol):
    """A float32 matrix, [inputs, dims]; a NumPy array is one, and core need not import it.

    Where several models gave it, as a cascade's, it also has `models`, how many rows each of them
    gave, and `stages_ns`, how long each took that was asked.
    """

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


class TextWork(Work, Protocol):
    """Texts made ready to compute."""

    @property
    def counts(self) -> Sequence[tuple[int, bool]]:
        """For each text its tokens, and whether it was cut."""


class Answerer(Protocol):
    """What is loaded and answers: a model, an index."""

    name: str
    task: str

    def prepare(self, texts: Sequence[str], /) -> Any:
        """The texts as `Work`; counts tokens and runs nothing."""

    def compute(self, work: Any, /, *, before_batch: Callable[[int], None] | None = None) -> Any:
        """What the work comes to, as its contract reads it.

        `before_batch` is told each batch's tokens and may raise to stop.
        """

    def describe(self) -> dict[str, object]:
        """What `/v1/models` says of it: size, accuracy, digest, licence."""


class TextAnswerer(Answerer, Protocol):
    """A model of texts: `prepare` gives `TextWork`, `compute` `Rows`, one for each text.

    `dims` is the length of a row. Two texts with one `normal` form have the same row, bit by bit,
    and count the same.
    """

    dims: int
    labels: Sequence[str]
    digest: str

    def normal(self, text: str, /) -> str:
        """The text as the model tells it from others: without what its tokenizer ignores."""

    def assemble(self, kept: Sequence[bytes | None], rows: Rows | None, /) -> Rows:
        """Rows in order: those kept, as the bytes of their float32, else the next of `rows`."""


class Computation(NamedTuple):
    """Work that waits for a thread.

    `keys` name the work's texts, in order, where equal ones may be computed once for all who
    wait. `guard` is asked ahead of what cannot be gathered with others, as `before_batch`.
    `is_low`: only while nothing else waits.
    """

    answerer: Answerer
    work: Any
    guard: Callable[[int], None]
    share: Share
    tenant: str
    deadline_ns: int
    keys: Sequence[bytes] = ()
    is_low: bool = False


class Ticket(Protocol):
    """A computation's place in the queue."""

    def cancel(self) -> bool:
        """Nobody waits any more: what has not begun is not computed.

        True where `done` will not be called for it; False where that is too late.
        """


class Batcher(Protocol):
    """The threads that compute, and what waits for them."""

    def admit(self, tenant: str, deadline_ns: int, /) -> None:
        """Raises `Overloaded` or `TooManyWaiting` where a call that came now could not be begun
        in time; cheap enough to ask before a body is read."""

    def submit(
        self, computation: Computation, done: Callable[[Any, BaseException | None], None], /
    ) -> Ticket:
        """Computes it beside others; `done` is told the result, or what kept it from one.

        `done` is called once, on a thread that computes. Shares compute and wait by the rule of
        `SharedTime`. Raises as `admit`.
        """

    def close(self) -> None:
        """Ends the threads once nothing waits."""


class Found(Protocol):
    """What a search comes to. Stages are in the order in which they ran."""

    @property
    def hits(self) -> Sequence[Any]:
        """Best first, each with `id`, `score`, `document` and `explain`."""

    @property
    def stages_ns(self) -> Mapping[str, int]: ...
    @property
    def version(self) -> int: ...


class Searcher(Answerer, Protocol):
    """An index: searched, and written to where the settings let it be."""

    def prepare_search(
        self,
        query: str,
        /,
        *,
        top_k: int,
        where: Mapping[str, Any],
        mode: str,
        explain: bool,
        tiers: Literal["auto", "hot", "all"],
    ) -> Work:
        """The search made ready; `compute` gives `Found`. Raises `InvalidRequest`."""

    def prepare_change(
        self, upserts: Sequence[Mapping[str, Any]], deletes: Sequence[str], /
    ) -> Work:
        """The change made ready; `compute` gives `Changed`.

        Raises `Forbidden` where nothing may be written, and `InvalidRequest`.
        """


class Changed(NamedTuple):
    """What became of a change: the version that has it, or the receipt of one that waits."""

    accepted: int
    receipt: str = ""
    version: int | None = None


class Ranked(NamedTuple):
    """A score of 0 to 1 for each document, and how long each stage took."""

    scores: Sequence[float]
    stages_ns: Mapping[str, int]


class Reranker(Answerer, Protocol):
    """Scores documents against a query."""

    def prepare_ranking(
        self, query: str, documents: Sequence[str], /, *, document_tokens_max: int | None
    ) -> Work:
        """The ranking made ready; `compute` gives `Ranked`. Documents may be blank."""


class Loader(Protocol):
    """Opens every answerer of a function; the first of a task is its default. Called once."""

    def __call__(self, task: str, settings: Settings, /) -> Sequence[Answerer]: ...


class Answer(NamedTuple):
    """What a contract answers, without usage and charge.

    A body that is a list has no room for them; they go into headers. `stages_ns` are told with
    their prices where there are any, and `models` with how many inputs each answered.
    """

    body: dict[str, object] | list[object]
    status: int = 200
    stages_ns: Mapping[str, int] | None = None
    models: Mapping[str, int] | None = None


class Contract(Protocol):
    """One endpoint of the HTTP contract: what it takes and how it answers.

    Direct invocations and events carry the same request as the HTTP body. `task` is the scope that
    a key needs and what the ledger calls the work; `answered_by` is the task of its answerers, and
    `names` the request's member that may name one of them. `is_cached`: they are models of texts,
    whose rows may be kept for the next who asks.
    """

    task: str
    answered_by: str
    names: str
    is_cached: bool
    path: str
    operation: str
    summary: str
    statuses: Sequence[int]
    request_type: type[msgspec.Struct]
    answer_schema: dict[str, object]

    def asking(self, texts: Sequence[str], /) -> dict[str, object]:
        """The plainest request about these texts."""

    def work(self, request: Any, answerer: Any, settings: Settings, /) -> Any:
        """The request as `Work`, checked and bounded; runs nothing.

        Raises `InvalidRequest`, `InputTooLong` and `AnswerTooLarge`.
        """

    def answer(self, request: Any, answerer: Any, result: Any, request_id: str, /) -> Answer:
        """What to send. Raises `AnswerTooLarge` where only the result could tell."""
