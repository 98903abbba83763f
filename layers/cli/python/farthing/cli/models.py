"""`farthing models`: the bundles there are, and the cascades made of them."""

from __future__ import annotations

import json
import sys
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from farthing.cli.options import AsJson, Models, local_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farthing.inference.bundle import Bundle
    from farthing.inference.cascade.manifest import FoundCascade

DIGEST_CHARS = 8


def models(models: Models = None, as_json: AsJson = False) -> None:
    """List the bundles: task, encoder, size, accuracy, digest, licence; their files are checked.

    A cascade is as large as its stages, and is refused where they are not those it was made of.
    """
    from rich.console import Console

    from farthing.cli.tables import names, numbers, table_of, texts
    from farthing.inference.bundle import Bundle, find_bundles
    from farthing.inference.cascade.manifest import check_cascade, find_cascades

    root = local_settings(models=models).models
    bundles = {found.name: Bundle.open(path) for path, found in find_bundles(root)}
    cascades = list(find_cascades(root))
    for cascade in cascades:
        check_cascade(cascade, {name: bundle.path for name, bundle in bundles.items()})
    rows = sorted(_rows(bundles, cascades), key=itemgetter("name"))
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    kinds, sizes = names("model", "task", "encoder"), numbers("MB")
    table = table_of(*kinds, *sizes, *names("measured", "digest"), *texts("licence"))
    for row in rows:
        table.add_row(*_cells(row))
    Console(highlight=False).print(table)


def _rows(bundles: Mapping[str, Bundle], cascades: Sequence[FoundCascade]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "task": bundle.manifest.task,
            "encoder": bundle.manifest.encoder,
            "bytes": bundle.size_bytes,
            "digest": bundle.digest,
            "accuracy": bundle.manifest.accuracy,
            "quantisation": bundle.manifest.quantisation,
            "licence": bundle.manifest.licence,
            "origin": bundle.manifest.origin,
        }
        for name, bundle in bundles.items()
    ]
    for digest, cascade in cascades:
        stages = {stage.bundle: stage.sure_from for stage in cascade.stages}
        rows.append(
            {
                "name": cascade.name,
                "task": cascade.task,
                "encoder": "cascade",
                "bytes": sum(bundles[name].size_bytes for name in stages),
                "digest": digest,
                "accuracy": cascade.accuracy,
                "stages": stages,
                "licence": cascade.licence,
                "origin": cascade.origin,
            }
        )
    return rows


def _cells(row: Mapping[str, Any]) -> list[str]:
    measured = row["accuracy"]
    figure, metric = measured.get("value", measured.get("mean")), measured.get("metric", "")
    return [
        row["name"],
        row["task"],
        row["encoder"],
        f"{row['bytes'] / 1e6:.1f}",
        "\n".join((f"{figure:.4f}", *metric.split(" ", 1))) if figure is not None else "-",
        row["digest"][:DIGEST_CHARS],
        row["licence"],
    ]
