"""Linear models: what scikit-learn trains is what the bundle answers, and skl2onnx agrees."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

sklearn_linear = pytest.importorskip("sklearn.linear_model")
pytest.importorskip("onnx")

from farthing.errors import StartupError  # noqa: E402
from farthing.forge.data.labelled import LabelledSet  # noqa: E402
from farthing.forge.linear.bundle import write_bundle  # noqa: E402
from farthing.forge.linear.features import NoNgrams, fit_features  # noqa: E402
from farthing.forge.linear.margins import held_out_margins  # noqa: E402
from farthing.forge.linear.model import NothingToTell, fit  # noqa: E402
from farthing.forge.pack import Description  # noqa: E402
from farthing.inference.analysis import hash_of  # noqa: E402
from farthing.inference.bundle import Bundle, read_manifest  # noqa: E402
from farthing.inference.heads import softmax  # noqa: E402
from farthing.inference.ngrams import NO_NGRAM  # noqa: E402
from farthing.inference.tasks import Classifier  # noqa: E402

if TYPE_CHECKING:
    from farthing.forge.linear.features import LinearKind
    from farthing.forge.linear.model import LinearModel

SAMPLE = Path(__file__).parents[1] / "data" / "pricerunner-sample.tsv.gz"
KINDS = ("char_wb", "word")
NO_DRIFT = {
    "texts": 1,
    "batch": 32,
    "labels_changed": 0,
    "min_cosine": 1.0,
    "max_abs_difference": 0.0,
}
STRANGE = [
    "",
    " ",
    "🛋️",
    "\x00",
    "\x00fridge",
    "沙发",
    "a" * 100_000,
    "İ ΟΔΟΣ",
    "\ud800 fridge",
    "a b c",
]


@pytest.fixture(scope="module")
def rows() -> LabelledSet:
    with gzip.open(SAMPLE, "rt", encoding="utf-8", newline="\n") as file:
        _, *lines = (line.rstrip("\n").split("\t") for line in file)
    return LabelledSet(tuple(line[1] for line in lines), tuple(line[2] for line in lines))


@pytest.fixture(scope="module")
def train(rows: LabelledSet) -> LabelledSet:
    return LabelledSet(rows.texts[::2], rows.labels[::2])


@pytest.fixture(scope="module")
def test(rows: LabelledSet) -> LabelledSet:
    return LabelledSet(rows.texts[1::2], rows.labels[1::2])


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, train: LabelledSet) -> LinearModel:
    return fit(request.param, train, train.label_names(), seed=0, folds=3)


@pytest.fixture(scope="module")
def folder(model: LinearModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(model, tmp_path_factory.mktemp(model.kind))


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return Classifier(Bundle.open(folder))


def packed(model: LinearModel, folder: Path) -> Path:
    description = Description(
        name="linear",
        task="classify",
        labels=model.labels,
        pooling="none",
        normalize=False,
        max_tokens=128,
        dims=len(model.labels),
        quantisation={},
        licence="Apache-2.0",
        origin="the test",
        batch_drift=NO_DRIFT,
    )
    write_bundle(model, folder, description)
    return folder


def random_texts(count: int) -> list[str]:
    """Texts of letters, digits, marks and spaces of many scripts, known n-grams among them."""
    dice = random.Random(5)
    ranges = [(0x20, 0x7F), (0x0, 0x20), (0xA0, 0x250), (0x370, 0x400), (0x4E00, 0x4F00)]
    ranges += [(0x2000, 0x2070), (0x300, 0x370), (0x1F600, 0x1F650)]
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(dice.randrange(12)):
            low, high = dice.choice(ranges)
            parts.append("".join(chr(dice.randrange(low, high)) for _ in range(dice.randrange(9))))
            parts.append(dice.choice([" ", "  ", "\t", "fridge freezer", "Samsung 64GB", ""]))
        texts.append("".join(parts))
    return texts


def test_rows_and_counts_are_scikit_learns_whatever_the_text(
    model: LinearModel, classifier: Classifier
) -> None:
    names = sorted(model.vectoriser.vocabulary_, key=hash_of)
    analyse = model.vectoriser.build_analyzer()
    texts = random_texts(300)
    for text, prepared in zip(texts, classifier.prepare(texts).texts, strict=True):
        ngrams = analyse(text)
        expected = {n: ngrams.count(n) for n in ngrams if n in model.vectoriser.vocabulary_}
        given = zip(prepared.ids.tolist(), prepared.counts.tolist(), strict=True)
        assert {names[row - 1]: count for row, count in given if row != NO_NGRAM} == expected


def test_the_bundle_answers_what_scikit_learn_answers(
    model: LinearModel, classifier: Classifier, test: LabelledSet
) -> None:
    texts = [*test.texts, *random_texts(50)]
    expected = softmax(model.logits(texts))
    given = classifier.scores(texts)
    # Weights of eight bits; nothing else is rounded.
    np.testing.assert_allclose(given, expected, atol=0.02)
    assert np.abs(given - expected).mean() < 0.001
    assert (given.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.995


def test_skl2onnx_makes_the_same_of_the_word_model(
    train: LabelledSet, test: LabelledSet, tmp_path: Path
) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    import onnxruntime
    from sklearn.pipeline import make_pipeline

    model = fit("word", train, train.label_names(), seed=0, folds=3)
    head = sklearn_linear.LogisticRegression()
    head.classes_ = np.arange(len(model.labels))
    head.coef_, head.intercept_ = model.weights.T, model.bias
    # Its converter knows no `\b`, and its graphs ask the machine for an English locale; the titles
    # are ASCII in lower case, for which this is the same.
    words = {"tokenexp": "[a-zA-Z0-9_][a-zA-Z0-9_]+", "locale": "C"}
    converted = skl2onnx.to_onnx(
        make_pipeline(model.vectoriser, head),
        initial_types=[("texts", skl2onnx.common.data_types.StringTensorType([None, 1]))],
        options={id(model.vectoriser): words, id(head): {"zipmap": False}},
    )
    session = onnxruntime.InferenceSession(
        converted.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    texts = np.array(test.texts, dtype=object).reshape(-1, 1)
    labels, theirs = session.run(None, {"texts": texts})
    ours = Classifier(Bundle.open(packed(model, tmp_path))).scores(test.texts)
    assert (ours.argmax(axis=1) == labels).mean() > 0.995
    np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_held_out_texts_are_recognised(classifier: Classifier, test: LabelledSet) -> None:
    given = classifier.scores(test.texts).argmax(axis=1)
    assert (given == np.array(test.label_ids(classifier.labels))).mean() > 0.85


@pytest.mark.parametrize("text", STRANGE)
def test_strange_texts_get_finite_probabilities(classifier: Classifier, text: str) -> None:
    scores = classifier.scores([text, "fridge freezer"])
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_a_text_of_nothing_known_gets_the_bias(model: LinearModel, classifier: Classifier) -> None:
    np.testing.assert_allclose(classifier.scores(["☃"])[0], softmax(model.bias[None])[0], rtol=1e-5)
    assert classifier.unknown_share(["жжж fridge"]) == 0.5


def test_an_answer_does_not_depend_on_its_neighbours(
    classifier: Classifier, test: LabelledSet
) -> None:
    texts = [*test.texts[:60], *STRANGE]
    alone = classifier.scores(texts, batch_texts=1)
    np.testing.assert_array_equal(classifier.scores(texts, batch_texts=32), alone)
    np.testing.assert_array_equal(classifier.scores(texts), alone)


def test_tokens_are_words_and_the_window_cuts(classifier: Classifier) -> None:
    assert classifier.prepare(["red fridge", "fridge"]).tokens == 3
    work = classifier.prepare(["fridge " * 129, "fridge " * 128])
    assert (work.tokens, work.truncated) == (256, 1)


def test_the_manifest_asks_for_this_reader_and_its_own_files(
    folder: Path, model: LinearModel
) -> None:
    _, manifest = read_manifest(folder)
    assert json.loads((folder / "manifest.json").read_bytes())["format"] == 2
    assert manifest.encoder == model.kind
    assert set(manifest.files) == {"model.onnx", "ngrams.bin"}
    assert manifest.files["ngrams.bin"].bytes == 8 * len(model.vectoriser.vocabulary_)


def test_a_linear_bundle_opens_without_the_tokenizers(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from farthing.inference.bundle import Bundle;"
        "from farthing.inference.tasks import open_task;"
        f"open_task(Bundle.open(Path({str(folder)!r}))).scores(['fridge']);"
        "print('tokenizers' in sys.modules or 'onnx' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == "False"


def test_held_out_margins_come_from_machines_that_did_not_see_the_text() -> None:
    # Every text has a letter pair of its own: only who saw it can know its label.
    texts = [f"{a}{b}" for a in "abcdefgh" for b in "ijkl"]
    ids = np.arange(len(texts)) % 2
    np.random.default_rng(3).shuffle(ids)
    _, features = fit_features("char_wb", [f"{text} {text}" for text in texts] * 2)
    margins = held_out_margins(features, np.tile(ids, 2), texts * 2, labels=2, folds=4, seed=0)
    assert (margins.argmax(axis=1) == np.tile(ids, 2)).mean() < 0.75


def test_a_label_with_one_row_is_learnt_beside_the_others() -> None:
    texts = [f"red fridge {n}" for n in range(30)] + [f"old phone {n}" for n in range(30)]
    train = LabelledSet((*texts, "garden chair"), ("fridge",) * 30 + ("phone",) * 30 + ("chair",))
    for kind in KINDS:
        model = fit(kind, train, train.label_names(), seed=0)
        assert np.isfinite(model.held_out_logits).all()
        best = model.logits(["red fridge", "old phone", "garden chair"]).argmax(axis=1)
        assert [model.labels[at] for at in best[:2]] == ["fridge", "phone"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_labels_and_few_rows_are_enough(kind: LinearKind, tmp_path: Path) -> None:
    train = LabelledSet(("red fridge", "old phone"), ("b", "a"))
    model = fit(kind, train, ("a", "b"), seed=0)
    scores = Classifier(Bundle.open(packed(model, tmp_path))).scores(train.texts)
    assert np.isfinite(scores).all()


def test_what_cannot_be_learnt_is_refused_in_a_sentence() -> None:
    with pytest.raises(NothingToTell, match="have 1 label"):
        fit("word", LabelledSet(("red", "blue"), ("a", "a")), ("a",), seed=0)
    with pytest.raises(NoNgrams, match="word n-grams was asked for; the 2 training texts"):
        fit("word", LabelledSet(("!", "☃"), ("a", "b")), ("a", "b"), seed=0)
    assert issubclass(NoNgrams, StartupError)


def test_the_same_seed_gives_the_same_bundle(train: LabelledSet, tmp_path: Path) -> None:
    digests = [
        Bundle.open(
            packed(fit("word", train, train.label_names(), seed=4, folds=2), tmp_path / str(run))
        ).digest
        for run in range(2)
    ]
    assert digests[0] == digests[1]
