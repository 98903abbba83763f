"""A recipe: everything that decides what a bundle will be, seeds included."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from farthing.errors import StartupError
from farthing.forge.quantise.schemes import QuantisationPlan

FOLDER = Path(__file__).parent / "recipes"


class RecipeInvalid(StartupError):
    """A recipe file does not exist or does not say what a recipe must say."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pretrained weights: a Python package that carries them, and a folder inside it."""

    package: str
    folder: str


class DataFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Gzip TSV files, relative to the data folder, and the columns to read.

    `train`, `valid` and `label` are empty for an embedder. `rows` limits the test rows; 0 is all.
    """

    name: str
    test: str
    text: str
    label: str = ""
    train: str = ""
    valid: str = ""
    rows: int = 0


class StudentPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of a student: how much of the pretrained model it keeps."""

    layers: int
    vocabulary_min_count: int


class TeacherPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Soft labels from a linear teacher; `weight` is their share in the loss, 0..1."""

    seed: int
    folds: int
    weight: float


class TrainingPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a student is fine-tuned.

    `variants_share` is the number of invented texts for each real one, fresh in every epoch, and
    `digit_change_share` the chance of a digit in them to be changed; see `variants`.
    """

    seed: int
    threads: int
    epochs: int
    batch: int
    learning_rate: float
    warmup_share: float
    weight_decay: float
    variants_share: float
    digit_change_share: float
    bfloat16: bool


class Distillation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a student comes to be: its shape, its teacher, its training."""

    student: StudentPlan
    teacher: TeacherPlan
    training: TrainingPlan


class DriftPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many texts are answered alone and again in random batches."""

    texts: int
    batch: int
    seed: int


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One bundle. `distillation` is absent where nothing is trained."""

    name: str
    task: Literal["classify", "embed"]
    pooling: Literal["mean", "cls", "none"]
    normalize: bool
    max_tokens: int
    licence: str
    licence_file: str
    origin: str
    notice: str
    source: Source
    data: DataFiles
    quantisation: QuantisationPlan
    drift: DriftPlan
    distillation: Distillation | None = None

    def __post_init__(self) -> None:
        if (self.task == "classify") != (self.distillation is not None):
            raise ValueError("[distillation] belongs in a classify recipe, and only there")

    def licence_text(self) -> str:
        """The full text of the licence."""
        return (FOLDER / self.licence_file).read_text(encoding="utf-8")

    def weights_key(self) -> str:
        """12 hex digits over everything that decides the float32 weights.

        The quantisation is left out: trying another scheme must not train again.
        """
        parts = (
            self.name,
            self.max_tokens,
            self.source,
            self.data,
            self.distillation,
        )
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:12]


def read(path: Path) -> Recipe:
    """The recipe in a TOML file.

    :raises RecipeInvalid: if the file is missing, is no TOML or has wrong or missing fields.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecipeInvalid(
            f"The recipe {path} was asked for and cannot be read ({error.strerror}); "
            f"recipes that ship with Farthing: {', '.join(shipped()) or 'none'}."
        ) from None
    try:
        return msgspec.toml.decode(raw, type=Recipe)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecipeInvalid(
            f"The recipe {path} is not valid: {error}. Correct that line."
        ) from None


def find(name: str) -> Recipe:
    """The recipe that ships under `name`, or the one in the file `name` if it ends in .toml."""
    return read(Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml")


def shipped() -> list[str]:
    """Names of the recipes that ship with Farthing, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))
