"""A contest between real bundles that differ by construction, and the rules that choose."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("sklearn")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
pytest.importorskip("onnx")

import onnx
from onnx import helper, numpy_helper

from farthing.forge.contest.candidates import Candidate, Entry
from farthing.forge.contest.duel import duel
from farthing.forge.contest.errors import ContestInvalid, FloorNotMet
from farthing.forge.contest.floor import meets, read_floor
from farthing.forge.contest.hold import hold
from farthing.forge.contest.machine import this_machine
from farthing.forge.contest.outcome import Outcome, cheapest
from farthing.forge.contest.pareto import front
from farthing.forge.contest.receipt import receipt, write
from farthing.forge.contest.table import COLUMNS, markdown, outcome_table
from farthing.forge.data.labelled import LabelledSet
from farthing.forge.plans import ContestPlan, DriftPlan
from farthing.forge.teach.teaching import Teaching
from farthing.inference.bundle import Bundle

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "data" / "pricerunner-sample.tsv.gz"
SHIPPED = ROOT / "layers" / "models" / "product-classifier"
PROVENANCE = {
    "recipe": {"name": "products", "digest": "12" * 32},
    "data": {"train": {"rows": 10, "digest": "34" * 32}},
}
Arguments = dict[str, Any]


def biased(folder: Path, label: int, bias: float) -> Path:
    """The shipped bundle, but so fond of one label that it gives no other."""
    shutil.copytree(SHIPPED, folder)
    file = folder / "model.onnx"
    model = onnx.load(file)
    labels = Bundle.open(SHIPPED).manifest.labels
    favour = np.array([bias if at == label else 0.0 for at in range(len(labels))], dtype=np.float32)
    output = model.graph.output[0].name
    for node in model.graph.node:
        for at, name in enumerate(node.output):
            node.output[at] = "fair" if name == output else name
    model.graph.initializer.append(numpy_helper.from_array(favour, "favour"))
    model.graph.node.append(helper.make_node("Add", ["fair", "favour"], [output]))
    onnx.save(model, file)
    content = file.read_bytes()
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["name"] = folder.name
    manifest["files"]["model.onnx"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    """Two bundles and a teacher that is always right."""
    with gzip.open(SAMPLE, "rt", encoding="utf-8", newline="\n") as f:
        rows = [line.rstrip("\n").split("\t") for line in f][1:]
    sets = [
        LabelledSet(tuple(row[1] for row in part), tuple(row[2] for row in part))
        for part in (rows[::5], rows[1::5])
    ]
    labels = Bundle.open(SHIPPED).manifest.labels
    logits = {}
    for split, part in zip(("valid", "test"), sets, strict=True):
        logits[split] = np.zeros((len(part), len(labels)), dtype=np.float32)
        logits[split][np.arange(len(part)), part.label_ids(labels)] = 9.0

    def answer(texts: list[str]) -> np.ndarray:
        time.sleep(0.005)
        return np.zeros((len(texts), len(labels)), dtype=np.float32)

    teaching = Teaching(
        "always-right",
        labels,
        "56" * 32,
        109_000_000,
        436_000_000,
        logits,
        answer,
    )
    fond = biased(tmp_path_factory.mktemp("bundles") / "fond", label=0, bias=60.0)
    return {
        "candidates": (
            Candidate("always-right", "teacher", None, teaching=teaching, peak_rss_mb=900),
            Candidate("shipped", "linear", SHIPPED),
            Candidate("fond", "transformer", fond),
        ),
        "valid": sets[0],
        "test": sets[1],
        "plan": ContestPlan(floor="0.95-of-teacher"),
        "drift": DriftPlan(texts=32),
        "runs": 12,
        "starts": 1,
        "provenance": PROVENANCE,
    }


@pytest.fixture(scope="module")
def outcome(arguments: Arguments) -> Outcome:
    return hold(**arguments)


@pytest.fixture
def made(outcome: Outcome) -> Callable[..., Entry]:
    """Makes an entry out of a measured one, with other numbers."""
    model = outcome.entry("shipped")

    def make(
        name: str, accuracy: float, usd: str, ms: float = 1.0, size: int = 1000, **more: Any
    ) -> Entry:
        replace = msgspec.structs.replace
        report = model.report
        scores = replace(model.valid, accuracy=accuracy)
        warm = replace(report.price.warm, usd_per_million=Decimal(usd))
        changed = replace(
            report,
            name=name,
            bytes=size,
            scores=scores,
            times=replace(report.times, one_text_p50_ms=ms),
            price=replace(report.price, warm=warm),
        )
        return Entry(Candidate(name, more.get("family", "transformer"), SHIPPED), scores, changed)

    return make


def outcome_of(entries: list[Entry], floor: str = "0.9") -> Outcome:
    asked = read_floor(floor)
    return Outcome(
        entries=tuple(entries),
        floor=asked,
        threshold=asked.value,
        threshold_test=asked.value,
        winner=cheapest(entries, asked.value),
        machine=this_machine(),
    )


def test_the_cheapest_that_meets_the_floor_wins(outcome: Outcome) -> None:
    shipped, fond = outcome.entry("shipped"), outcome.entry("fond")
    assert outcome.threshold == pytest.approx(0.95)
    assert fond.valid.accuracy < outcome.threshold <= shipped.valid.accuracy
    assert outcome.require_winner() is shipped
    assert outcome.fate(fond) == "below the floor"
    assert outcome.fate(outcome.entry("always-right")) == "the measure"


def test_a_linear_winner_is_called_one(outcome: Outcome) -> None:
    assert "It is a linear model: these data do not need a transformer" in outcome.why()


def test_the_teacher_is_measured_beside_the_bundles(outcome: Outcome) -> None:
    teacher, shipped = outcome.entry("always-right"), outcome.entry("shipped")
    assert outcome.teacher is teacher
    assert teacher.usd_per_million > shipped.usd_per_million
    assert teacher.report.price.memory_mb == 1536
    assert shipped.report.scores is not None
    assert shipped.report.scores.teacher_accuracy == 1.0
    assert shipped.valid.teacher_agreement == pytest.approx(shipped.valid.accuracy)
    assert shipped.valid.rows_digest != shipped.report.scores.rows_digest


def test_a_floor_that_nobody_meets_names_the_nearest(made: Callable[..., Entry]) -> None:
    entries = [made(name, 0.5 + at / 10, f"0.{at}") for at, name in enumerate("abcd", start=1)]
    outcome = outcome_of(entries, "0.95")
    assert outcome.winner is None
    wanted = (
        r"floor 0\.95 asks .* 0\.9500 .* none of 4 candidates has it\. Nearest: d with 0\.9000 at "
        r"\$0\.4000 a million calls; c with 0\.8000 .*; b with 0\.7000 [^;]*\. Lower the floor"
    )
    with pytest.raises(FloorNotMet, match=wanted):
        outcome.require_winner()
    assert "Nobody wins" in outcome.why()
    assert {outcome.fate(entry) for entry in entries} == {"below the floor"}


def test_price_then_time_then_size_then_accuracy_decide(made: Callable[..., Entry]) -> None:
    def winner(*entries: Entry) -> str:
        found = cheapest(entries, 0.9)
        assert found is not None
        return found.name

    assert winner(made("dear", 0.99, "0.30", ms=0.1), made("cheap", 0.9, "0.20", ms=9)) == "cheap"
    assert winner(made("slow", 0.9, "0.200", ms=2), made("quick", 0.9, "0.201", ms=1)) == "quick"
    assert winner(made("big", 0.9, "0.2", size=200), made("small", 0.9, "0.2", size=100)) == "small"
    assert winner(made("good", 0.9, "0.2"), made("better", 0.91, "0.2", ms=1.01)) == "better"
    assert winner(made("b", 0.9, "0.2"), made("a", 0.9, "0.2")) == "a"
    assert winner(made("below", 0.89, "0.1"), made("above", 0.9, "0.3")) == "above"


def test_a_teacher_never_wins(made: Callable[..., Entry]) -> None:
    assert cheapest([made("teacher", 1.0, "0.1", family="teacher")], 0.9) is None


def test_the_words_name_ties_and_a_floor_missed_on_the_test_rows(
    made: Callable[..., Entry],
) -> None:
    quick, slow = made("quick", 0.92, "0.2", ms=1), made("slow", 0.92, "0.2", ms=2)
    assert quick.report.scores is not None
    worse = msgspec.structs.replace(quick.report.scores, accuracy=0.89)
    quick = Entry(quick.candidate, quick.valid, msgspec.structs.replace(quick.report, scores=worse))
    outcome = outcome_of([quick, slow])
    assert outcome.winner is quick
    assert "slow costs as much within 1%" in outcome.why()
    assert "On the test rows, which had no say, it has 0.8900" in outcome.why()
    assert outcome.fate(slow) == "same price"


@pytest.mark.parametrize(
    ("asked", "teacher", "threshold"),
    [("0.95", None, 0.95), (".5", 0.1, 0.5), ("0.98-of-teacher", 0.9, 0.882), ("1.0", None, 1.0)],
)
def test_a_floor_is_a_number_or_a_share(
    asked: str, teacher: float | None, threshold: float
) -> None:
    assert read_floor(asked).threshold(teacher) == pytest.approx(threshold)


@pytest.mark.parametrize("asked", ["", "95", "0.95-of-student", "1.5", "-0.1", "0.9 "])
def test_a_misspelt_floor_is_refused(asked: str) -> None:
    with pytest.raises(ContestInvalid, match=r'such as "0\.95", or a share of the teacher'):
        read_floor(asked)


def test_a_share_of_a_teacher_needs_a_teacher() -> None:
    with pytest.raises(ContestInvalid, match="no teacher takes part"):
        read_floor("0.98-of-teacher").threshold(None)


def test_a_share_of_an_accuracy_is_met_by_exactly_that_share() -> None:
    assert meets(0.882, 0.98 * 0.9)
    assert not meets(0.8819, 0.98 * 0.9)


def test_a_contest_that_cannot_be_held_is_refused(arguments: Arguments) -> None:
    teacher, shipped, _ = arguments["candidates"]
    for changed, message in (
        ({"candidates": (shipped, shipped)}, "take part twice: shipped"),
        ({"candidates": (teacher,)}, "at least one bundle beside the teacher"),
        ({"candidates": (teacher, Candidate("x", "linear", None))}, "x has neither a folder"),
        ({"valid": LabelledSet((), ())}, "these are 0 and 120"),
        ({"candidates": (shipped,)}, "no teacher takes part"),
    ):
        with pytest.raises(ContestInvalid, match=message):
            hold(**{**arguments, "runs": 1, **changed})


def test_a_duel_measures_both_and_keeps_the_better(arguments: Arguments) -> None:
    _, shipped, fond = arguments["candidates"]
    terms = {name: arguments[name] for name in ("plan", "drift", "runs")}
    test = LabelledSet(arguments["test"].texts[::4], arguments["test"].labels[::4])
    verdict = duel(fond.bundle, shipped.bundle, test, **terms)
    assert verdict.wins
    assert verdict.challenger == "product-classifier"
    assert verdict.gain > 0.5


def test_the_front_has_who_is_beaten_by_nobody(made: Callable[..., Entry]) -> None:
    entries = [
        made("dear and bad", 0.7, "0.5"),
        made("best", 0.99, "0.9"),
        made("cheapest", 0.8, "0.1"),
        made("same price, worse", 0.75, "0.1"),
        made("middle", 0.9, "0.4"),
    ]
    assert [entry.name for entry in front(entries)] == ["cheapest", "middle", "best"]


def test_a_receipt_has_every_candidate_and_digest(outcome: Outcome, tmp_path: Path) -> None:
    files = {path.name: path for path in write(outcome, tmp_path)}
    assert set(files) == {"receipt.json", "table.md", "pareto.png", "pareto.svg"}
    found = json.loads(files["receipt.json"].read_bytes())
    assert found["recipe"] == PROVENANCE["recipe"]
    assert found["data"] == PROVENANCE["data"]
    assert found["winner"]["digest"] == Bundle.open(SHIPPED).digest
    assert found["winner"]["against_teacher"]["bytes_share"] < 1 / 25
    assert found["floor"]["asked"] == "0.95-of-teacher"
    candidates = {entry["name"]: entry for entry in found["candidates"]}
    assert candidates["always-right"]["digest"] == "56" * 32
    assert candidates["fond"]["outcome"] == "below the floor"
    assert candidates["shipped"]["outcome"] == "winner"
    assert candidates["shipped"]["price"]["warm"]["usd_per_million"].startswith("0.2")
    assert found["machine"]["onnxruntime"]
    assert found["price_book"] == outcome.entry("shipped").report.price.price_book
    text = files["receipt.json"].read_text()
    assert str(SHIPPED.parent) not in text
    assert "one_text_ns" not in text


def test_writing_twice_writes_the_same_bytes(outcome: Outcome, tmp_path: Path) -> None:
    first, again = write(outcome, tmp_path / "a"), write(outcome, tmp_path / "b")
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_page_and_the_terminal_show_every_candidate(outcome: Outcome) -> None:
    page = markdown(outcome)
    assert page.startswith("# Contest for products\n")
    assert f"| {' | '.join(COLUMNS)} |" in page
    assert "1,125 MB are needed, more than the 1,024 MB asked for" in page
    shown = io.StringIO()
    Console(width=140, file=shown).print(outcome_table(outcome))
    for entry in outcome.entries:
        assert f"| {entry.name} |" in page
        assert entry.name in shown.getvalue()
    assert "shipped wins: the cheapest of all, the only one to meet" in shown.getvalue()


def test_numbers_in_a_receipt_have_six_digits(outcome: Outcome) -> None:
    def floats(value: object) -> list[float]:
        if isinstance(value, dict):
            return [number for entry in value.values() for number in floats(entry)]
        if isinstance(value, list):
            return [number for entry in value for number in floats(entry)]
        return [value] if isinstance(value, float) else []

    numbers = floats(receipt(outcome)["candidates"])
    assert len(numbers) > 20
    assert all(number == float(f"{number:.6g}") for number in numbers)
