"""From stages and a recipe's rows to a published cascade with its receipt."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from farthing.errors import SettingsError
from farthing.forge import pack
from farthing.forge.cascade.proof import Line, lines_of, require_use, take_times
from farthing.forge.cascade.rows import judge, open_stages
from farthing.forge.cascade.table import card
from farthing.forge.cascade.thresholds import Aim, answered_by, choose
from farthing.forge.contest.machine import Machine, this_machine
from farthing.forge.evaluate.price import Pricing
from farthing.forge.evaluate.scores import rows_digest
from farthing.forge.storage import room_for
from farthing.inference.cascade.answering import Cascade
from farthing.inference.cascade.manifest import (
    CASCADE_FILE,
    FORMAT,
    CascadeManifest,
    FoundCascade,
    Stage,
    read_cascade,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.forge.cascade.rows import Judged
    from farthing.forge.data.labelled import LabelledSet
    from farthing.forge.data.splits import Splits
    from farthing.forge.recipe import Recipe
    from farthing.inference.tasks import TextModel

RECEIPT_FORMAT = 1
RECEIPT_FILE = "receipt.json"
RUNS = 1000
DIGITS = 6


class Made(msgspec.Struct, frozen=True):
    """A cascade and what was measured of it; `lines` has its stages and, last, itself.

    `share_valid` is of the validation texts, answered by the first stage.
    """

    format: int
    name: str
    digest: str
    recipe: str
    data: str
    rows: int
    manifest: CascadeManifest
    share_valid: float
    lines: tuple[Line, ...]
    platform: str
    memory_mb: int
    machine: Machine


def make(
    name: str,
    folders: Sequence[Path],
    recipe: Recipe,
    splits: Splits,
    out: Path,
    aim: Aim,
    runs: int = RUNS,
) -> Made:
    """The cascade `name` of the bundles in `folders`, cheapest first, written to `out`/name.

    The validation rows choose and decide; the test rows only tell. Its digest depends on rows and
    stages alone, not on how quick the machine was.

    :param runs: test texts at most whose time is taken.
    :raises CascadeInvalid: if stages or rows do not allow one.
    :raises CascadeUseless: if it is not worth having.
    """
    models = open_stages(folders)
    valid, test = judge(models, splits.valid, "validation"), judge(models, splits.test, "test")
    names = [model.name for model in models]
    thresholds = choose(valid.stages, valid.wanted, names, aim)
    try:
        manifest = msgspec.convert(
            {
                "format": FORMAT,
                "name": name,
                "task": "classify",
                "labels": models[0].labels,
                "stages": _stages(models, thresholds),
                "calibration": {
                    **_facts(names, valid, splits.valid, thresholds, f"{recipe.data.name} valid"),
                    **msgspec.to_builtins(aim),
                },
                "accuracy": _facts(
                    names, test, splits.test, thresholds, f"{recipe.data.name} test"
                ),
                "licence": " and ".join(dict.fromkeys(it.manifest.licence for it in models)),
                "origin": "; ".join(f"{it.name}: {it.manifest.origin}" for it in models),
            },
            CascadeManifest,
            from_attributes=True,
        )
    except msgspec.ValidationError as error:
        raise SettingsError(f"The cascade cannot be named or made so: {error}.") from None
    share_valid = float((answered_by(valid.stages, thresholds) == 0).mean())
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary)
        raw = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        (built / CASCADE_FILE).write_bytes(raw)
        found = read_cascade(built)
        plan = recipe.contest
        pricing = Pricing(platform=plan.platform, memory_mb=plan.memory_mb)
        times = take_times(_answers(found, models), splits.test.texts, runs)
        lines = lines_of([*names, name], test, thresholds, times, pricing)
        require_use(lines, share_valid, aim.share_min)
        made = Made(
            format=RECEIPT_FORMAT,
            name=name,
            digest=found.digest,
            recipe=recipe.name,
            data=recipe.data.name,
            rows=len(splits.test),
            manifest=manifest,
            share_valid=share_valid,
            lines=lines,
            platform=plan.platform,
            memory_mb=plan.memory_mb,
            machine=this_machine(),
        )
        (built / "README.md").write_text(card(made), encoding="utf-8")
        pack.publish(built, out / name)
    return made


def write_receipt(made: Made, folder: Path) -> Path:
    """The path of receipt.json, written into `folder`: the measurement, and the cascade itself."""
    file = folder / RECEIPT_FILE
    encoded = msgspec.json.encode(made, enc_hook=str)
    with room_for(file):
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    return file


def _stages(models: Sequence[TextModel], thresholds: Sequence[float]) -> list[Stage]:
    return [
        Stage(model.name, model.digest, threshold)
        for model, threshold in zip(models, [*thresholds, 0.0], strict=True)
    ]


def _facts(
    names: Sequence[str],
    judged: Judged,
    rows: LabelledSet,
    thresholds: Sequence[float],
    data: str,
) -> dict[str, Any]:
    """What the cascade, and its last stage alone, say of these rows."""
    at = answered_by(judged.stages, thresholds)
    rights = [stage.argmax(axis=1) == judged.wanted for stage in judged.stages]
    shares = {name: float((at == number).mean()) for number, name in enumerate(names)}
    return {
        "data": data,
        "rows": len(rows),
        "rows_digest": rows_digest(rows),
        "metric": "accuracy",
        "value": round(float(np.choose(at, rights).mean()), DIGITS),
        "last_stage": round(float(rights[-1].mean()), DIGITS),
        "shares": {name: round(share, DIGITS) for name, share in shares.items()},
    }


def _answers(
    found: FoundCascade, models: Sequence[TextModel]
) -> list[Callable[[Sequence[str]], object]]:
    """The stages, each alone, and the cascade, as they are called when they serve."""
    served: list[TextModel | Cascade] = [*models, Cascade(found, models)]

    def asked(model: Any) -> Callable[[Sequence[str]], object]:
        return lambda texts: model.compute(model.prepare(texts))

    return [asked(model) for model in served]
