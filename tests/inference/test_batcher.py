"""What a batcher does with calls: gathers, slices, orders, and tells each what came of it once."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from farthing.errors import DeadlineTooNear, Overloaded
from farthing.inference.batcher import gatherer, open_batcher
from farthing.inference.batcher.door import RESERVE_NS
from farthing.inference.batcher.gatherer import Gatherer
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import open_task
from farthing.settings import read_settings
from tests.core.caching import wait_until
from tests.inference.gathered import (
    AMPLE_MS,
    PATIENCE_S,
    POISON,
    Caller,
    Clock,
    WordModel,
    ask,
    held,
    no_guard,
    row_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUNDLES = ("all-minilm-l6-v2", "product-classifier", "retail-banking-intents")
PHRASES = (
    "my card was charged twice",
    "samsung tv 55 inch",
    "intel core i7",
    "the transfer has not come",
    "lens",
    "why",
    "black silver top up failed",
    "antidisestablishment",
)
HOUR_NS = 3600 * 10**9


@pytest.fixture
def batcher() -> Iterator[Gatherer]:
    opened = Gatherer(1, AMPLE_MS)
    yield opened
    opened.close()


@pytest.fixture
def pair() -> Iterator[Gatherer]:
    """A batcher with two threads."""
    opened = Gatherer(2, AMPLE_MS)
    yield opened
    opened.close()


@pytest.fixture
def model() -> WordModel:
    return WordModel()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    stopped.replace_the_batchers(monkeypatch)
    return stopped


def random_text(generator: random.Random) -> str:
    return " ".join(generator.choices(PHRASES, k=generator.randint(1, 12)))


def test_the_settings_say_how_many_threads_there_are() -> None:
    others = set(threading.enumerate())
    opened = open_batcher(read_settings({"FARTHING_WORKERS": "3"}))
    names = {thread.name for thread in set(threading.enumerate()) - others}
    opened.close()
    assert {"farthing-0", "farthing-1", "farthing-2"} <= names
    assert "farthing-3" not in names


@pytest.mark.parametrize("name", BUNDLES)
def test_answers_in_company_are_those_given_alone_to_the_last_bit(
    name: str, models_dir: Path, pair: Gatherer
) -> None:
    bundle = open_task(Bundle.open(models_dir / name))
    generator = random.Random(name)
    texts = [random_text(generator) for _ in range(100)]
    alone = {text: bundle.compute(bundle.prepare([text]))[0] for text in texts}
    calls = [
        [generator.choice(texts) for _ in range(generator.choice((1, 1, 1, 2, 7, 40)))]
        for _ in range(50)
    ]
    asked = [(call, ask(pair, bundle, call)) for call in calls]
    for call, caller in asked:
        np.testing.assert_array_equal(caller.result(), np.array([alone[text] for text in call]))
    together = bundle.compute(bundle.prepare(texts))
    np.testing.assert_array_equal(together, np.array([alone[text] for text in texts]))


def test_what_waits_shares_the_next_run(batcher: Gatherer, model: WordModel) -> None:
    held(batcher, model)
    callers = [ask(batcher, model, [text]) for text in ("four", "five", "nine")]
    model.is_open.set()
    assert [caller.result().tolist() for caller in callers] == [
        [row_of(text)] for text in ("four", "five", "nine")
    ]
    assert model.runs[1:] == [["four", "five", "nine"]]


def test_a_run_is_of_texts_near_in_length_and_within_its_ids(batcher: Gatherer) -> None:
    model = WordModel(batch_ids_max=320)
    held(batcher, model)
    generator = random.Random(5)
    texts = ["x" * generator.randint(1, 400) for _ in range(300)]
    callers = [ask(batcher, model, [text]) for text in texts]
    model.is_open.set()
    for caller in callers:
        caller.result()
    for run in model.runs:
        lengths = [len(text) for text in run]
        ids = len(run) * max(lengths)
        assert ids <= 320 or len(run) == 1
        assert ids - sum(lengths) <= 20


def test_texts_share_only_what_their_bundle_allows(batcher: Gatherer) -> None:
    for sharing, widest in (("equal", 1), ("alone", 1), ("padded", 3)):
        model = WordModel(sharing)
        held(batcher, model)
        callers = [ask(batcher, model, [text]) for text in ("a", "bb", "c", "dd", "ccc") * 3]
        model.is_open.set()
        for caller in callers:
            caller.result()
        runs = model.runs[1:]
        assert max(len({len(text) for text in run}) for run in runs) == widest
        assert (max(map(len, runs)) == 1) == (sharing == "alone")


def test_two_models_never_share_a_run(batcher: Gatherer) -> None:
    first, second = WordModel(), WordModel()
    held(batcher, first)
    callers = [ask(batcher, model, ["text"]) for model in (first, second) * 5]
    first.is_open.set()
    for caller in callers:
        caller.result()
    assert first.runs == [["hold"], ["text"] * 5]
    assert second.runs == [["text"] * 5]


def test_tiny_calls_pass_between_the_slices_of_a_huge_one(batcher: Gatherer) -> None:
    model = WordModel()
    held(batcher, model)
    huge_texts = [f"{number:012}" for number in range(2048)]
    huge = ask(batcher, model, huge_texts)
    tiny = [ask(batcher, model, ["tiny"]) for _ in range(50)]
    model.is_open.set()
    assert huge.result().tolist() == [row_of(text) for text in huge_texts]
    assert max(caller.place for caller in tiny) < huge.place
    # All but the first slice came after them: the tiny ones are at the head of the queue.
    last_tiny = max(at for at, run in enumerate(model.runs) if "tiny" in run)
    assert last_tiny <= 3
    assert all(caller.result().tolist() == [row_of("tiny")] for caller in tiny)


def test_a_huge_call_gets_on_however_many_tiny_ones_come_after_it(batcher: Gatherer) -> None:
    model = WordModel("alone")
    held(batcher, model)
    huge = ask(batcher, model, ["huge"] * 40)

    class Again(Caller):
        def __call__(self, result: Any, error: BaseException | None) -> None:
            super().__call__(result, error)
            if not huge.is_told.is_set() and len(model.runs) < 1000:
                batcher.submit(tiny, Again())

    tiny = ask_guarded(model, ["tiny"], RuntimeError())
    for _ in range(3):
        batcher.submit(tiny, Again())
    model.is_open.set()
    huge.result()
    last = max(at for at, text in enumerate(model.texts) if text == "huge")
    # It is one of four that always wait.
    assert 100 < last < 200


def test_thousands_of_tiny_calls_and_a_huge_text_are_all_answered() -> None:
    opened = Gatherer(2, AMPLE_MS)
    model = WordModel(batch_ids_max=64)
    texts = [f"t{number}" for number in range(3000)] + ["y" * 50_000]
    random.Random(1).shuffle(texts)
    callers = [ask(opened, model, [text], tenant=text[:2]) for text in texts]
    assert [caller.result().tolist() for caller in callers] == [[row_of(text)] for text in texts]
    opened.close()


def test_a_failing_text_fails_only_its_own_call(batcher: Gatherer, model: WordModel) -> None:
    held(batcher, model)
    calls = [["first"], ["second", POISON, "third!"], ["fourth"]]
    callers = [ask(batcher, model, call) for call in calls]
    model.is_open.set()
    assert callers[0].result().tolist() == [row_of("first")]
    with pytest.raises(ArithmeticError):
        callers[1].result()
    assert callers[2].result().tolist() == [row_of("fourth")]


def test_what_nobody_waits_for_is_not_computed(batcher: Gatherer, model: WordModel) -> None:
    held(batcher, model)
    gone = ask(batcher, model, ["gone", "gone too"])
    stays = ask(batcher, model, ["stays"])
    gone.ticket.cancel()
    gone.ticket.cancel()
    model.is_open.set()
    stays.result()
    assert model.texts == ["hold", "stays"]
    assert gone.told == []


def test_a_call_cancelled_while_it_is_computed_is_told_nothing(
    batcher: Gatherer, model: WordModel
) -> None:
    first = held(batcher, model)
    first.ticket.cancel()
    model.is_open.set()
    ask(batcher, model, ["next"]).result()
    assert first.told == []


def test_equal_texts_by_key_are_computed_once_for_all(batcher: Gatherer, model: WordModel) -> None:
    held(batcher, model)
    callers = [
        ask(batcher, model, [name, "same"], keys=[name.encode(), b"same"], tenant=name)
        for name in ("anna", "bert", "carl")
    ]
    model.is_open.set()
    for caller, name in zip(callers, ("anna", "bert", "carl"), strict=True):
        assert caller.result().tolist() == [row_of(name), row_of("same")]
    assert sorted(model.texts) == ["anna", "bert", "carl", "hold", "same"]


def test_a_call_may_join_a_text_that_is_being_computed(batcher: Gatherer, model: WordModel) -> None:
    model.is_open.clear()
    first = ask(batcher, model, ["same"], keys=[b"k"])
    assert model.has_begun.acquire(timeout=PATIENCE_S)
    second = ask(batcher, model, ["same", "same"], keys=[b"k", b"k"])
    model.is_open.set()
    assert first.result().tolist() == [row_of("same")]
    assert second.result().tolist() == [row_of("same")] * 2
    assert model.runs == [["same"]]
    first.result()[:] = 0
    assert ask(batcher, model, ["same"], keys=[b"k"]).result().tolist() == [row_of("same")]
    assert len(model.runs) == 2


def test_a_shared_text_goes_on_for_those_who_stay(batcher: Gatherer, model: WordModel) -> None:
    held(batcher, model)
    gone = ask(batcher, model, ["same"], keys=[b"k"], tenant="gone")
    stays = ask(batcher, model, ["same"], keys=[b"k"], tenant="stays")
    gone.ticket.cancel()
    model.is_open.set()
    assert stays.result().tolist() == [row_of("same")]
    assert gone.told == []


def test_what_cannot_be_begun_in_time_is_refused_and_not_computed(
    batcher: Gatherer, model: WordModel, clock: Clock
) -> None:
    held(batcher, model)
    late = ask(batcher, model, ["late"], left_ns=RESERVE_NS + 30_000_000)
    shared_late = ask(batcher, model, ["both"], keys=[b"k"], left_ns=RESERVE_NS + 30_000_000)
    shared = ask(batcher, model, ["both"], keys=[b"k"])
    clock.sleep(0.05)
    model.is_open.set()
    for caller in (late, shared_late):
        with pytest.raises(DeadlineTooNear) as refused:
            caller.result()
        assert refused.value.headers["retry-after"] == "1"
    assert shared.result().tolist() == [row_of("both")]
    assert model.texts == ["hold", "both"]


def test_a_machine_that_stood_still_once_is_not_taken_for_slow_for_ever(
    batcher: Gatherer, clock: Clock
) -> None:
    model = WordModel()
    model.takes_s = 3.0
    ask(batcher, model, ["tokens"]).result()
    # At that pace a hundred tokens take fifty seconds.
    for _ in range(4):
        with pytest.raises(DeadlineTooNear):
            ask(batcher, model, ["x" * 100], left_ns=30 * 10**9).result()
    ask(batcher, model, ["x" * 100], left_ns=30 * 10**9).result()
    assert len(model.runs) == 2


def test_the_earlier_deadline_is_first_among_a_tenants_calls(batcher: Gatherer) -> None:
    model = WordModel("alone")
    held(batcher, model)
    hours = [40, 20, 50, 10, 30]
    callers = [ask(batcher, model, [str(h)], left_ns=h * HOUR_NS) for h in hours]
    model.is_open.set()
    for caller in callers:
        caller.result()
    assert model.texts[1:] == ["10", "20", "30", "40", "50"]


def test_a_flood_of_one_tenant_does_not_hold_up_another(batcher: Gatherer) -> None:
    model = WordModel("alone")
    held(batcher, model)
    flood = [ask(batcher, model, ["flood"], tenant="loud") for _ in range(300)]
    quiet = [ask(batcher, model, ["quiet"], tenant="quiet") for _ in range(20)]
    model.is_open.set()
    for caller in (*flood, *quiet):
        caller.result()
    places = [at for at, text in enumerate(model.texts) if text == "quiet"]
    # Every other turn is theirs.
    assert places[0] <= 2
    assert places[-1] <= 41


def test_two_tenants_are_given_the_same_time_whatever_they_ask(batcher: Gatherer) -> None:
    model = WordModel(batch_ids_max=64)
    held(batcher, model)
    callers = [ask(batcher, model, ["a" * 16] * 10, tenant="long") for _ in range(20)]
    callers += [ask(batcher, model, ["bbbb"], tenant="short") for _ in range(800)]
    model.is_open.set()
    for caller in callers:
        caller.result()
    given = {"a": 0, "b": 0}
    for run in model.runs[1:]:
        for text in run:
            given[text[0]] += len(text)
        if 0 < given["a"] < 3200 and 0 < given["b"] < 3200:
            assert abs(given["a"] - given["b"]) <= 2 * 64


def test_the_low_lane_waits_for_all_others_but_not_for_ever(
    batcher: Gatherer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = WordModel("alone")
    model.takes_s = 0.003
    held(batcher, model)
    low = [ask(batcher, model, ["low"], is_low=True) for _ in range(3)]
    high = [ask(batcher, model, ["high"]) for _ in range(30)]
    model.is_open.set()
    for caller in (*low, *high):
        caller.result()
    assert model.texts[1:] == ["high"] * 30 + ["low"] * 3
    monkeypatch.setattr(gatherer, "LOW_TURN_NS", 20_000_000)
    held(batcher, model)
    low = [ask(batcher, model, ["low"], is_low=True) for _ in range(2)]
    high = [ask(batcher, model, ["high"]) for _ in range(30)]
    model.is_open.set()
    for caller in (*low, *high):
        caller.result()
    # Seven runs of three milliseconds each are more than twenty; the held one is the first of them.
    assert model.texts[34:49] == ["hold", *["high"] * 6, "low", *["high"] * 6, "low"]


def test_a_text_asked_for_at_once_does_not_wait_in_the_low_lane(
    batcher: Gatherer, model: WordModel
) -> None:
    model = WordModel("alone")
    held(batcher, model)
    patient = ask(batcher, model, ["both"], keys=[b"k"], is_low=True)
    others = [ask(batcher, model, ["low"], is_low=True) for _ in range(5)]
    hasty = ask(batcher, model, ["both"], keys=[b"k"])
    model.is_open.set()
    for caller in (patient, hasty, *others):
        caller.result()
    assert model.texts == ["hold", "both", *["low"] * 5]


def test_work_that_cannot_be_cut_is_computed_whole_and_guarded(batcher: Gatherer) -> None:
    class Whole:
        name, task = "whole", "search"

        def prepare(self, texts: list[str]) -> Any:
            return WordModel().prepare(texts)

        def compute(self, work: Any, *, before_batch: Any) -> str:
            before_batch(work.tokens)
            return f"{len(work.texts)} found"

    whole = Whole()
    assert ask(batcher, whole, ["one", "two"]).result() == "2 found"
    caller = Caller()
    computation = ask_guarded(whole, ["one"], DeadlineTooNear("too late"))
    batcher.submit(computation, caller)
    with pytest.raises(DeadlineTooNear):
        caller.result()


def ask_guarded(model: Any, texts: list[str], refusal: Exception) -> Any:
    def guard(tokens: int) -> None:
        raise refusal

    kept: list[Any] = []

    class Keeping:
        def submit(self, computation: Any, done: Any) -> Any:
            kept.append(computation)

    ask(Keeping(), model, texts)  # type: ignore[arg-type]
    return kept[0]._replace(guard=guard)


def test_a_thread_outlives_whatever_a_model_or_a_caller_raises(batcher: Gatherer) -> None:
    class Ending(WordModel):
        def run(self, words: Any) -> np.ndarray:
            raise SystemExit

    with pytest.raises(SystemExit):
        ask(batcher, Ending(), ["text"]).result()

    class Raising(Caller):
        def __call__(self, result: Any, error: BaseException | None) -> None:
            super().__call__(result, error)
            raise KeyboardInterrupt

    model = WordModel()
    raising = Raising()
    asked = ask_guarded(model, ["text"], RuntimeError())._replace(guard=no_guard)
    batcher.submit(asked, raising)
    raising.result()
    assert ask(batcher, model, ["next"]).result().tolist() == [row_of("next")]


def test_closing_answers_what_waits_and_takes_no_more() -> None:
    opened, model = Gatherer(2, AMPLE_MS), WordModel("alone")
    model.takes_s = 0.001
    callers = [ask(opened, model, ["text"]) for _ in range(50)]
    opened.close()
    assert all(caller.is_told.is_set() for caller in callers)
    with pytest.raises(Overloaded, match="stopping"):
        ask(opened, model, ["text"])


def test_idle_threads_use_no_processor_time() -> None:
    opened = Gatherer(2, 1000)
    ask(opened, WordModel(), ["text"]).result()
    # Their own: other tests' threads may be busy.
    clocks = [time.pthread_getcpuclockid(thread.ident) for thread in opened._threads]
    before_s = sum(map(time.clock_gettime, clocks))
    time.sleep(0.3)
    spent_s = sum(map(time.clock_gettime, clocks)) - before_s
    opened.close()
    assert spent_s < 0.1


def test_in_a_storm_every_call_is_told_once_and_nothing_is_left() -> None:
    opened, model = Gatherer(3, AMPLE_MS), WordModel(batch_ids_max=48)
    answered, cancelled = [0], [0]
    silent: list[Caller] = []
    lock = threading.Lock()

    def caller_thread(seed: int) -> None:
        generator = random.Random(seed)
        for number in range(150):
            texts = [
                generator.choice(["a", "bb", "ccc", "dddd" * 9, POISON, f"{seed}-{number}"])
                for _ in range(generator.choice((1, 1, 2, 9)))
            ]
            keys = [text.encode() for text in texts] if generator.random() < 0.5 else []
            try:
                caller = ask(
                    opened,
                    model,
                    texts,
                    tenant=str(seed % 3),
                    keys=keys,
                    is_low=generator.random() < 0.2,
                    left_ns=generator.choice((RESERVE_NS + 10**6, 10**11, 10**11)),
                )
            except Overloaded:
                with lock:
                    answered[0] += 1
                continue
            if generator.random() < 0.2:
                is_left = caller.ticket.cancel()
                with lock:
                    cancelled[0] += 1
                    silent.extend([caller] if is_left else [])
                assert is_left or caller.is_told.wait(PATIENCE_S)
                continue
            try:
                assert caller.result().tolist() == [row_of(text) for text in texts]
            except ArithmeticError:
                assert POISON in texts
            except DeadlineTooNear:
                pass
            with lock:
                answered[0] += 1

    threads = [threading.Thread(target=caller_thread, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened.close()
    assert answered[0] + cancelled[0] == 8 * 150
    assert not any(caller.told for caller in silent)
    assert opened._in_flight == {}
    for lane in (opened._high, opened._low):
        assert (lane.flows, lane.waiting_ns, sum(map(len, lane._lengths.values()))) == ({}, 0, 0)


def test_a_share_weighs_what_its_texts_count_in_all_the_runs_under_way() -> None:
    opened, model = Gatherer(2, AMPLE_MS), WordModel("alone")
    model.is_open.clear()
    caller = ask(opened, model, ["four", "seventy"])
    for _ in range(2):
        assert model.has_begun.acquire(timeout=PATIENCE_S)
    share = caller.ticket.share  # type: ignore[attr-defined]
    assert share.tokens == 11
    model.is_open.set()
    caller.result()
    assert share.tokens == 0
    opened.close()


def test_the_model_is_divided_among_idle_threads_only_where_parts_are_worth_a_run() -> None:
    opened, model = Gatherer(2, AMPLE_MS), WordModel()
    for texts in (["four"] * 4, ["x" * 32] * 16):
        wait_until(lambda: len(opened._idle) == 2)
        ask(opened, model, texts).result()
    opened.close()
    assert model.runs[0] == ["four"] * 4
    assert len(model.runs) == 3
    assert min(map(len, model.runs[1:])) >= 4
