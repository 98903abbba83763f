"""Float32 models in a cache: trained once, exported and quantised many times.

    .cache/forge/<name>-<key>/checkpoint   what transformers reads; kept until the recipe changes
    .cache/forge/<name>-<key>/float32      the same weights as a bundle; written anew by every build

A float32 bundle has the same files as one that ships, so the reference is opened, answers and is
measured by the very code that serves the INT8 bundles.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import BertConfig, BertForSequenceClassification, BertModel

from farthing.forge import pack, pretrained
from farthing.forge.data.labelled import LabelledSet, data_root, read_labelled
from farthing.forge.distil import vocabulary
from farthing.forge.distil.training import FineTuning, seed_everything, truncated_student
from farthing.forge.distil.trim import trim_embeddings
from farthing.forge.export.transformer import export
from farthing.forge.quietly import quietly
from farthing.forge.teach.linear import LinearTeacher

if TYPE_CHECKING:
    from rich.progress import Progress
    from tokenizers import Tokenizer

    from farthing.forge.pretrained import Pretrained
    from farthing.forge.recipe import DataFiles, Distillation, Recipe

CACHE = Path(".cache/forge")


def cached(recipe: Recipe, cache: Path = CACHE) -> Path:
    """Where the float32 bundle of `recipe` is, or would be."""
    return cache / f"{recipe.name}-{recipe.weights_key()}" / "float32"


def is_trained(recipe: Recipe, cache: Path = CACHE) -> bool:
    """Whether the weights of `recipe` can be had without training."""
    return recipe.distillation is None or _checkpoint(recipe, cache).is_dir()


def float32_bundle(recipe: Recipe, cache: Path, progress: Progress) -> Path:
    """The folder of the float32 bundle, exported now from weights that are trained if need be.

    :raises DataMissing: if training needs data files that are not there.
    :raises PretrainedMissing: if the package with the weights is not installed.
    """
    checkpoint, folder = _checkpoint(recipe, cache), cached(recipe, cache)
    if not checkpoint.is_dir():
        _make_checkpoint(checkpoint, recipe, progress)
    task = progress.add_task("export to ONNX", total=1)
    _export(checkpoint, folder, recipe)
    progress.advance(task)
    return folder


def read_set(data: DataFiles, file: str) -> LabelledSet:
    """One of the recipe's labelled files."""
    return read_labelled(data_root() / file, data.text, data.label)


def _checkpoint(recipe: Recipe, cache: Path) -> Path:
    return cached(recipe, cache).with_name("checkpoint")


def _make_checkpoint(checkpoint: Path, recipe: Recipe, progress: Progress) -> None:
    source = pretrained.from_package(recipe.source.package, recipe.source.folder)
    model: BertModel | BertForSequenceClassification
    if recipe.distillation is None:
        model, tokenizer = _trimmed(recipe, source)
    else:
        model, tokenizer = _student(recipe, recipe.distillation, source, progress)
    with tempfile.TemporaryDirectory() as temporary:
        model.save_pretrained(temporary)
        tokenizer.save(f"{temporary}/tokenizer.json")
        pack.publish(Path(temporary), checkpoint)


def _student(
    recipe: Recipe, plan: Distillation, source: Pretrained, progress: Progress
) -> tuple[BertForSequenceClassification, Tokenizer]:
    train = read_set(recipe.data, recipe.data.train)
    valid = read_set(recipe.data, recipe.data.valid)
    labels = train.label_names()
    full = vocabulary.bare_tokenizer(source.tokenizer_path)
    keep = vocabulary.used_ids(full, train.texts, plan.student.vocabulary_min_count)
    tokenizer = vocabulary.prune(full, keep)
    task = progress.add_task("teacher", total=1)
    teacher = LinearTeacher(train, labels, plan.teacher)
    progress.advance(task)
    seed_everything(plan.training.seed, plan.training.threads)
    student = truncated_student(source, plan.student.layers, keep, recipe.max_tokens, labels)
    tuning = FineTuning(
        student, tokenizer, train, teacher, plan.teacher.weight, recipe.max_tokens, plan.training
    )
    tuning.run(valid, progress)
    return student, tokenizer


def _trimmed(recipe: Recipe, source: Pretrained) -> tuple[BertModel, Tokenizer]:
    full = vocabulary.bare_tokenizer(source.tokenizer_path)
    keep = vocabulary.reachable_ids(full)
    with quietly():
        model: BertModel = BertModel.from_pretrained(source.folder, add_pooling_layer=False)
    trim_embeddings(model, keep, recipe.max_tokens)
    return model, vocabulary.prune(full, keep)


def _export(checkpoint: Path, folder: Path, recipe: Recipe) -> None:
    config = BertConfig.from_pretrained(checkpoint)
    labels: tuple[str, ...] = ()
    if recipe.task == "classify":
        labels = tuple(config.id2label[number] for number in range(config.num_labels))
    description = pack.Description(
        name=recipe.name,
        task=recipe.task,
        labels=labels,
        pooling=recipe.pooling,
        normalize=recipe.normalize,
        max_tokens=recipe.max_tokens,
        dims=len(labels) or config.hidden_size,
        quantisation={"scheme": "none", "bits": 32},
        licence=recipe.licence,
        origin=recipe.origin,
    )
    graph = export(checkpoint, recipe.task, config.num_attention_heads, config.hidden_size)
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary)
        tokenizer = vocabulary.bare_tokenizer(checkpoint / "tokenizer.json")
        pack.write_parts(built, graph, tokenizer)
        pack.write_manifest(built, description)
        pack.publish(built, folder)
