"""A query's time and cost from 100,000 documents to a million, and what building so many holds."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from farthing.billing.prices import read_price_book
from farthing.billing.quantities import MB_PER_GB
from farthing.money import multiply, ratio
from tests.bench.cold import script
from tests.bench.judged import CATALOGUE, collection, embed_bundle, index_of, out_folder, watched
from tests.bench.results import Result, at_most, compared
from tests.bench.search_turns import TURNS, medians
from tests.bench.surroundings import LAMBDA, PYTHON, bundles, console, skip, told_by

SIZES = (100_000, 200_000, 500_000, 1_000_000)
GROWTH_MAX = 3
BUILD_RSS_MB_MAX = 600
PLOT = "search-growth.png"
MEMORY_MB = int(LAMBDA["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])


class Size(NamedTuple):
    documents: int
    told: dict[str, Any]
    build_mb: float

    @property
    def usd_per_million(self) -> float:
        """What Lambda bills for a million such searches: each a request, and its milliseconds."""
        book = read_price_book()
        region = LAMBDA["AWS_REGION"]
        gb_s = ratio(round(self.told["p50_ms"] * 1000) * MEMORY_MB, MB_PER_GB)
        duration = multiply(gb_s, book.price("lambda.duration.x86_64", region).rate)
        return float(duration) + float(book.price("lambda.requests", region).rate) * 1e6


def run(rounds: int) -> list[Result]:
    """Medians of turns, in processes of their own; a plot beside them."""
    catalogue = collection(CATALOGUE, trained=True)
    if catalogue is None or not bundles("embed"):
        skip("search_growth", f"FARTHING_DATA holds no {CATALOGUE}, or there is no embedder")
        return []
    source, _ = index_of(catalogue)
    asked = [query.text for query in catalogue.test_queries()]
    with tempfile.TemporaryDirectory(dir=out_folder(), prefix="growing-") as scratch:
        folder = Path(scratch)
        queries = folder / "queries.json"
        queries.write_bytes(msgspec.json.encode(asked))
        built_mb = {documents: _grow(source, folder, documents) for documents in SIZES}
        told: dict[int, list[dict[str, Any]]] = {documents: [] for documents in SIZES}
        for _ in range(TURNS):
            for documents, turns in told.items():
                index = str(folder / str(documents))
                search = script(PYTHON, "search_process", index, str(embed_bundle()), str(queries))
                turns.append(told_by(search))
    sizes = [Size(number, medians(turns), built_mb[number]) for number, turns in told.items()]
    _plot(sizes, out_folder() / PLOT)
    return _results(sizes)


def _grow(source: Path, folder: Path, documents: int) -> float:
    """Grows the one set of segments, and keeps this size as an index of its own over them.

    The largest resident set of building it, in MB.
    """
    console.print(f"Growing to {documents:,} documents …")
    grown, kept = folder / "grown", folder / str(documents)
    grown.mkdir(exist_ok=True)
    command = script(PYTHON, "search_growth_build", str(source), str(grown), str(documents))
    built = watched(command)
    kept.mkdir()
    shutil.copy(grown / "manifest.json", kept)
    for part in ("segments", "ranking"):
        (kept / part).symlink_to((grown / part).resolve())
    return built.peak_mb


def _results(sizes: list[Size]) -> list[Result]:
    least, most = sizes[0], sizes[-1]
    target = f"< {GROWTH_MAX} × peer"
    results = [
        Result(f"p50 of a search in {size.documents:,} documents", size.told["p50_ms"], unit="ms")
        for size in sizes
    ]
    for name, ours, theirs, unit in (
        ("p50", most.told["p50_ms"], least.told["p50_ms"], "ms"),
        ("p99", most.told["p99_ms"], least.told["p99_ms"], "ms"),
        ("USD a million searches", most.usd_per_million, least.usd_per_million, "USD"),
        ("memory of a process that searches", most.told["rss_mb"], least.told["rss_mb"], "MB"),
    ):
        wanted = name in {"p50", "USD a million searches"}
        results.append(
            compared(
                f"{name}: {most.documents:,} against {least.documents:,}",
                ours,
                theirs,
                unit,
                target if wanted else "",
                ours < GROWTH_MAX * theirs if wanted else None,
            )
        )
    largest_mb = max(size.build_mb for size in sizes)
    results.append(
        at_most("largest memory of building, without embedding", largest_mb, BUILD_RSS_MB_MAX, "MB")
    )
    return results


def _plot(sizes: list[Size], file: Path) -> None:
    """Time by stage and cost over documents."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), layout="constrained")
    times, costs = figure.subplots(2, sharex=True)
    documents = [size.documents for size in sizes]
    stages = list(sizes[-1].told["stages_ms"])
    stacks = [[size.told["stages_ms"].get(stage, 0) for size in sizes] for stage in stages]
    times.stackplot(documents, stacks, labels=stages, alpha=0.85)
    times.plot(documents, [size.told["p50_ms"] for size in sizes], "ko-", label="p50, whole")
    times.plot(documents, [size.told["p99_ms"] for size in sizes], "k^:", label="p99, whole")
    times.set_ylabel("ms a warm search, one thread")
    times.legend(fontsize=8, frameon=False, ncols=3)
    usd = [size.usd_per_million for size in sizes]
    costs.plot(documents, usd, "o-", color="#0072B2", label="a million searches")
    limit = [usd[0] * GROWTH_MAX] * len(sizes)
    costs.plot(documents, limit, ":", color="#D55E00", label=f"{GROWTH_MAX} × the first")
    costs.set_ylim(bottom=0)
    costs.set_ylabel(f"USD on Lambda at {MEMORY_MB:,} MB")
    costs.set_xlabel("documents")
    costs.set_xscale("log")
    costs.set_xticks(documents, [f"{number:,}" for number in documents])
    costs.minorticks_off()
    costs.legend(fontsize=8, frameon=False)
    figure.savefig(file, dpi=150)
    console.print(f"Drawn: {file}")
