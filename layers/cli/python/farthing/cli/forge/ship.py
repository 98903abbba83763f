"""`farthing forge pack`, `build` and `inspect`: bundles as they ship."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.forge.flags import (
    DEFAULT_CACHE,
    DEFAULT_MODELS,
    DEFAULT_RECEIPTS,
    Cache,
    ChoiceFlags,
    DataFlags,
    Floor,
    Receipts,
    RecipeName,
    StudentFlags,
    TeacherFlags,
    WriteRecipe,
    takes,
)
from farthing.cli.forge.recipes import recipe_of
from farthing.cli.forge.show import (
    DIGEST_CHARS,
    NEEDED,
    bundle_facts,
    columns_table,
    facts_table,
    write_json,
    write_tables,
)
from farthing.cli.options import AsJson, require_extra
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.forge.pack.inspection import Inspection, Tensor

Out = Annotated[Path, typer.Option(help="Folder of bundles.")]
SkipCpu = Annotated[
    list[str] | None,
    typer.Option(
        help="Processor to leave out of the proof, repeatable; the card says so.",
        show_default=False,
    ),
]


@takes
def pack(
    *,
    recipe: RecipeName = None,
    candidate: Annotated[
        str,
        typer.Option(
            help=r"Candidate to pack, as the contest's table names it. \[default: the winner]",
            show_default=False,
        ),
    ] = "",
    floor: Floor = "",
    out: Out = DEFAULT_MODELS,
    receipts: Receipts = DEFAULT_RECEIPTS,
    skip_cpu: SkipCpu = None,
    data: DataFlags,
    teacher: TeacherFlags,
    shape: StudentFlags,
    choice: ChoiceFlags,
    write_recipe: WriteRecipe = None,
    cache: Cache = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Hold the contest, prove its winner on other processors, and put the bundle in its place.

    A bundle has the model, a manifest with digests, LICENSE, NOTICE and a model card. An older
    bundle of that name is replaced as a whole or, if anything fails, left as it was.

    Try: [b]farthing forge pack mine.toml --out models --candidate '4-layer per-token'[/b]
    """
    require_extra("forge", NEEDED)
    wanted = recipe_of(recipe, data, teacher, shape, choice, write_to=write_recipe)
    from farthing.forge.build import build as build_bundle
    from farthing.forge.progress import bars

    with bars() as progress:
        folder = build_bundle(
            wanted, out, cache, progress, receipts, skip_cpu or (), floor, candidate
        )
    _say_packed([folder], as_json=as_json)


def build(
    recipes: Annotated[
        list[str] | None, typer.Argument(help="Names of shipped recipes, or .toml files.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Build every shipped recipe.")] = False,
    out: Out = DEFAULT_MODELS,
    receipts: Receipts = DEFAULT_RECEIPTS,
    skip_cpu: SkipCpu = None,
    cache: Cache = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Rebuild bundles from their recipes: contest, proof, pack. Finished steps are not repeated.

    Data sets are read from the folder in FARTHING_DATA.

    Try: [b]farthing forge build product-classifier --out models[/b]
    """
    require_extra("forge", NEEDED)
    from farthing.forge.build import build as build_bundle
    from farthing.forge.progress import bars
    from farthing.forge.recipe import find, shipped

    if bool(recipes) == every:
        raise SettingsError(
            f"forge build needs recipes or --all. Shipped recipes: {', '.join(shipped())}."
        )
    wanted = [find(name) for name in (shipped() if every else recipes or ())]
    with bars() as progress:
        built = [
            build_bundle(recipe, out, cache, progress, receipts, skip_cpu or ())
            for recipe in wanted
        ]
    _say_packed(built, as_json=as_json)


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.", metavar="BUNDLE")],
    as_json: AsJson = False,
) -> None:
    """Look into a bundle: manifest, digests checked, sizes, the graph, numbers learnt.

    Exit 1 if a file is missing or is not the one that the manifest describes.

    Try: [b]farthing forge inspect layers/models/product-classifier[/b]
    """
    require_extra("forge", ("onnx", "pyarrow", "tomli_w"))
    from farthing.forge.pack.inspection import inspect as look_into

    seen = look_into(bundle)
    if as_json:
        write_json(seen)
        return
    with_digest = seen.manifest["files"]
    write_tables(
        facts_table(str(bundle), _facts(seen)),
        columns_table(
            "Files",
            ("file", "bytes", "sha256"),
            [
                (name, size, with_digest[name]["sha256"][:DIGEST_CHARS])
                if name in with_digest
                else (name, size, "")
                for name, size in seen.files.items()
            ],
        ),
        columns_table("Operators", ("operator", "nodes"), seen.operators.items()),
    )


def _say_packed(folders: list[Path], *, as_json: bool) -> None:
    packed = [bundle_facts(folder) for folder in folders]
    if as_json:
        write_json(packed)
    else:
        write_tables(*(facts_table(f"Packed: {facts['name']}", facts) for facts in packed))


def _facts(seen: Inspection) -> dict[str, object]:
    """The manifest's own words, then what the graph says."""
    nested = ("files", "labels", "quantisation", "batch_drift", "accuracy")
    facts = {key: value for key, value in seen.manifest.items() if key not in nested}
    for key in ("quantisation", "batch_drift", "accuracy"):
        facts.update({f"{key} {name}": value for name, value in seen.manifest[key].items()})
    if seen.manifest["labels"]:
        facts["labels"] = len(seen.manifest["labels"])
    return {
        "digest": seen.digest,
        **facts,
        "inputs": ", ".join(map(_shape, seen.inputs)),
        "outputs": ", ".join(map(_shape, seen.outputs)),
        "opsets": ", ".join(f"{domain} {version}" for domain, version in seen.opsets.items()),
        "parameters": seen.parameters,
        "stored": ", ".join(f"{count:,} {kind}" for kind, count in seen.stored.items()),
        "vocabulary": seen.vocabulary,
        "card": "README.md" if seen.has_card else "none",
    }


def _shape(tensor: Tensor) -> str:
    return f"{tensor.name} {tensor.type} [{', '.join(map(str, tensor.shape))}]"
