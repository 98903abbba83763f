"""A cheap model answers what it is sure of, the next one the rest, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from farthing.errors import BundleCorrupt, BundleMissing, BundleTooNew, StartupError
from farthing.inference.bundle import Bundle, read_manifest
from farthing.inference.cascade.answering import Cascade, CascadeRows
from farthing.inference.cascade.manifest import FORMAT, read_cascade
from farthing.inference.tasks import open_models, open_task
from farthing.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.inference.tasks import TextModel

WORDS, INTENTS, NAME = "retail-banking-words", "retail-banking-intents", "bank"
TEXTS = [
    "I lost my card",
    "why",
    "my transfer has not arrived yet and I wonder where it may be",
    "How do I change my PIN?",
    "the thing did not do what it should, and nobody tells me anything about it",
    "is there a fee for topping up by card, or when I exchange money abroad? " * 9,
    "x",
    "card payment fee charged",
]


@pytest.fixture
def root(models_dir: Path, tmp_path: Path) -> Path:
    """A folder that holds the two bundles and no cascade."""
    for name in (WORDS, INTENTS):
        (tmp_path / name).symlink_to(models_dir / name)
    return tmp_path


@pytest.fixture(scope="module")
def words(models_dir: Path) -> TextModel:
    return open_task(Bundle.open(models_dir / WORDS))


@pytest.fixture(scope="module")
def intents(models_dir: Path) -> TextModel:
    return open_task(Bundle.open(models_dir / INTENTS))


def write(root: Path, sure_from: float = 0.87, **changes: Any) -> Path:
    """A cascade of the two bundles in `root`, with these members instead of the right ones."""
    stages = [
        {"bundle": name, "digest": read_manifest(root / name)[0], "sure_from": threshold}
        for name, threshold in ((WORDS, sure_from), (INTENTS, 0))
    ]
    document = {
        "format": FORMAT,
        "name": NAME,
        "task": "classify",
        "labels": read_manifest(root / WORDS)[1].labels,
        "stages": stages,
        "calibration": {},
        "accuracy": {},
        "licence": "Apache-2.0",
        "origin": "a test",
    }
    folder = root / NAME
    folder.mkdir(exist_ok=True)
    (folder / "cascade.json").write_text(json.dumps(document | changes))
    return folder


def opened(root: Path, *names: str, digest: str | None = None) -> list[TextModel | Cascade]:
    settings = read_settings({}, models=str(root), model=list(names), bundle_digest=digest)
    return open_models("classify", settings)


def cascade_of(root: Path, sure_from: float = 0.87) -> Cascade:
    write(root, sure_from)
    (cascade,) = opened(root, NAME)
    assert isinstance(cascade, Cascade)
    return cascade


def rows_of(model: TextModel, texts: list[str]) -> np.ndarray:
    return np.stack([model.compute(model.prepare([text]))[0] for text in texts])


def test_each_text_has_the_row_of_the_first_stage_that_is_sure(
    root: Path, words: TextModel, intents: TextModel
) -> None:
    cascade = cascade_of(root, 0.5)
    theirs, last = rows_of(words, TEXTS), rows_of(intents, TEXTS)
    is_sure = theirs.max(axis=1) >= 0.5
    assert 0 < is_sure.sum() < len(TEXTS)
    rows = cascade.compute(cascade.prepare(TEXTS))
    wanted = np.where(is_sure[:, None], theirs, last)
    assert np.array(rows.tolist(), dtype=np.float32).tobytes() == wanted.tobytes()
    assert rows.models == {WORDS: is_sure.sum(), INTENTS: (~is_sure).sum()}
    assert list(rows.stages_ns) == [WORDS, INTENTS]


def test_an_answer_does_not_depend_on_its_neighbours(root: Path) -> None:
    cascade = cascade_of(root, 0.5)
    together = cascade.compute(cascade.prepare(TEXTS))
    for text, row in zip(TEXTS, together, strict=True):
        alone = cascade.compute(cascade.prepare([text]))
        assert alone.tobytes() == row.tobytes()
    turned = cascade.compute(cascade.prepare(TEXTS[::-1]))
    assert turned.whole[::-1].tobytes() == together.tobytes()


def test_a_score_at_the_threshold_is_sure_and_one_below_it_is_not(
    root: Path, words: TextModel
) -> None:
    score = rows_of(words, TEXTS[:1]).max()
    for threshold, answering in (
        (score, WORDS),
        (np.nextafter(score, np.float32(0)), WORDS),
        (np.nextafter(score, np.float32(1)), INTENTS),
    ):
        cascade = cascade_of(root, float(threshold))
        assert cascade.compute(cascade.prepare(TEXTS[:1])).models == {answering: 1}


def test_where_all_are_sure_the_next_stage_is_not_asked(root: Path, words: TextModel) -> None:
    cascade = cascade_of(root, 1e-9)
    rows = cascade.compute(cascade.prepare(TEXTS))
    assert rows.models == {WORDS: len(TEXTS)}
    assert list(rows.stages_ns) == [WORDS]
    assert rows.whole[:, :-1].tobytes() == rows_of(words, TEXTS).tobytes()


def test_where_none_is_sure_the_last_stage_answers_all(root: Path, intents: TextModel) -> None:
    cascade = cascade_of(root, 1.0)
    rows = cascade.compute(cascade.prepare(TEXTS))
    assert rows.models == {INTENTS: len(TEXTS)}
    assert rows.whole[:, :-1].tobytes() == rows_of(intents, TEXTS).tobytes()


def test_a_text_counts_what_the_first_stage_counts(root: Path, words: TextModel) -> None:
    cascade, texts = cascade_of(root, 1.0), [*TEXTS, "overdraft " * 400]
    ours, theirs = cascade.prepare(texts), words.prepare(texts)
    assert (ours.tokens, ours.truncated) == (theirs.tokens, theirs.truncated)
    assert ours.counts == theirs.counts
    assert ours.truncated >= 1


def test_every_stage_asks_before_it_computes_and_may_be_stopped(root: Path) -> None:
    class Late(Exception):
        pass

    asked: list[int] = []

    def second_is_late(tokens: int) -> None:
        asked.append(tokens)
        if len(asked) > 1:
            raise Late

    cascade = cascade_of(root, 1.0)
    with pytest.raises(Late):
        cascade.compute(cascade.prepare(["x"]), before_batch=second_is_late)
    assert len(asked) == 2


def test_kept_rows_still_tell_who_gave_them(root: Path) -> None:
    cascade = cascade_of(root, 0.5)
    whole = cascade.compute(cascade.prepare(TEXTS))
    kept = [row.tobytes() if at % 2 else None for at, row in enumerate(whole)]
    rest = cascade.compute(cascade.prepare(TEXTS[::2]))
    again = cascade.assemble(kept, rest)
    assert again.tobytes() == whole.tobytes()
    assert again.models == whole.models
    assert again.stages_ns == rest.stages_ns
    all_kept = cascade.assemble([row.tobytes() for row in whole], None)
    assert isinstance(all_kept, CascadeRows)
    assert (all_kept.models, all_kept.stages_ns) == (whole.models, {})
    assert {len(row) for row in whole} == {cascade.dims}


def test_texts_with_one_normal_form_have_one_row(root: Path) -> None:
    cascade = cascade_of(root, 0.5)
    spelt = ["I lost my card", "i LOST my card", "I  lost my\tcard", "I lost my card ", "Ilost"]
    rows: dict[str, set[bytes]] = {}
    for text in spelt:
        row = cascade.compute(cascade.prepare([text])).tobytes()
        rows.setdefault(cascade.normal(text), set()).add(row)
    assert all(len(same) == 1 for same in rows.values())
    assert cascade.normal("1:a") != cascade.normal("1:a1:a")


def test_a_stage_that_is_served_by_itself_is_loaded_once(root: Path) -> None:
    write(root)
    cascade, *alone = opened(root, NAME, WORDS, INTENTS)
    assert isinstance(cascade, Cascade)
    assert [id(model) for model in cascade.models] == [id(model) for model in alone]
    assert [model.name for model in opened(root)] == [NAME, INTENTS, WORDS]


def test_it_describes_itself_with_its_stages(root: Path) -> None:
    cascade = cascade_of(root)
    described = cascade.describe()
    assert described["digest"] == read_cascade(root / NAME).digest == cascade.digest
    assert described["dims"] == len(cascade.labels) == cascade.dims - 1
    sizes = [Bundle.open(root / name).size_bytes for name in (WORDS, INTENTS)]
    assert described["bytes"] == sum(sizes)


def test_a_stage_of_another_digest_is_refused_naming_it(root: Path) -> None:
    write(root)
    stated = read_manifest(root / WORDS)[0]
    (root / WORDS).unlink()
    shutil.copytree((root / INTENTS).resolve().parent / WORDS, root / WORDS)
    manifest = root / WORDS / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(BundleCorrupt, match=rf"{NAME}.*{WORDS}.*{stated}.*calibrate again") as told:
        opened(root, NAME)
    assert read_manifest(root / WORDS)[0] in str(told.value)


def test_a_stage_that_is_not_there_is_refused_naming_it(root: Path) -> None:
    write(root)
    (root / INTENTS).unlink()
    with pytest.raises(BundleMissing, match=rf"{NAME} has the stage {INTENTS}.*there is {WORDS}"):
        opened(root, NAME)


def test_stages_with_other_labels_are_refused(root: Path) -> None:
    labels = read_manifest(root / WORDS)[1].labels
    write(root, labels=labels[::-1])
    with pytest.raises(BundleCorrupt, match=f"77 labels, and its stage {WORDS} has 77, others"):
        opened(root, NAME)


def test_another_cascade_than_the_one_asked_for_is_refused(root: Path) -> None:
    found = read_cascade(write(root))
    assert opened(root, NAME, digest=found.digest)[0].digest == found.digest
    with pytest.raises(BundleCorrupt, match="asked for by digest " + "0" * 64):
        opened(root, NAME, digest="0" * 64)


def test_a_bundle_and_a_cascade_of_one_name_are_refused(root: Path) -> None:
    write(root, name=WORDS)
    with pytest.raises(BundleCorrupt, match=f"both named {WORDS}"):
        opened(root, WORDS)


def stage(name: str, sure_from: float) -> dict[str, object]:
    return {"bundle": name, "digest": "0" * 64, "sure_from": sure_from}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"stages": [stage("a", 0.5)]}, "stages"),
        ({"stages": [stage("a", 0.5), stage("b", 0.5)]}, "`sure_from` is 0 in the last"),
        ({"stages": [stage("a", 0), stage("b", 0)]}, "above 0 in all before"),
        ({"stages": [stage("a", 0.5), stage("a", 0)]}, "each stage is another bundle"),
        ({"stages": [stage("a", 1.5), stage("b", 0)]}, "sure_from"),
        ({"stages": [stage("../a", 0.5), stage("b", 0)]}, "bundle"),
        ({"labels": []}, "labels"),
        ({"task": "embed"}, "task"),
        ({"name": "A b"}, "name"),
    ],
)
def test_what_is_wrong_in_a_cascade_is_named(
    root: Path, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BundleCorrupt, match=complaint):
        read_cascade(write(root, **changes))


def test_garbage_is_no_cascade_and_a_newer_one_asks_for_an_upgrade(root: Path) -> None:
    folder = write(root)
    for garbage in (b"", b"\xff\xfe", b"[]", b"{"):
        (folder / "cascade.json").write_bytes(garbage)
        with pytest.raises(BundleCorrupt, match="is not a cascade"):
            read_cascade(folder)
    (folder / "cascade.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(BundleTooNew, match="Upgrade Farthing"):
        read_cascade(folder)
    (folder / "cascade.json").unlink()
    with pytest.raises(StartupError, match=r"cascade\.json cannot be read"):
        read_cascade(folder)
