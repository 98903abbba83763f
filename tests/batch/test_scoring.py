"""What the model makes of a text is its own affair: neither neighbours nor faults reach it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as sized
from hypothesis import strategies as st

from farthing.batch.scoring import Scorer
from farthing.errors import BundleCorrupt, BundleMissing
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import TextModel, open_task
from farthing.serving.envelope import generate_envelope
from farthing.serving.service import Service
from tests.batch.jobs import titles
from tests.batch.scored import opened_for, settings_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.inference.heads import Floats

BUNDLES = ("product-classifier", "retail-banking-intents", "all-minilm-l6-v2")
DATA = Path(__file__).parent.parent / "data"


def mixed_texts() -> list[str]:
    """Short and long ones, of most lengths up to the models' windows and beyond."""
    golden = json.loads((DATA / "golden-minilm-f32.json").read_text())["texts"]
    short = titles()[:30] + [text for text in golden if text.strip()][:20]
    words = " ".join(titles()).split()
    return short + [" ".join(words[at : at + at]) for at in (3, 7, 11, 19, 33, 80, 120, 300)]


@pytest.fixture(scope="module", params=BUNDLES)
def scorer(models_dir: Path, request: pytest.FixtureRequest) -> Scorer:
    return Scorer(open_task(Bundle.open(models_dir / request.param)))


@pytest.fixture(scope="module")
def classifier(models_dir: Path) -> TextModel:
    return open_task(Bundle.open(models_dir / "product-classifier"))


def test_not_one_bit_of_a_row_depends_on_what_is_scored_beside_it(scorer: Scorer) -> None:
    texts = mixed_texts()
    alone = np.concatenate([scorer.score([text]).values for text in texts])

    @sized(max_examples=4, deadline=None)
    @given(st.permutations(range(len(texts))), st.integers(1, len(texts)))
    def check(order: list[int], window: int) -> None:
        for start in range(0, len(order), window):
            places = order[start : start + window]
            values = scorer.score([texts[place] for place in places]).values
            np.testing.assert_array_equal(values, alone[places])

    check()


@pytest.mark.parametrize(
    ("function", "body", "read"),
    [
        ("classify", {"inputs": "{}", "top_k": 1}, lambda told: told["results"][0][0]["score"]),
        ("embed", {"input": "{}"}, lambda told: told["data"][0]["embedding"]),
    ],
)
def test_values_are_those_of_an_answer_over_http(
    function: str, body: dict[str, Any], read: Any, models_dir: Path
) -> None:
    settings = settings_for(models_dir)
    service = Service([function], settings)
    (model,) = (one for one in service.pipeline.models if one.name in BUNDLES[::2])
    assert isinstance(model, TextModel)
    texts = mixed_texts()
    values = Scorer(model).score(texts).values
    for text, row in zip(texts, values, strict=True):
        asked = {**body, next(iter(body)): text}
        envelope = generate_envelope(30_000, "local")
        told = service.pipeline.invoke(service.contracts[0], asked, envelope).body
        expected = row.tolist() if function == "embed" else float(row.max())
        assert read(told) == expected


class Touchy(TextModel):
    """A real model that cannot bear some texts."""

    def __init__(self, model: TextModel, poison: str, error: type[Exception]) -> None:
        self.__dict__.update(model.__dict__)
        self._model, self._poison, self._error = model, poison, error

    def prepare(self, texts: Sequence[str]) -> Any:
        if any(self._poison in text for text in texts):
            raise self._error(self._poison)
        return self._model.prepare(texts)

    def compute(self, prepared: Any, **how: Any) -> Floats:
        return self._model.compute(prepared, **how)


def test_a_text_that_the_model_fails_at_takes_no_other_with_it(classifier: TextModel) -> None:
    texts = titles()[:33]
    expected = Scorer(classifier).score(texts)
    texts[5] = texts[30] = "a secret"
    scored = Scorer(Touchy(classifier, "secret", ValueError)).score(texts)
    assert scored.failed == dict.fromkeys([5, 30], "the model failed at it (ValueError)")
    kept = [place for place in range(33) if place not in {5, 30}]
    np.testing.assert_array_equal(scored.values[kept], expected.values[kept])
    assert scored.tokens == Scorer(classifier).score([texts[place] for place in kept]).tokens


def test_a_machine_without_memory_fails_rather_than_its_rows(classifier: TextModel) -> None:
    touchy = Touchy(classifier, "radio", MemoryError)
    with pytest.raises(MemoryError):
        Scorer(touchy).score(["a red chair", "a radio", "a lamp"])


def test_a_row_without_a_number_fails_by_itself(classifier: TextModel) -> None:
    class Broken(Touchy):
        def compute(self, prepared: Any, **how: Any) -> Floats:
            values = super().compute(prepared, **how)
            values[1, 3] = np.nan
            return values

    scored = Scorer(Broken(classifier, "no such text", ValueError)).score(titles()[:3])
    assert scored.failed == {1: "the model gave no number for it"}
    assert np.isfinite(scored.values).all()


def test_a_bundle_whose_answers_drift_in_company_computes_each_text_by_itself(
    models_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "product-classifier"
    folder.mkdir(parents=True)
    for file in (models_dir / "product-classifier").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["batch_drift"] |= {"min_cosine": 0.99}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    file = tmp_path / "rows.tsv"
    file.write_text("id\ttext\n1\ta\n2\tb\n")
    settings = settings_for(tmp_path / "models")
    opened = opened_for(file, tmp_path / "out", settings)
    assert opened.job.alone

    model = open_task(Bundle.open(folder))
    runs: list[int] = []
    prepared = model.prepare(["a", "b", "c"])
    model.compute(prepared, before_batch=runs.append)
    assert len(runs) == 3


def test_texts_share_a_run_as_their_bundle_allows(models_dir: Path) -> None:
    texts = ["chair", "a red chair", "table", "a blue lamp", "lion"]
    runs: list[int] = []
    padding = open_task(Bundle.open(models_dir / "all-minilm-l6-v2"))
    prepared = padding.prepare(texts)
    padding.compute(prepared, before_batch=runs.append)
    assert runs == [prepared.tokens]
    runs.clear()
    exact = open_task(Bundle.open(models_dir / "retail-banking-intents"))
    prepared = exact.prepare(texts)
    exact.compute(prepared, before_batch=runs.append)
    lengths = [len(text.ids) for text in prepared.texts]
    assert runs == [length * lengths.count(length) for length in sorted(set(lengths))]


def test_a_bundle_that_is_not_the_planned_one_is_refused(models_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    file.write_text("id\ttext\n1\ta\n")
    settings = settings_for(models_dir)
    job = opened_for(file, tmp_path / "out", settings).job
    folder = tmp_path / "models" / "product-classifier"
    folder.mkdir(parents=True)
    with pytest.raises(BundleMissing, match="product-classifier"):
        Scorer.open(job, settings_for(tmp_path / "models"))
    for one in (models_dir / "product-classifier").iterdir():
        (folder / one.name).write_bytes(one.read_bytes())
    with (folder / "manifest.json").open("a") as manifest:
        manifest.write(" ")
    with pytest.raises(BundleCorrupt, match="digest"):
        Scorer.open(job, settings_for(tmp_path / "models"))
