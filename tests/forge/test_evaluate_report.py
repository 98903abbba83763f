"""Reports on the bundles that ship, measured as a user would measure them."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("sklearn")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
pytest.importorskip("onnx")

from farthing.forge.data.labelled import LabelledSet
from farthing.forge.evaluate import quality
from farthing.forge.evaluate.errors import Unmeasurable
from farthing.forge.evaluate.measure import evaluate, evaluate_embedder
from farthing.forge.evaluate.plots import draw
from farthing.forge.evaluate.price import Pricing
from farthing.forge.evaluate.report import Report, cautions
from farthing.forge.evaluate.scores import worst_classes
from farthing.forge.evaluate.start import measure_start
from farthing.forge.evaluate.table import report_table
from farthing.forge.evaluate.teacher import evaluate_teacher
from farthing.forge.evaluate.timing import Times, drawn, time_side_by_side
from farthing.forge.plans import DriftPlan
from farthing.forge.teach.teaching import Teaching
from farthing.inference.bundle import Bundle

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
CLASSIFIER = ROOT / "layers" / "models" / "product-classifier"
EMBEDDER = ROOT / "layers" / "models" / "all-minilm-l6-v2"
DRIFT = DriftPlan(texts=64)
SHORT = {"runs": 8, "starts": 1}
STEP = 5
BUSY = "The machine was busy"


@pytest.fixture(scope="module")
def sample() -> LabelledSet:
    with gzip.open(DATA / "pricerunner-sample.tsv.gz", "rt", encoding="utf-8", newline="\n") as f:
        # The file is sorted by label.
        rows = [line.rstrip("\n").split("\t") for line in f][1::STEP]
    return LabelledSet(tuple(row[1] for row in rows), tuple(row[2] for row in rows))


@pytest.fixture(scope="module")
def probabilities(sample: LabelledSet) -> np.ndarray:
    return quality.answers(quality.open_model(CLASSIFIER, 1), sample.texts)


@pytest.fixture(scope="module")
def teacher_logits(probabilities: np.ndarray, sample: LabelledSet) -> np.ndarray:
    """A teacher that is right on every row, which the bundle is not."""
    labels = Bundle.open(CLASSIFIER).manifest.labels
    logits = np.zeros_like(probabilities)
    logits[np.arange(len(sample)), sample.label_ids(labels)] = 5.0
    return logits


@pytest.fixture(scope="module")
def report(sample: LabelledSet, teacher_logits: np.ndarray) -> Report:
    labels = Bundle.open(CLASSIFIER).manifest.labels
    # Columns in another order than the bundle's, as another teacher may have them.
    return evaluate(
        CLASSIFIER,
        sample,
        drift=DRIFT,
        pricing=Pricing(),
        teacher_logits=teacher_logits[:, ::-1],
        labels=labels[::-1],
        **SHORT,
    )


def test_a_report_tells_what_the_bundle_answers(
    report: Report, sample: LabelledSet, probabilities: np.ndarray
) -> None:
    bundle = Bundle.open(CLASSIFIER)
    given = [bundle.manifest.labels[at] for at in probabilities.argmax(axis=1)]
    hits = [one == other for one, other in zip(given, sample.labels, strict=True)]
    assert report.scores is not None
    assert report.scores.accuracy == pytest.approx(np.mean(hits))
    assert report.scores.accuracy_low < report.scores.accuracy < report.scores.accuracy_high
    assert report.scores.teacher_accuracy == 1.0
    assert report.scores.teacher_agreement == pytest.approx(report.scores.accuracy)
    assert (report.digest, report.bytes) == (bundle.digest, bundle.size_bytes)
    scheme = bundle.manifest.quantisation
    assert report.quantisation == f"{scheme['scheme']} {scheme['bits']}"
    assert report.drift is not None
    assert not report.answers_alone
    assert report.unknown_token_share == 0.0
    assert not [sentence for sentence in report.warnings if BUSY not in sentence]


def test_a_reports_times_and_price_belong_together(report: Report) -> None:
    times, start, price = report.times, report.start, report.price
    assert len(times.one_text_ns) == times.texts == SHORT["runs"]
    assert 0 < times.one_text_p50_ms <= times.one_text_p95_ms
    assert start is not None
    parts_ms = start.interpreter_ms + start.imports_ms + start.open_ms + start.first_answer_ms
    assert start.cold_ms == pytest.approx(parts_ms)
    assert start.cpu_ms > 0
    assert price.cold is not None
    assert price.cold.usd_per_million > price.warm.usd_per_million > 0
    assert price.needed_mb >= start.peak_rss_mb


def test_a_report_survives_json(report: Report) -> None:
    encoded = msgspec.json.encode(msgspec.to_builtins(report))
    assert msgspec.json.decode(encoded, type=Report) == report


def test_labels_of_another_set_are_refused(sample: LabelledSet) -> None:
    foreign = LabelledSet(sample.texts, tuple("card_arrival" for _ in sample.labels))
    with pytest.raises(Unmeasurable, match=r"No row has a label.*card_arrival.*CPUs, Digital Cam"):
        evaluate(CLASSIFIER, foreign, drift=DRIFT, pricing=Pricing(), **SHORT)


def test_rows_of_an_unknown_label_and_unknown_texts_are_warned_about(sample: LabelledSet) -> None:
    texts = (*sample.texts[:20], *("\U0001f9ca \U0001f4f1 \U0001f4fa" for _ in range(10)))
    labels = (*sample.labels[:20], *("none" for _ in range(10)))
    found = evaluate(
        CLASSIFIER,
        LabelledSet(texts, labels),
        drift=DRIFT,
        pricing=Pricing(memory_mb=32),
        out_of_scope="none",
        **SHORT,
    )
    assert found.scores is not None
    assert (found.scores.rows, found.scores.out_of_scope_recall) == (20, 0.0)
    assert found.unknown_token_share is not None
    assert found.unknown_token_share > 0.05
    unknown, lacking, raised = (text for text in found.warnings if BUSY not in text)
    assert "of the texts' tokens are unknown to the model, more than 5%" in unknown
    assert lacking == ("10 rows have labels that the model cannot answer and count as wrong: none.")
    assert "more than the 32 MB asked for: priced at 128 MB" in raised


def test_a_classifiers_report_needs_a_classifier(sample: LabelledSet) -> None:
    with pytest.raises(Unmeasurable, match="task embed and has no accuracy"):
        evaluate(EMBEDDER, sample, drift=DRIFT, pricing=Pricing(), **SHORT)


def test_an_embedder_is_compared_with_its_reference() -> None:
    golden = json.loads((DATA / "golden-minilm-f32.json").read_text(encoding="utf-8"))
    texts = golden["texts"][:12]
    reference = np.array(golden["vectors"][:12], dtype=np.float32)
    found = evaluate_embedder(EMBEDDER, texts, reference, drift=DRIFT, pricing=Pricing(), **SHORT)
    assert found.scores is None
    assert found.likeness is not None
    assert found.likeness.rows == len(texts)
    assert 0.9 < found.likeness.min <= found.likeness.mean < 1.0
    with pytest.raises(Unmeasurable, match=r"reference of shape .* on \d+ texts"):
        evaluate_embedder(
            EMBEDDER, texts, reference[:, :10], drift=DRIFT, pricing=Pricing(), **SHORT
        )


def test_a_teacher_has_the_same_report_without_a_bundle(
    sample: LabelledSet, teacher_logits: np.ndarray
) -> None:
    labels = Bundle.open(CLASSIFIER).manifest.labels
    asked = []

    def answer(texts: list[str]) -> np.ndarray:
        asked.append(len(texts))
        return teacher_logits[: len(texts)]

    teaching = Teaching("mpnet", labels, "ab" * 32, 109, 436, {"test": teacher_logits}, answer)
    found = evaluate_teacher(
        teaching, "test", sample, pricing=Pricing(), cold_ms=4000, peak_rss_mb=1000
    )
    assert found.scores is not None
    assert (found.scores.accuracy, found.scores.teacher_share) == (1.0, 1.0)
    assert (found.bytes, found.parameters, found.drift, found.start) == (436, 109, None, None)
    assert (found.price.needed_mb, found.price.memory_mb) == (1250, 1536)
    assert found.price.cold is not None
    assert {1, 32} == set(asked)


def test_the_peak_is_that_of_the_started_process_alone(sample: LabelledSet) -> None:
    ballast = np.ones(20_000_000)  # 160 MB that a child would seem to have by getrusage
    start = measure_start(CLASSIFIER, sample.texts, threads=1, starts=1)
    assert ballast.sum() > 0
    assert 20 < start.peak_rss_mb < 150


def test_starts_that_waited_longer_than_they_worked_are_warned_about(report: Report) -> None:
    assert report.start is not None
    calm = msgspec.structs.replace(report.start, cold_ms=300.0, cpu_ms=290.0)
    busy = msgspec.structs.replace(calm, cold_ms=900.0)
    assert list(cautions(report.price, start=calm)) == []
    (sentence,) = cautions(report.price, start=busy)
    assert sentence.startswith("The machine was busy: cold starts took 900 ms for 290 ms of work.")


def test_a_bundle_that_does_not_start_says_why(tmp_path: Path, sample: LabelledSet) -> None:
    with pytest.raises(Unmeasurable, match=r"ended with 1 and said: .*BundleMissing"):
        measure_start(tmp_path, sample.texts, threads=1, starts=1)


def test_models_side_by_side_take_turns() -> None:
    order = []
    quick, slow = (lambda texts, name=name: order.append((name, len(texts))) for name in "qs")
    found = time_side_by_side([quick, slow], ["a", "b", "c"], threads=1, runs=4)
    assert [times.texts for times in found] == [4, 4]
    alone = [name for name, count in order if count == 1]
    warm_ups = 2 * 4
    assert "".join(alone[warm_ups : warm_ups + 16]) == "qqqqssssqqqqssss"


def test_drawn_texts_are_spread_and_repeat_only_when_they_must() -> None:
    texts = [str(number) for number in range(100)]
    some = sorted(int(text) for text in drawn(texts, 10))
    assert some == list(range(0, 100, 10))
    assert sorted(drawn(["a", "b"], 5)) == ["a", "a", "a", "b", "b"]
    with pytest.raises(Unmeasurable, match="no text to answer"):
        drawn([], 3)


def test_the_plots_are_the_same_bytes_every_time(report: Report, tmp_path: Path) -> None:
    first, again = draw(report, tmp_path / "a"), draw(report, tmp_path / "b")
    assert [path.name for path in first] == [
        f"{name}.{kind}"
        for name in ("latency", "reliability", "classes")
        for kind in ("png", "svg")
    ]
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert b"date" not in one.read_bytes()
    png = (tmp_path / "a" / "latency.png").read_bytes()
    assert int.from_bytes(png[16:20], "big") == 800


def test_the_worst_labels_come_first(report: Report) -> None:
    assert report.scores is not None
    worst = worst_classes(report.scores, 3)
    lost = [entry.recall_lost_points for entry in report.scores.classes]
    assert worst[0].recall_lost_points == max(lost)
    assert len(worst) == 3


def test_the_table_shows_names_literally_and_warnings_aloud(report: Report) -> None:
    odd = msgspec.structs.replace(report, name="[red]x[/red]", warnings=("Mind [this].",))
    shown = io.StringIO()
    Console(width=120, file=shown).print(report_table(odd))
    text = shown.getvalue()
    assert "[red]x[/red]" in text
    assert "! Mind [this]." in text
    assert f"{report.price.warm.usd_per_million:.4f} = requests 0.2000" in text
    assert isinstance(report.times, Times)
