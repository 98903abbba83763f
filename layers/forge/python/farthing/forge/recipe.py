"""A recipe: everything that decides what a bundle will be, seeds included."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from farthing.errors import StartupError
from farthing.forge.plans import (
    ContestPlan,
    DistillationPlan,
    DriftPlan,
    ProofPlan,
    RelevancePlan,
    Source,
    StudentPlan,
    TeacherPlan,
    TrainingPlan,
)
from farthing.forge.quantise.schemes import QuantisationPlan

FOLDER = Path(__file__).parent / "recipes"


class RecipeInvalid(StartupError):
    """A recipe file does not exist or does not say what a recipe must say."""


class DataFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user's files, relative to the data folder or absolute, and the columns to read.

    CSV, TSV, JSON lines or Parquet, told by the name's ending, text files also as .gz. Without
    `valid` a share `valid_share` of the training rows is held out, drawn by the texts' digests.
    `train`, `valid` and `label` are empty for an embedder. `rows` limits the test rows and
    `train_rows_max` those to train on; 0 is all. `unlabelled` adds texts that have no label, and
    `out_of_scope` names the label for what belongs to none: its recall is told apart.
    """

    name: str
    test: str
    text: str
    label: str = ""
    train: str = ""
    valid: str = ""
    valid_share: float = 0.1
    rows: int = 0
    train_rows_max: int = 200_000
    unlabelled: str = ""
    out_of_scope: str = ""
    licence: str = ""
    source: str = ""


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One bundle. An embedder may be quantised as it is: then it has no teacher and no students.

    A contest also enters the linear models, which no recipe needs to name.
    """

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]{0,62}$")]
    task: Literal["classify", "embed"]
    pooling: Literal["mean", "cls", "none"]
    normalize: bool
    max_tokens: Annotated[int, msgspec.Meta(ge=3)]
    licence: str
    licence_file: str
    origin: str
    notice: str
    data: DataFiles
    source: Source
    limits: str = ""
    teacher: TeacherPlan | None = None
    students: tuple[StudentPlan, ...] = ()
    distillation: DistillationPlan = DistillationPlan()
    relevance: RelevancePlan | None = None
    training: TrainingPlan = TrainingPlan()
    quantisation: QuantisationPlan = QuantisationPlan(scheme="per-token", bits=7)
    drift: DriftPlan = DriftPlan()
    contest: ContestPlan = ContestPlan()
    proof: ProofPlan = ProofPlan()

    def __post_init__(self) -> None:
        if self.students and self.teacher is None:
            raise ValueError("[[students]] learn from a teacher: add the table [teacher]")
        if self.task == "classify" and not (self.data.train and self.data.label):
            raise ValueError("a classifier needs `train` and `label` in [data]")
        if self.relevance and (self.students or self.task != "embed"):
            raise ValueError("[relevance] is for an embedder without [[students]]")
        names = [student.name for student in self.students]
        if len(set(names)) != len(names):
            raise ValueError(f"students need names of their own, these are {names}")

    def student(self, name: str = "") -> StudentPlan:
        """The student called `name`; the first, if no name is given.

        :raises RecipeInvalid: if there is none.
        """
        for student in self.students:
            if name in ("", student.name):
                return student
        known = ", ".join(student.name for student in self.students) or "none"
        raise RecipeInvalid(
            f"The recipe {self.name} has the students {known}; asked for was "
            f"{name or 'one'}. Name one of these, or add a table [[students]]."
        )

    def licence_text(self) -> str:
        """The full text of the licence."""
        return (FOLDER / self.licence_file).read_text(encoding="utf-8")

    @property
    def is_trained(self) -> bool:
        """Whether weights are learnt here, and not only taken from the source."""
        return bool(self.students or self.relevance)

    def weights_key(self, student: StudentPlan | None, data_key: str) -> str:
        """12 hex digits over everything that decides a model's float32 weights.

        The quantisation is left out, but for training that foresees it: trying another scheme must
        not train again.

        :param student: whose weights; None for the source's own, only trimmed.
        :param data_key: stands for the rows that were learnt from.
        """
        base = (self.max_tokens, self.source)
        foreseen = (self.quantisation,) if self.quantisation.qat_epochs else ()
        if self.relevance:
            return key_of(base, (data_key, self.relevance, self.training))
        learnt = (data_key, self.teacher, student, self.distillation, self.training, *foreseen)
        return key_of(base, learnt if student else ())

    def digest(self) -> str:
        """sha256 over the whole recipe as data: comments and layout do not count."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


def key_of(*parts: object) -> str:
    """12 hex digits over plain values and structs: names of things in the cache."""
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
