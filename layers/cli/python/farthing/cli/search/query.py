"""`farthing search query`: one search, its hits, and what each stage took and would cost."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.options import (
    AsJson,
    MemoryMb,
    Models,
    Platform,
    PricedAs,
    VcpuMilli,
    local_settings,
)

if TYPE_CHECKING:
    from farthing.serving.service import Service

TOP_K_MAX = 100


class Mode(StrEnum):
    DEFAULT = "default"
    BM25 = "bm25"


def query(
    index: Annotated[str, typer.Argument(help="Folder, address or name of the index.")],
    text: Annotated[str, typer.Argument(help="What to search for.")],
    top_k: Annotated[int, typer.Option(min=1, max=TOP_K_MAX, help="Hits to show.")] = 10,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="Only documents with brand=bosch or price<100; repeatable. "
            r"\[default: all documents]",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="default ranks as the index learned to; bm25 by words alone.")
    ] = Mode.DEFAULT,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show each stage's scores, time and price.")
    ] = False,
    platform: Platform = PricedAs.LAMBDA,
    models: Models = None,
    memory_mb: MemoryMb = None,
    vcpu_milli: VcpuMilli = None,
    as_json: AsJson = False,
) -> None:
    """Search once, and show the hits and what the search would cost.

    The price is that of a warm call on [b]--platform[/b]. Words are only words: AND, quotes and
    colons search for themselves.

    Try: [b]farthing search query DIR "red shoes" --filter 'price<60' --explain[/b]
    """
    from farthing.cli.search import show
    from farthing.cli.search.conditions import filter_of
    from farthing.serving.service import Service

    settings = local_settings(
        platform=platform.value,
        models=models,
        index=(index,),
        index_poll_s=0,
        memory_mb=memory_mb,
        vcpu_milli=vcpu_milli,
    )
    service = Service(["search"], settings)
    service.warm_up()
    request: dict[str, Any] = {"query": text, "top_k": top_k, "mode": mode.value}
    if conditions:
        request["filter"] = filter_of(conditions, _number_fields(service))
    answer = _ask(service, request | {"explain": explain})
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
    else:
        show.answer(answer, explain=explain)
    if "results" not in answer:
        raise typer.Exit(1)


def _ask(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """The answer's body, or the problem's where the search is refused."""
    envelope = service.platform.envelope({})
    body: Any = service.pipeline.invoke(service.contracts[0], request, envelope).body
    return dict(body)


def _number_fields(service: Service) -> frozenset[str]:
    kinds: Any = service.pipeline.models[0].describe()["filters"]
    return frozenset(name for name, kind in kinds.items() if kind == "number")
