"""The whole forge on a small recipe: from rows to a published, proven, carded bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("optimum")

from rich.progress import Progress  # noqa: E402

from farthing.forge.build import build  # noqa: E402
from farthing.forge.plans import StudentPlan, TeacherPlan  # noqa: E402
from farthing.forge.recipe import RecipeInvalid, read  # noqa: E402
from farthing.forge.workshop import Workshop  # noqa: E402
from farthing.inference.bundle import Bundle  # noqa: E402
from farthing.inference.tasks import open_task  # noqa: E402

if TYPE_CHECKING:
    from farthing.forge.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore")

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    made = read(DATA / "tiny.toml")
    files = {part: str(DATA / getattr(made.data, part)) for part in ("train", "test")}
    return msgspec.structs.replace(made, data=msgspec.structs.replace(made.data, **files))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def built(recipe: Recipe, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    with Progress(disable=True) as progress:
        return build(recipe, out, cache, progress, receipts=out / "receipts")


def test_the_winner_is_published_with_card_receipt_and_proof(built: Path, recipe: Recipe) -> None:
    bundle = Bundle.open(built)
    assert bundle.manifest.name == recipe.name
    assert bundle.manifest.batch_drift.is_zero
    receipts = built.parent / "receipts" / recipe.name
    receipt = json.loads((receipts / "receipt.json").read_bytes())
    assert {path.suffix for path in receipts.iterdir()} == {".json", ".md", ".png", ".svg"}
    families = {entry["family"] for entry in receipt["candidates"]}
    assert families == {"teacher", "linear", "transformer"}
    able = [
        entry
        for entry in receipt["candidates"]
        if entry["family"] != "teacher"
        and entry["valid"]["accuracy"] >= receipt["floor"]["accuracy_valid"]
    ]
    cheapest = min(float(e["price"]["warm"]["usd_per_million"]) for e in able)
    (winner,) = (e for e in able if e["name"] == receipt["winner"]["name"])
    assert float(winner["price"]["warm"]["usd_per_million"]) <= cheapest * 1.01
    card = (built / "README.md").read_text(encoding="utf-8")
    assert bundle.digest in card
    assert "native" in card


def test_the_published_bundle_has_the_accuracy_it_states(built: Path, recipe: Recipe) -> None:
    bundle = Bundle.open(built)
    with Progress(disable=True) as progress:
        test = Workshop(recipe, built.parent, progress).splits.test
    model = open_task(bundle)
    given = model.compute(model.prepare(test.texts)).argmax(axis=1)
    right = [
        model.labels[at] == label for at, label in zip(given.tolist(), test.labels, strict=True)
    ]
    assert sum(right) / len(right) == pytest.approx(bundle.manifest.accuracy["value"], abs=1e-6)


def test_a_second_build_trains_nothing_and_gives_the_same_model(
    built: Path, recipe: Recipe, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farthing.forge.workshop.distil_classifier", None)
    with Progress(disable=True) as progress:
        again = build(recipe, tmp_path, cache, progress, receipts=tmp_path / "receipts")
    for name in Bundle.open(built).manifest.files:
        assert (again / name).read_bytes() == (built / name).read_bytes()


def test_a_recipe_without_a_teacher_says_so(recipe: Recipe, cache: Path) -> None:
    alone = msgspec.structs.replace(recipe, teacher=None, students=())
    with (
        Progress(disable=True) as progress,
        pytest.raises(RecipeInvalid, match=r"no teacher; add a table \[teacher\]"),
    ):
        Workshop(alone, cache, progress).teaching()
    with Progress(disable=True) as progress, pytest.raises(RecipeInvalid, match="students none"):
        Workshop(alone, cache, progress).student()


def test_a_smaller_encoder_is_packed_and_compared_with_its_teacher(
    recipe: Recipe, cache: Path, tmp_path: Path
) -> None:
    data = msgspec.structs.replace(
        recipe.data, train="", label="", unlabelled=recipe.data.train, valid_share=0.1
    )
    smaller = msgspec.structs.replace(
        recipe,
        name="tiny-encoder",
        task="embed",
        pooling="mean",
        normalize=True,
        data=data,
        teacher=TeacherPlan(source=recipe.source, max_tokens=32, bfloat16=False),
        students=(StudentPlan("3-layer", 3),),
        training=msgspec.structs.replace(recipe.training, epochs=3, learning_rate=1e-4),
    )
    with Progress(disable=True) as progress:
        built = build(smaller, tmp_path, cache, progress)
        history = Workshop(smaller, cache, progress).history()
    manifest = Bundle.open(built).manifest
    assert manifest.accuracy["metric"] == "cosine to the teacher"
    assert history.epochs[-1].accuracy > history.epochs[0].accuracy
    # In INT8 and through the serving code what training measured in float32.
    assert manifest.accuracy["value"] == pytest.approx(history.epochs[-1].accuracy, abs=0.03)
