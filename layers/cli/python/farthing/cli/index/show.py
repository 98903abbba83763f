"""`farthing index info` and `verify`: what an index is, and whether it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.cli.index.options import Index, megabytes, write_facts, write_json
from farthing.cli.options import AsJson
from farthing.search.errors import IndexCorrupt

if TYPE_CHECKING:
    from rich.console import RenderableType

    from farthing.search.manifest import IndexManifest

DIGEST_CHARS = 12


def info(index: Index, as_json: AsJson = False) -> None:
    """Show an index: its version, documents, columns, segments, embedder and ranking.

    Try: [b]farthing index info shop[/b]
    """
    from farthing.cli.index.ranking import ranking_tables
    from farthing.search.publishing import read_manifest
    from farthing.storage import open_storage

    manifest = read_manifest(open_storage(index))
    if as_json:
        write_json(manifest)
        return
    texts = (f"{each.name}:{each.boost:g}" for each in manifest.fields)
    filters = (f"{each.name}:{each.kind}" for each in manifest.filters)
    facts: dict[str, object] = {
        "version": f"{manifest.version}, published {manifest.created_at}",
        "documents": manifest.documents,
        "size": megabytes(sum(entry.bytes for entry in manifest.segments)),
        "id": manifest.id_field,
        "searched": ", ".join(texts),
        "filtered by": ", ".join(filters) or "-",
        "hits show": ", ".join(manifest.stored),
        "language": manifest.analysis.language,
        "embedder": f"{manifest.embedder.name} {manifest.embedder.digest[:DIGEST_CHARS]}",
        "ranking": "learned" if manifest.ranking else "by defaults",
        "made of": manifest.origin or "-",
        "licence": manifest.licence or "-",
    }
    write_facts(f"The index {manifest.name}", facts, _segments(manifest), *ranking_tables(manifest))


def verify(index: Index, as_json: AsJson = False) -> None:
    """Read every file of an index, and compare it with the digest that the index states.

    Try: [b]farthing index verify shop[/b]
    """
    from farthing.cli.index.steps import steps
    from farthing.search.verification import verify as verify_index
    from farthing.storage import open_storage

    with steps() as progress:
        checked = verify_index(
            open_storage(index), lambda done, total: progress("Checking", done, total)
        )
    if as_json:
        write_json(checked)
    elif not checked.problems:
        write_facts("Every file is as the index states", {"files": checked.files})
    if checked.problems:
        raise IndexCorrupt(
            f"{len(checked.problems)} of {checked.files} files are not as the index states. "
            + " ".join(checked.problems)
        )


def _segments(manifest: IndexManifest) -> RenderableType:
    from farthing.cli.tables import numbers, table_of

    table = table_of("segment", *numbers("documents", "deleted", "MB"), "tier")
    for entry in manifest.segments:
        live, deleted = entry.rows - entry.deleted, entry.deleted
        table.add_row(entry.id, f"{live:,}", f"{deleted:,}", f"{entry.bytes / 1e6:.1f}", entry.tier)
    return table
