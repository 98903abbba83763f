"""How sure a stage must be is chosen on validation rows, for a stated accuracy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pyarrow")

from typer.testing import CliRunner

from farthing.cli.forge import app
from farthing.forge.cascade.errors import CascadeInvalid, CascadeUseless
from farthing.forge.cascade.making import make
from farthing.forge.cascade.rows import open_stages
from farthing.forge.cascade.thresholds import NEVER, Aim, answered_by, choose, least_gain
from farthing.forge.data.labelled import LabelledSet
from farthing.forge.data.splits import Splits
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import open_task
from tests.forge.things import recipe_of_things, things

if TYPE_CHECKING:
    from farthing.forge.cascade.making import Made
    from farthing.forge.cascade.thresholds import FloatArray, IntArray

MODELS = Path(__file__).parents[2] / "layers" / "models"
WORDS, INTENTS = MODELS / "retail-banking-words", MODELS / "retail-banking-intents"
NAMES = ("first", "second", "third")
QUESTIONS = (
    "I lost my card", "I have lost my card", "How do I change my PIN?", "why",
    "I want to close my account", "nobody tells me anything about it", "how do I top up?",
    "What currencies do you support?", "my transfer has not arrived", "is it safe",
)  # fmt: skip


def table(rows: list[tuple[int, float]]) -> FloatArray:
    """Probabilities over two labels: each row's answer, and how sure it is (above a half)."""
    return np.array(
        [[sure, 1 - sure] if label == 0 else [1 - sure, sure] for label, sure in rows],
        dtype=np.float32,
    )


def two_stages(rows: int, wrong_below: float) -> tuple[list[FloatArray], IntArray]:
    """A first stage that is wrong wherever it is less sure than that, and a last that never is."""
    sures = np.linspace(0.51, 0.99, rows)
    first = [(int(sure < wrong_below), float(sure)) for sure in sures]
    return [table(first), table([(0, 0.9)] * rows)], np.zeros(rows, np.int64)


def test_the_lowest_threshold_is_chosen_that_loses_no_more_than_was_allowed() -> None:
    stages, wanted = two_stages(4000, 0.7)
    (strict,) = choose(stages, wanted, NAMES, Aim(loss_max=0, confidence=0.9))
    assert strict == 0.7
    (lenient,) = choose(stages, wanted, NAMES, Aim(loss_max=0.05, confidence=0.9))
    assert 0.6 < lenient < 0.7
    lost = (stages[0].max(axis=1) >= np.float32(lenient)) & (stages[0].argmax(axis=1) == 1)
    assert 0.03 < lost.mean() <= 0.05


def test_more_confidence_and_fewer_rows_ask_for_a_higher_threshold() -> None:
    stages, wanted = two_stages(800, 0.7)
    bold, careful = (
        choose(stages, wanted, NAMES, Aim(loss_max=0.1, confidence=confidence))[0]
        for confidence in (0.5, 0.999)
    )
    few = [stage[::8] for stage in stages]
    assert bold < careful
    assert choose(few, wanted[::8], NAMES, Aim(loss_max=0.1, confidence=0.999))[0] > careful


def test_a_lower_threshold_that_passes_by_luck_is_not_reached_past_one_that_fails() -> None:
    # Wrong where it is rather sure, and right again, more than the last, where it is not.
    rows = [(0, 0.95)] * 400 + [(1, 0.8)] * 100 + [(0, 0.6)] * 500
    last = [(0, 0.9)] * 500 + [(1, 0.9)] * 500
    wanted = np.zeros(len(rows), np.int64)
    assert choose([table(rows), table(last)], wanted, NAMES, Aim()) == (0.81,)


def test_of_three_stages_the_first_comes_first_and_each_has_its_part_of_the_loss() -> None:
    sures = np.linspace(0.51, 0.99, 3000)
    first = table([(int(sure < 0.8), float(sure)) for sure in sures])
    second = table([(int(sure < 0.7), float(sure)) for sure in sures])
    last = table([(0, 0.9)] * len(sures))
    wanted = np.zeros(len(sures), np.int64)
    assert choose([first, second, last], wanted, NAMES, Aim(loss_max=0)) == (0.8, 0.7)
    at = answered_by([first, second, last], (0.8, 0.7))
    assert [int((at == number).sum()) for number in range(3)] == [
        int((sures >= 0.8).sum()),
        int(((sures >= 0.7) & (sures < 0.8)).sum()),
        int((sures < 0.7).sum()),
    ]
    generous = choose([first, second, last], wanted, NAMES, Aim(loss_max=0.04))
    halved = choose([first, last], wanted, NAMES, Aim(loss_max=0.02))
    assert generous[0] == halved[0]


def test_a_stage_that_may_never_answer_is_refused_by_name() -> None:
    stages, wanted = two_stages(500, 1.0)
    with pytest.raises(CascadeUseless, match=r"first is never so sure.*second.*500 validation"):
        choose(stages, wanted, NAMES[:2], Aim())


@pytest.mark.parametrize("threshold", [0.5, 0.75, 0.9, 1.0, NEVER])
def test_who_answers_is_told_by_the_runtimes_rule(threshold: float) -> None:
    sures = np.random.default_rng(5).uniform(0.5, 1, 200).round(2)
    stages = [table([(0, float(sure)) for sure in sures]), table([(0, 0.9)] * len(sures))]
    wanted = [0 if row.max() >= np.float32(threshold) else 1 for row in stages[0]]
    assert answered_by(stages, [threshold]).tolist() == wanted


def test_the_least_gain_counts_only_rows_on_which_the_two_differ() -> None:
    right, reference = np.array([True] * 90 + [False] * 10), np.array([True] * 95 + [False] * 5)
    mean, variance = -5 / 100, 5 / 100 - (5 / 100) ** 2
    wanted = mean - 1.6448536 * (variance / 100) ** 0.5
    assert least_gain(right, reference, 0.95) == pytest.approx(wanted, abs=1e-6)
    assert least_gain(right, right, 0.99) == 0


def rows_as_answered(texts: tuple[str, ...]) -> LabelledSet:
    """The texts, each with the label that the last stage gives it."""
    model = open_task(Bundle.open(INTENTS))
    given = model.compute(model.prepare(texts)).argmax(axis=1)
    return LabelledSet(texts, tuple(model.labels[at] for at in given))


def splits(valid: LabelledSet, test: LabelledSet) -> Splits:
    return Splits(valid, valid, test, (), report=None)  # type: ignore[arg-type]


def made(out: Path, parts: Splits, **aim: Any) -> Made:
    recipe = recipe_of_things()
    return make("bank", [WORDS, INTENTS], recipe, parts, out, Aim(**aim), runs=10)


def test_no_test_row_has_a_say(tmp_path: Path) -> None:
    rows = rows_as_answered(QUESTIONS)
    wrong = LabelledSet(rows.texts[::-1], rows.labels)
    ones = [
        made(tmp_path / str(number), splits(rows, test), loss_max=0.2, share_min=0)
        for number, test in enumerate((rows, wrong))
    ]
    first, second = (one.manifest for one in ones)
    assert first.stages == second.stages
    assert first.calibration == second.calibration
    assert first.accuracy["value"] > second.accuracy["value"]


def test_what_is_made_is_what_the_runtime_opens_and_the_same_again(tmp_path: Path) -> None:
    from farthing.inference.cascade.manifest import read_cascade

    rows = rows_as_answered(QUESTIONS)
    parts = splits(rows, rows)
    one, two = (made(tmp_path / name, parts, loss_max=0.2, share_min=0) for name in ("one", "two"))
    found = read_cascade(tmp_path / "one" / "bank")
    assert (found.digest, found.manifest) == (one.digest, one.manifest)
    assert one.digest == two.digest
    digests = [Bundle.open(folder).digest for folder in (WORDS, INTENTS)]
    assert [stage.digest for stage in found.manifest.stages] == digests
    assert one.digest in (tmp_path / "one" / "bank" / "README.md").read_text(encoding="utf-8")
    *stages, whole = one.lines
    assert sum(line.share for line in stages) == pytest.approx(whole.share) == pytest.approx(1)


def test_one_that_answers_too_little_is_refused_with_the_numbers_and_not_written(
    tmp_path: Path,
) -> None:
    rows = rows_as_answered(QUESTIONS)
    with pytest.raises(CascadeUseless, match=r"may answer \d+\.0% of the texts.*99\.0% were asked"):
        made(tmp_path, splits(rows, rows), loss_max=0, share_min=0.99)
    assert not list(tmp_path.iterdir())


def test_one_that_saves_nothing_is_refused_with_the_numbers(tmp_path: Path) -> None:
    rows = rows_as_answered(QUESTIONS)
    recipe = recipe_of_things()
    stages = [INTENTS, WORDS]
    with pytest.raises(CascadeUseless, match=r"computes for \$.*retail-banking-words alone"):
        make("bank", stages, recipe, splits(rows, rows), tmp_path, Aim(1, 0.5, 0), runs=10)


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        ([WORDS], "1 stage. Name two"),
        ([WORDS, WORDS], "each must be another bundle"),
        ([WORDS, MODELS / "product-classifier"], "product-classifier does not have the labels"),
        ([WORDS, MODELS / "all-minilm-l6-v2"], "all-minilm-l6-v2 does not have the labels"),
        ([WORDS, MODELS / "nothing"], "nothing is no folder of a bundle"),
    ],
)
def test_stages_that_make_no_cascade_are_refused(folders: list[Path], complaint: str) -> None:
    with pytest.raises(CascadeInvalid, match=complaint):
        open_stages(folders)


def test_rows_of_other_labels_are_refused(tmp_path: Path) -> None:
    fridges = things(3, ("white",))
    with pytest.raises(CascadeInvalid, match="None of the 6 validation rows has a label"):
        made(tmp_path, splits(fridges, fridges))


def test_the_command_writes_cascade_and_receipt_and_tells_a_table(tmp_path: Path) -> None:
    rows = rows_as_answered(QUESTIONS * 3)
    numbered = replace(rows, texts=tuple(f"{text} {at}" for at, text in enumerate(rows.texts)))
    for part in ("train", "valid", "test"):
        pairs = zip(numbered.texts, numbered.labels, strict=True)
        lines = [f"{text}\t{label}\n" for text, label in pairs]
        (tmp_path / f"{part}.tsv").write_text("text\tlabel\n" + "".join(lines), encoding="utf-8")
    files = [
        argument
        for part in ("train", "valid", "test")
        for argument in (f"--{part}", str(tmp_path / f"{part}.tsv"))
    ]
    arguments = [
        "cascade", *files, "--text", "text", "--label", "label", "--called", "bank",
        "--stage", str(WORDS), "--stage", str(INTENTS), "--loss", "0.3", "--share", "0",
        "--out", str(tmp_path / "models"), "--receipts", str(tmp_path / "receipts"),
    ]  # fmt: skip
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "receipts" / "bank" / "receipt.json").read_bytes())
    assert [line["name"] for line in told["lines"]] == [WORDS.name, INTENTS.name, "bank"]
    assert {"arm64", "x86_64"} == told["lines"][0]["bills"].keys()
    assert (tmp_path / "models" / "bank" / "cascade.json").is_file()
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert "answers" in shown
    assert "$/M arm64" in shown
