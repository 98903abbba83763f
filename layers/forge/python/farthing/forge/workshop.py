"""One recipe's things, each made when it is first asked for and kept by what decides it.

    .cache/forge/pretrained/            weights unpacked or fetched
    .cache/forge/features/              sentence vectors of frozen encoders, by text
    .cache/forge/teachers/, logits/     teachers that were tuned, and what they said
    .cache/forge/students/<name>-<key>/ state of the training, checkpoint, float32 bundle
    .cache/forge/bundles/<name>-<key>/  candidates of contests

A float32 bundle has the same files as one that ships, so the reference is opened, answers and is
measured by the very code that serves the INT8 bundles.
"""

from __future__ import annotations

import random
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from transformers import BertConfig, BertModel

from farthing.forge import pack
from farthing.forge.assembly import activations, assemble, described
from farthing.forge.data.splits import Splits, load
from farthing.forge.distil.classifier import distil_classifier
from farthing.forge.distil.sentences import Places, distil_encoder
from farthing.forge.distil.students import StudentClassifier, Trained, read_head
from farthing.forge.distil.trim import trim_embeddings
from farthing.forge.distil.variants import variants
from farthing.forge.distil.vocabulary import bare_tokenizer, prune, reachable_ids
from farthing.forge.export.graph import Graph
from farthing.forge.export.head import append_head
from farthing.forge.export.transformer import export
from farthing.forge.linear.bundle import write_bundle
from farthing.forge.linear.model import fit
from farthing.forge.pretrained import locate
from farthing.forge.quantise.schemes import QuantisationPlan, quantise
from farthing.forge.quietly import quietly
from farthing.forge.recipe import RecipeInvalid, key_of
from farthing.forge.relevance.encoder import tune_encoder
from farthing.forge.relevance.judged import files_of, read_judged
from farthing.forge.storage import writing
from farthing.forge.teach.features import FrozenEncoder
from farthing.forge.teach.teacher import teach
from farthing.forge.tuning import History
from farthing.inference.bundle import MODEL_FILE, TOKENIZER_FILE, read_manifest

if TYPE_CHECKING:
    from rich.progress import Progress

    from farthing.forge.linear.features import LinearKind
    from farthing.forge.plans import TeacherPlan
    from farthing.forge.quantise.calibrate import Seen
    from farthing.forge.recipe import Recipe
    from farthing.forge.teach.teaching import Teaching

HISTORY_FILE, STATE_FILE = "history.json", "training.pt"


class Workshop:
    """The making of everything that a recipe describes; nothing is made twice.

    :param cache: the folder where things are kept between runs.
    """

    def __init__(self, recipe: Recipe, cache: Path, progress: Progress) -> None:
        self.recipe = recipe
        self.cache = cache
        self.progress = progress
        self._teaching: Teaching | None = None
        self._exported: dict[str, Path] = {}

    @cached_property
    def splits(self) -> Splits:
        """The recipe's rows, read and checked; what to look at in them is printed."""
        splits = load(self.recipe.data, self.progress)
        for warning in splits.report.warnings:
            self.progress.console.print(f"{self.recipe.data.name}: {warning}")
        return splits

    @cached_property
    def extra(self) -> tuple[str, ...]:
        """Texts that only the teacher labels: the recipe's unlabelled ones, then invented ones."""
        plan, texts = self.recipe.distillation, self.splits.train.texts
        generator = random.Random(self.recipe.training.seed)  # noqa: S311 - it guards nothing
        invented = variants(
            texts, round(len(texts) * plan.variants), generator, plan.digit_change_share
        )
        return (*self.splits.unlabelled, *invented)

    def teacher_plan(self) -> TeacherPlan:
        """The recipe's table [teacher].

        :raises RecipeInvalid: if it has none.
        """
        if self.recipe.teacher is None:
            raise RecipeInvalid(
                f"The recipe {self.recipe.name} has no teacher; add a table [teacher]."
            )
        return self.recipe.teacher

    def teaching(self) -> Teaching:
        """The teacher's word on every text of the recipe."""
        if self._teaching is None:
            plan = self.teacher_plan()
            extra = self.extra if self.recipe.students else ()
            self._teaching = teach(self.recipe, plan, self.splits, extra, self.cache, self.progress)
        return self._teaching

    def student(self, name: str = "") -> Path:
        """The folder of a student's float32 checkpoint, trained if need be.

        Of an embedder without students it is the source, cut to what texts can reach.
        """
        checkpoint = self._student_folder(name) / "checkpoint"
        if not checkpoint.is_dir():
            model, tokenizer, history = self._make(name)
            with tempfile.TemporaryDirectory() as temporary:
                save = model.save if isinstance(model, StudentClassifier) else model.save_pretrained
                save(Path(temporary))
                tokenizer.save(f"{temporary}/tokenizer.json")
                (Path(temporary) / HISTORY_FILE).write_bytes(msgspec.json.encode(history))
                pack.publish(Path(temporary), checkpoint)
            (checkpoint.parent / STATE_FILE).unlink(missing_ok=True)
        return checkpoint

    def is_trained(self, name: str = "") -> bool:
        """Whether a student's weights can be had without training."""
        return not self.recipe.is_trained or (self._student_folder(name) / "checkpoint").is_dir()

    def history(self, name: str = "") -> History:
        """How the training of a student went."""
        raw = (self.student(name) / HISTORY_FILE).read_bytes()
        return msgspec.json.decode(raw, type=History)

    def float32(self, name: str = "") -> Path:
        """The folder of a student's float32 bundle, exported once by each workshop."""
        if name in self._exported:
            return self._exported[name]
        checkpoint = self.student(name)
        folder = checkpoint.with_name("float32")
        config = BertConfig.from_pretrained(checkpoint)
        task = self.progress.add_task("export to ONNX", total=1)
        graph = export(checkpoint, config.num_attention_heads, config.hidden_size)
        labels: tuple[str, ...] = ()
        if self.recipe.task == "classify":
            labels = tuple(config.id2label[number] for number in range(config.num_labels))
            weight, bias = read_head(checkpoint)
            append_head(graph, weight.numpy(), bias.numpy())
        dims = len(labels) or config.hidden_size
        plan = QuantisationPlan(scheme="none", bits=32)
        assemble(folder, graph, checkpoint, described(self.recipe, labels, dims, plan))
        self.progress.advance(task)
        self._exported[name] = folder
        return folder

    def bundle(self, name: str = "", plan: QuantisationPlan | None = None) -> Path:
        """The folder of a student's bundle under a scheme, the recipe's own if none is given.

        It is not yet measured: its manifest states a drift that forbids batching.
        """
        plan = plan or self.recipe.quantisation
        reference = self.float32(name)
        folder = self.cache / "bundles" / f"{self._title(name)}-{key_of(plan)}"
        graph = Graph.load(reference / MODEL_FILE)
        seen = self._seen(graph, reference) if plan.scheme == "static" else None
        _, manifest = read_manifest(reference)
        task = self.progress.add_task(f"quantise ({plan.scheme})", total=1)
        description = described(self.recipe, manifest.labels, manifest.dims, plan)
        assemble(folder, quantise(graph, plan, seen), reference, description)
        self.progress.advance(task)
        return folder

    def linear(self, kind: LinearKind) -> Path:
        """The folder of a linear model's bundle; like `bundle`, not yet measured."""
        recipe = self.recipe
        key = key_of(self._data_key(), recipe.training.seed, recipe.max_tokens, recipe.origin)
        folder = self.cache / "bundles" / f"{recipe.name}-{kind}-{key}"
        task = self.progress.add_task(f"linear model ({kind})", total=1)
        if not folder.is_dir():
            splits = self.splits
            model = fit(kind, splits.train, splits.labels, seed=recipe.training.seed)
            description = described(recipe, splits.labels, len(splits.labels), None)
            with writing(folder) as aside:
                write_bundle(model, aside, description)
        self.progress.advance(task)
        return folder

    def _make(self, name: str) -> Trained:
        recipe = self.recipe
        source = locate(recipe.source, self.cache)
        if recipe.relevance is not None:
            judged, state = read_judged(recipe.relevance), self._student_folder(name) / STATE_FILE
            return tune_encoder(recipe, recipe.relevance, source, judged, state, self.progress)
        if not recipe.students:
            if recipe.task == "classify":
                recipe.student(name)  # refuses, naming those there are
            full = bare_tokenizer(source.tokenizer_path)
            keep = reachable_ids(full)
            with quietly():
                model: BertModel = BertModel.from_pretrained(
                    source.folder, add_pooling_layer=False, use_safetensors=True
                )
            trim_embeddings(model, keep, recipe.max_tokens)
            return Trained(model, prune(full, keep), History())
        plan = recipe.student(name)
        state = self._student_folder(name) / STATE_FILE
        if recipe.task == "embed":
            train, valid = self.places()
            return distil_encoder(recipe, plan, source, train, valid, state, self.progress)
        return distil_classifier(
            recipe,
            plan,
            source,
            self.splits,
            self.extra,
            self.teaching(),
            state,
            self.progress,
        )

    def places(self) -> tuple[Places, Places]:
        """Where the teacher of an embedder puts the training texts and those of the test file."""
        plan = self.teacher_plan()
        source = locate(plan.source, self.cache)
        encoder = FrozenEncoder(source, plan.max_tokens, self.cache, bfloat16=plan.bfloat16)
        texts = (*self.splits.train.texts, *self.splits.unlabelled)
        held_out = self.splits.test.texts
        return (
            Places(texts, encoder.vectors(texts, self.progress, "the training texts")),
            Places(held_out, encoder.vectors(held_out, self.progress, "the test texts")),
        )

    def _student_folder(self, name: str) -> Path:
        student = self.recipe.student(name) if self.recipe.students else None
        key = self.recipe.weights_key(student, self._learnt_key())
        return self.cache / "students" / f"{self._title(name)}-{key}"

    def _title(self, name: str) -> str:
        student = self.recipe.student(name).name if self.recipe.students else ""
        return f"{self.recipe.name}-{student}".strip("-")

    def _learnt_key(self) -> str:
        """Stands for the rows that weights are learnt from; "" where none are."""
        if self.recipe.relevance is not None:
            return key_of(files_of(self.recipe.relevance))
        return self._data_key() if self.recipe.students else ""

    def _data_key(self) -> str:
        return key_of(self.recipe.data, {k: f.sha256 for k, f in self.splits.report.files.items()})

    def _seen(self, graph: Graph, reference: Path) -> dict[str, Seen]:
        """The activations on texts that no measurement uses: training rows, or unlabelled texts."""
        texts = self.splits.train.texts or self.splits.unlabelled
        return activations(graph, reference / TOKENIZER_FILE, texts, self.recipe.max_tokens)
