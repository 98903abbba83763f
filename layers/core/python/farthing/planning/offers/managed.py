"""What others run: SageMaker Serverless by the GB-second, and models by the token."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.meter import line_of
from farthing.money import EXACT, total
from farthing.planning.case import gb_s_of_ms
from farthing.planning.errors import Unfit
from farthing.planning.offers.lambda_sizes import log_and_image
from farthing.planning.options import Option, millis_of
from farthing.planning.rates import GLOBAL
from farthing.settings import LAMBDA_MB_PER_VCPU

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.billing.meter import Line
    from farthing.planning.case import Case

SAGEMAKER_SIZES_MB = (1024, 2048, 3072, 4096, 5120, 6144)
# What one search hands to a re-ranker.
CANDIDATES = 100
GB_BYTES = 10**9
PINECONE_REGION = "us-east-1"
KEPT = ("pinecone.reads-per-query", "pinecone.writes-per-vector", "pinecone.bytes-per-vector")
BY_SEARCH = ("search", "query")


class Api(msgspec.Struct, frozen=True):
    """An embedding model and perhaps a re-ranker, each with the region of its row."""

    platform: str
    model: str
    embed: str
    embed_region: str | None
    rerank: str = ""
    rerank_region: str | None = GLOBAL


# A row that holds in one AWS region names the region asked for: None.
APIS = (
    Api("OpenAI", "text-embedding-3-small", "openai.embed3small", GLOBAL),
    Api("OpenAI", "text-embedding-3-large", "openai.embed3large", GLOBAL),
    Api("Cohere", "embed-v4.0", "cohere.embed4", GLOBAL),
    Api("Cohere", "embed-v5.0-fast", "cohere.embed5fast", GLOBAL),
    Api("Amazon Bedrock", "Titan Text Embeddings V2", "bedrock.titan2", None),
    Api("Amazon Bedrock", "Cohere Embed v3", "bedrock.cohere_embed3", None),
    Api("Voyage", "voyage-3.5-lite", "voyage.35lite", GLOBAL),
    Api("Cohere", "embed-v4.0, rerank-v3.5", "cohere.embed4", GLOBAL, "cohere.rerank35"),
    Api("Cohere", "embed-v4.0, rerank-v4.0-fast", "cohere.embed4", GLOBAL, "cohere.rerank4fast"),
    Api(
        "Cohere", "embed-v5.0-fast, rerank-v5.0-fast", "cohere.embed5fast", GLOBAL,
        "cohere.rerank5fast",
    ),
    Api(
        "Amazon Bedrock", "Titan V2, Cohere Rerank 3.5", "bedrock.titan2", None,
        "bedrock.cohere_rerank35", None,
    ),
    Api("Voyage", "voyage-3.5-lite, rerank-2.5", "voyage.35lite", GLOBAL, "voyage.rerank25"),
)  # fmt: skip


def managed_offers(case: Case) -> Iterator[tuple[str, Callable[[], Option]]]:
    for memory_mb in SAGEMAKER_SIZES_MB:
        yield f"SageMaker Serverless, {memory_mb:,} MB", partial(_sagemaker, case, memory_mb)
    for api in APIS:
        yield f"{api.platform}, {api.model}", partial(_api, case, api)


def _sagemaker(case: Case, memory_mb: int) -> Option:
    work = case.work
    if memory_mb < work.needed_mb:
        raise Unfit(
            f"{memory_mb:,} MB are less than the work's {work.peak_mb:,} MB and a quarter more"
        )
    vcpu_milli = memory_mb * 1000 // LAMBDA_MB_PER_VCPU
    smaller_mb = memory_mb - SAGEMAKER_SIZES_MB[0]
    if smaller_mb >= max(work.needed_mb, work.threads * LAMBDA_MB_PER_VCPU):
        raise Unfit("its threads cannot use more CPU than a smaller size has")
    run = case.run(work.service_us(vcpu_milli), case.elastic("sagemaker", work.init_us(vcpu_milli)))
    gb_s = gb_s_of_ms(case.month(run.billed_ms), memory_mb)
    return Option(
        platform="SageMaker Serverless",
        profile="on demand",
        family="SageMaker",
        calls_month=case.traffic.calls_month,
        calls=tuple(case.rates.lines("sagemaker.serverless", gb_s)),
        standing=tuple(log_and_image(case)),
        memory_mb=memory_mb,
        vcpu_milli=vcpu_milli,
        arch="x86_64",
        millis=millis_of(run),
        cold_share=run.cold_share,
        assumptions=("calls.same-speed", "sagemaker.keep-alive", "sagemaker.start"),
        not_covered=(
            "data in and out, which it bills by the GB",
            "alarms, and what bills its callers",
        ),
    )


def _api(case: Case, api: Api) -> Option:
    work, calls = case.work, case.traffic.calls_month
    if api.rerank and work.task != "search":
        raise Unfit("the work has no search results to re-rank")
    tokens = case.traffic.tokens_per_call or work.tokens
    lines = [case.rates.line(api.embed, calls * tokens, api.embed_region)]
    not_covered = ["its latency over the network, and its limits on calls a minute"]
    if api.rerank:
        row = case.rates.row(api.rerank, api.rerank_region)
        each = 1 if row.unit in BY_SEARCH else CANDIDATES * (tokens + work.index_tokens)
        lines.append(case.rates.line(api.rerank, calls * each, api.rerank_region))
    once: list[Line] = []
    standing: list[Line] = []
    if work.index_texts:
        once.append(case.rates.line(api.embed, work.tokens_once, api.embed_region))
    if work.task == "search":
        reads, writes = _vector_store(case)
        standing += _store_minimum(case, reads)
        lines.append(reads)
        once.append(writes)
    if work.task == "classify":
        not_covered.append("the classifier: this is its text's vector alone")
    return Option(
        platform=api.platform,
        profile=f"{api.model}, Pinecone" if work.task == "search" else api.model,
        family="API per token",
        calls_month=calls,
        calls=tuple(lines),
        standing=tuple(standing),
        once=tuple(once),
        assumptions=("api.latency", *(KEPT if work.task == "search" else ())),
        not_covered=tuple(not_covered),
    )


def _vector_store(case: Case) -> tuple[Line, Line]:
    """What searches read and indexing writes in a vector store: an API keeps no vectors."""
    number = case.assumptions.number
    reads = case.traffic.calls_month * number("pinecone.reads-per-query")
    writes = case.work.index_texts * number("pinecone.writes-per-vector")
    return (
        case.rates.line("pinecone.read", reads, PINECONE_REGION),
        case.rates.line("pinecone.write", writes, PINECONE_REGION),
    )


def _store_minimum(case: Case, reads: Line) -> list[Line]:
    """Storage, and what the plan's monthly minimum is above storage and reads."""
    gb = EXACT.divide(
        case.work.index_texts * case.assumptions.number("pinecone.bytes-per-vector"),
        Decimal(GB_BYTES),
    )
    storage = case.rates.line("pinecone.storage", gb, PINECONE_REGION)
    least = case.rates.row("pinecone.minimum", GLOBAL).rate
    below = EXACT.subtract(least, total((reads.amount, storage.amount)))
    if below <= 0:
        return [storage]
    return [storage, line_of("pinecone.minimum", below, "USD up to it", Decimal(1))]
