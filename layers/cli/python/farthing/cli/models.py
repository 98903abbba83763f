"""`farthing models`: the bundles there are."""

from __future__ import annotations

import json
import sys

from farthing.cli.options import AsJson, Models, local_settings

DIGEST_CHARS = 8


def models(models: Models = None, as_json: AsJson = False) -> None:
    """List the bundles: task, encoder, size, accuracy, digest, licence; their files are checked."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    from farthing.inference.bundle import Bundle, find_bundles

    root = local_settings(models=models).models
    bundles = [Bundle.open(path) for path, _ in find_bundles(root)]
    if as_json:
        rows = [
            {
                "name": bundle.manifest.name,
                "task": bundle.manifest.task,
                "encoder": bundle.manifest.encoder,
                "bytes": bundle.size_bytes,
                "digest": bundle.digest,
                "accuracy": bundle.manifest.accuracy,
                "quantisation": bundle.manifest.quantisation,
                "licence": bundle.manifest.licence,
                "origin": bundle.manifest.origin,
            }
            for bundle in bundles
        ]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    longest = max((len(bundle.manifest.name) for bundle in bundles), default=0)
    table = Table(
        Column("model", min_width=longest),
        *("task", "encoder", "MB", "measured", "digest", "licence"),
        box=SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),  # all of it within 80 columns
    )
    for bundle in bundles:
        manifest = bundle.manifest
        measured = manifest.accuracy
        figure = measured.get("value", measured.get("mean"))
        table.add_row(
            manifest.name,
            manifest.task,
            manifest.encoder,
            f"{bundle.size_bytes / 1e6:.1f}",
            f"{figure:.4f} {measured.get('metric', '')}" if figure is not None else "-",
            bundle.digest[:DIGEST_CHARS],
            manifest.licence,
        )
    Console(highlight=False).print(table)
