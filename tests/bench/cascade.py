"""Cascades beside their stages: accuracy, who answers, latency, dollars.

On banking77 of the bundles that ship, on clinc150 of a linear model and a student out of the
forge's cache; and once with the student's teacher as a third stage, which is too large to ship:
what it says is in the cache, and its time is taken here. It needs the extra `forge` and
FARTHING_DATA.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.bench.results import Result, at_least, compared
from tests.bench.surroundings import ROOT, console, data, skip

if TYPE_CHECKING:
    from farthing.forge.cascade.making import Made
    from farthing.forge.workshop import Workshop

CACHE = ROOT / ".cache" / "forge"
MODELS = ROOT / "layers" / "models"
BANKING = "retail-banking-intents"
CLINC = str(ROOT / "tests" / "bench" / "recipes" / "clinc150.toml")
WORDS = "retail-banking-words"
LOSS_MAX, SHARE_MIN = 0.002, 0.6
RUNS_PER_ROUND = 100
TEACHER_TEXTS = 40
# The teacher needs 955 MB by the receipt of the student's contest, beside which others are small.
TEACHER_MB = 1024


def run(rounds: int) -> list[Result]:
    """Accuracy and share against what they must reach; time and dollars against the last stage."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "onnx", "sklearn")):
        skip("cascade", "the training stack is not installed: pip install 'farthing[forge]'")
        return []
    if data("banking77/test.tsv.gz") is None or data("clinc150/test.tsv.gz") is None:
        skip("cascade", "FARTHING_DATA does not name the folder of the data sets")
        return []
    from farthing.forge.progress import bars
    from farthing.forge.recipe import find
    from farthing.forge.workshop import Workshop

    results: list[Result] = []
    with bars() as progress, tempfile.TemporaryDirectory() as temporary:
        banking = Workshop(find(BANKING), CACHE, progress)
        stages = [MODELS / WORDS, MODELS / BANKING]
        results += _measured(banking, stages, Path(temporary), rounds)
        clinc = Workshop(find(CLINC), CACHE, progress)
        if clinc.is_trained():
            stages = [_words(clinc, Path(temporary)), clinc.bundle()]
            results += _measured(clinc, stages, Path(temporary), rounds)
        else:
            skip("cascade on clinc150", f"no student in {CACHE}; run `farthing forge distil` once")
        if banking.is_trained():
            results += _with_teacher(banking)
        else:
            skip("cascade with its teacher", f"no teacher's word in {CACHE}")
    return results


def _words(workshop: Workshop, out: Path) -> Path:
    """The recipe's linear model under a name of its own."""
    import shutil

    from farthing.forge import pack
    from farthing.forge.pack.writing import description_of

    folder = out / f"{workshop.recipe.name}-words"
    shutil.copytree(workshop.linear("char_wb"), folder)
    pack.write_manifest(folder, replace(description_of(folder), name=folder.name))
    return folder


def _measured(workshop: Workshop, stages: list[Path], out: Path, rounds: int) -> list[Result]:
    from farthing.forge.cascade.making import make
    from farthing.forge.cascade.table import HEADS, TERMINAL, cells
    from farthing.forge.cascade.thresholds import Aim

    name, recipe = f"{workshop.recipe.data.name}-cascade", workshop.recipe
    aim = Aim(loss_max=LOSS_MAX, share_min=SHARE_MIN)
    runs = rounds * RUNS_PER_ROUND
    made = make(name, stages, recipe, workshop.splits, out / "made", aim, runs=runs)
    for row in (HEADS, *cells(made)):
        console.print("  ".join(f"{row[at]:>10}" for at in TERMINAL))
    return list(_results(made))


def _results(made: Made) -> list[Result]:
    first, *_, last, whole = made.lines
    dollars = "$ a million calls"
    return [
        at_least(
            f"{made.data}: accuracy of the cascade, {last.name} {last.accuracy:.4f}",
            whole.accuracy,
            last.accuracy - LOSS_MAX,
            "of 1",
        ),
        at_least(f"{made.data}: answered by {first.name}", first.share, SHARE_MIN, "of 1"),
        compared(f"{made.data}: p50 against {last.name}", whole.p50_ms, last.p50_ms, "ms"),
        compared(f"{made.data}: p99", whole.p99_ms, last.p99_ms, "ms"),
        *(
            compared(
                f"{made.data}: {arch}",
                float(whole.bills[arch].usd_per_million),
                float(last.bills[arch].usd_per_million),
                dollars,
            )
            for arch in ("arm64", "x86_64")
        ),
    ]


def _with_teacher(workshop: Workshop) -> list[Result]:
    """Linear, student, teacher: the teacher's time is that of its float32 self in PyTorch."""
    import torch

    from farthing.forge.cascade.rows import judge, open_stages
    from farthing.forge.cascade.thresholds import Aim, answered_by, choose
    from farthing.forge.evaluate.price import Pricing, price_calls
    from farthing.inference.heads import softmax

    torch.set_num_threads(1)
    teaching, splits = workshop.teaching(), workshop.splits
    models = open_stages([MODELS / WORDS, MODELS / BANKING])
    order = [teaching.labels.index(label) for label in models[0].labels]
    valid, test = judge(models, splits.valid, "validation"), judge(models, splits.test, "test")
    tables = {
        part: [*judged.stages, softmax(teaching.logits[part][:, order])]
        for part, judged in (("valid", valid), ("test", test))
    }
    names = [*(model.name for model in models), "teacher"]
    thresholds = choose(tables["valid"], valid.wanted, names, Aim(loss_max=LOSS_MAX))
    at = answered_by(tables["test"], thresholds)
    rights = [stage.argmax(axis=1) == test.wanted for stage in tables["test"]]
    whole, last = float(np.choose(at, rights).mean()), float(rights[-1].mean())
    shares = [float((at == number).mean()) for number in range(3)]

    texts = splits.test.texts[:TEACHER_TEXTS]
    answers = [*(lambda one, m=m: m.compute(m.prepare(one)) for m in models), teaching.answer]
    means_ns = []
    for answer in answers:
        answer(texts[:1])
        started_ns = time.perf_counter_ns()
        for text in texts:
            answer([text])
        means_ns.append((time.perf_counter_ns() - started_ns) // len(texts))
    taken_ns = [sum(means_ns[: stage + 1]) for stage in at.tolist()]
    pricing = Pricing(memory_mb=TEACHER_MB)
    ours = price_calls(taken_ns, pricing).warm.usd_per_million
    theirs = price_calls([means_ns[-1]], pricing).warm.usd_per_million
    told = ", ".join(f"{name} {share:.1%}" for name, share in zip(names, shares, strict=True))
    console.print(f"three stages, sure from {thresholds}: {told}")
    where = "banking77, three stages"
    return [
        at_least(f"{where}: accuracy, teacher {last:.4f}", whole, last - LOSS_MAX, "of 1"),
        Result(f"{where}: answered by {names[0]}", shares[0], unit="of 1"),
        compared(f"{where}: mean time", sum(taken_ns) / len(at) / 1e6, means_ns[-1] / 1e6, "ms"),
        compared(f"{where}: at {TEACHER_MB} MB", float(ours), float(theirs), "$ a million calls"),
    ]
