"""Recipes that ship are valid, and broken ones say what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch")

from farthing.forge.recipe import FOLDER, Recipe, RecipeInvalid, find, read, shipped

if TYPE_CHECKING:
    from pathlib import Path


def changed(name: str, old: str, new: str, folder: Path) -> Recipe:
    """A shipped recipe with one piece of its text replaced."""
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert old in text
    file = folder / "r.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return read(file)


def test_shipped_recipes_are_named_as_their_files() -> None:
    assert shipped() == [
        "all-minilm-l6-v2",
        "product-classifier",
        "retail-banking-intents",
        "retail-banking-words",
    ]
    for name in shipped():
        recipe = find(name)
        assert recipe.name == name
        assert "Apache License" in recipe.licence_text()


def test_another_scheme_does_not_train_again_but_another_seed_does(tmp_path: Path) -> None:
    name = "product-classifier"
    shipped_recipe = find(name)
    student = shipped_recipe.student()
    key = shipped_recipe.weights_key(student, "data")
    dynamic = changed(name, 'scheme = "per-token"', 'scheme = "dynamic"', tmp_path)
    seeded = changed(name, "[training]", "[training]\nseed = 8", tmp_path)
    foreseen = changed(name, "bits = 7", "bits = 7\nqat_epochs = 1", tmp_path)
    assert dynamic.weights_key(student, "data") == key
    keys = {
        key,
        seeded.weights_key(student, "data"),
        foreseen.weights_key(student, "data"),
        shipped_recipe.weights_key(student, "other data"),
        shipped_recipe.weights_key(None, ""),
    }
    assert len(keys) == 5


def test_the_digest_of_a_recipe_is_of_what_it_says_and_not_of_how(tmp_path: Path) -> None:
    name = "product-classifier"
    commented = changed(name, "[source]", "# Where it begins.\n[source]", tmp_path)
    other = changed(name, 'floor = "0.98-of-teacher"', 'floor = "0.97-of-teacher"', tmp_path)
    assert commented.digest() == find(name).digest() != other.digest()


def test_a_missing_recipe_names_those_that_ship() -> None:
    with pytest.raises(RecipeInvalid, match=r"nothing\.toml .*ship.*: all-minilm-l6-v2, product"):
        find("nothing")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("bits = 7", "bitz = 7", r"unknown field `bitz`.*quantisation"),
        ('floor = "0.98-of-teacher"', 'floor = "98 %"', "floor"),
        ("soft_weight = 0.3", "soft_weight = 1.3", "soft_weight"),
        ("layers = 2", "layers = 0", "layers"),
        ('method = "frozen"', 'method = "thawed"', "thawed"),
        ("train = ", "test_too = ", "test_too"),
        ('name = "product-classifier"', 'name = "Product Classifier"', "name"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    with pytest.raises(RecipeInvalid, match=complaint):
        changed("product-classifier", old, new, tmp_path)


def test_students_need_a_teacher_and_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match=r"add the table \[teacher\]"):
        changed("product-classifier", '[teacher]\nmethod = "frozen"\n', "", tmp_path)
    twin = '[[students]]\nname = "2-layer"\nlayers = 3\n\n[[students]]'
    with pytest.raises(RecipeInvalid, match="names of their own"):
        changed("product-classifier", "[[students]]", twin, tmp_path)


def test_a_student_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(RecipeInvalid, match="has the students 2-layer; asked for was 9-layer"):
        find("product-classifier").student("9-layer")
