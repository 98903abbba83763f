"""`farthing search`, as it is typed, on a small index of real parts."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("pyarrow")

from farthing.cli.main import main
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Embedder
from farthing.search.documents import embedded_text, make_document
from farthing.search.manifest import (
    FORMAT,
    Analysis,
    EmbedderFacts,
    Field,
    Filter,
    IndexManifest,
)
from farthing.search.publishing import publish
from farthing.search.segments import Segment
from farthing.search.statistics import field_terms, with_segments
from farthing.search.workplace import segment_writer
from farthing.storage import open_storage

ROOT = Path(__file__).parents[2]
FARTHING = Path(sys.executable).with_name("farthing")
PRODUCTS = (
    ("washer", "bosch serie 4 washing machine 8kg white", "bosch", "399"),
    ("oven", "neff slide and hide single oven", "neff", "649.5"),
    ("phone", "apple iphone 8 plus 64gb silver", "apple", "299"),
    ("fridge", "bosch freestanding fridge freezer stainless steel", "bosch", "579"),
    ("camera", "canon eos 2000d dslr camera with lens", "canon", "329"),
    ("operators", 'title: AND OR NOT in "quotes" * (brackets)', "none", "1"),
    ("shoes", "nike running shoes for men, red", "nike", ""),
)
QUERIES = "query_id\tquery\tsplit\n" + "".join(
    f"{'prq' if number % 2 else 'faq'}-{number}\t{query}\t{split}\n"
    for number, (query, split) in enumerate(
        [
            ("bosch washing machine", "train"),
            ("iphone 8 64gb", "test"),
            ("something to cook in", "test"),
            ("canon camera", "test"),
            ("sneakers", "train"),
            ("a query that nobody judged", "test"),
        ]
    )
)
QRELS = """\
faq-0 0 washer 2
faq-0 0 fridge 1
prq-1 0 phone 1
faq-2 0 oven 1
prq-3 0 camera 1
faq-4 0 shoes 1
"""


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


def farthing(*arguments: str | Path) -> Done:
    """The command in this very process, whose embedder need not be imported each time."""
    output, complaints = io.StringIO(), io.StringIO()
    command = ["farthing", "search", *map(str, arguments)]
    with (
        pytest.MonkeyPatch.context() as patched,
        redirect_stdout(output),
        redirect_stderr(complaints),
        pytest.raises(SystemExit) as ended,
    ):
        patched.setattr(sys, "argv", command)
        patched.setenv("COLUMNS", "160")
        for name in os.environ.keys() - {"FARTHING_MODELS"}:
            if name.startswith("FARTHING_"):
                patched.delenv(name)
        main()
    code = ended.value.code
    if isinstance(code, str):
        return Done(1, output.getvalue(), code)
    return Done(int(code or 0), output.getvalue(), complaints.getvalue())


def told(*arguments: str | Path) -> Any:
    done = farthing(*arguments, "--json")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


def refusal(*arguments: str | Path, code: int = 1) -> str:
    """What a command says that refuses: nothing on stdout, no traceback."""
    done = farthing(*arguments)
    assert done.code == code, done
    assert not done.stdout
    return " ".join(done.stderr.split())


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    bundle = Bundle.open(models_dir / "all-minilm-l6-v2")
    embedder = Embedder(bundle)
    manifest = IndexManifest(
        format=FORMAT,
        name="shop",
        version=1,
        created_at="",
        id_field="id",
        fields=(Field("title"),),
        filters=(Filter("brand"), Filter("price", "number")),
        stored=("id", "title", "brand", "price"),
        analysis=Analysis(),
        embedder=EmbedderFacts(embedder.name, bundle.digest, embedder.dims),
        documents=0,
        terms_mean=(0.0,),
        segments=(),
    )
    folder = tmp_path_factory.mktemp("index")
    with segment_writer(folder, manifest) as writer:
        for product in PRODUCTS:
            record = dict(zip(("id", "title", "brand", "price"), product, strict=True))
            document = make_document(record, manifest)
            writer.add(document, embedder.vectors([embedded_text(document)])[0])
        entry = writer.finish()
    terms = field_terms(Segment.open(folder, entry, manifest))
    publish(open_storage(str(folder)), lambda _: with_segments(manifest, [entry], terms))
    return folder


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("judged")
    (folder / "queries.tsv").write_text(QUERIES)
    (folder / "qrels.txt").write_text(QRELS)
    return folder / "queries.tsv", folder / "qrels.txt"


@pytest.mark.parametrize("command", [[], ["query"], ["eval"]])
def test_help_teaches_every_command(command: list[str]) -> None:
    done = farthing(*command, "--help")
    assert done.code == 0
    assert "Usage: farthing search" in done.stdout
    assert "farthing search" in done.stdout.partition("Usage:")[2].partition("\n")[2]


def test_the_installed_command_answers_and_refuses_by_its_exit_code(index: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(FARTHING), "search", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    answered = run("query", str(index), "iphone")
    assert (answered.returncode, answered.stderr) == (0, "")
    refused = run("query", "/nowhere/index", "iphone")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("farthing: ")
    assert "Traceback" not in refused.stderr


def test_the_best_hit_is_first_with_its_document_and_the_price_below(index: Path) -> None:
    done = farthing("query", index, "bosch washing machine")
    assert done.code == 0, done.stderr
    first = next(line for line in done.stdout.splitlines() if line.strip().startswith("1 "))
    assert "washer" in first
    assert "8kg white" in first
    for expected in ("shop, version 1", "ms billed", "USD; simulated"):
        assert expected in done.stdout


def test_an_index_may_be_named_by_its_address(index: Path, judged: tuple[Path, Path]) -> None:
    address = index.as_uri()
    assert told("query", address, "iphone")["results"][0]["id"] == "phone"
    queries, qrels = judged
    found = told("eval", "--index", address, "--queries", queries, "--qrels", qrels)
    assert found["index"]["name"] == "shop"


def test_explain_shows_each_stages_scores_time_and_price(index: Path) -> None:
    done = farthing("query", index, "bosch fridge", "--explain")
    assert done.code == 0, done.stderr
    for expected in ("bm25", "cosine", "request", "embed", "lexical", "rank", "fetch", "total"):
        assert expected in done.stdout


def test_the_prices_of_the_stages_add_up_to_the_charge(index: Path) -> None:
    charge = told("query", index, "bosch fridge", "--memory-mb", "512")["charge"]
    stages = {stage["stage"]: Decimal(stage["amount"]) for stage in charge["stages"]}
    assert sum(stages.values()) == Decimal(charge["total"])
    assert stages["request"] == Decimal("0.0000002")
    assert {"embed", "lexical", "rank", "fetch"} <= stages.keys()


def test_search_by_words_alone_embeds_nothing(index: Path) -> None:
    charge = told("query", index, "bosch fridge", "--mode", "bm25")["charge"]
    assert "embed" not in {stage["stage"] for stage in charge["stages"] if stage["busy_ms"]}


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        (["brand=bosch"], {"washer", "fridge"}),
        (["brand=bosch", "brand=neff"], {"washer", "fridge", "oven"}),
        (["price<329"], {"phone", "operators"}),
        (["price<=329", "price>1"], {"phone", "camera"}),
        (["price=299"], {"phone"}),
        (["brand=bosch", "price>=400"], {"fridge"}),
        (["brand=nobody"], set()),
    ],
)
def test_filters_narrow(conditions: list[str], ids: set[str], index: Path) -> None:
    flags = [part for condition in conditions for part in ("--filter", condition)]
    hits = told("query", index, "bosch neff apple canon and title iphone", *flags)["results"]
    assert {hit["id"] for hit in hits} == ids


@pytest.mark.parametrize("query", ["AND", 'title:"quotes" *', "NOT (brackets)", "IN title:bosch"])
def test_operators_are_words(query: str, index: Path) -> None:
    hits = told("query", index, query)["results"]
    assert "operators" in {hit["id"] for hit in hits}


def test_ten_thousand_words_are_a_query_like_any_other(index: Path) -> None:
    hits = told("query", index, "bosch washing machine " + "machine " * 10_000)["results"]
    assert hits[0]["id"] == "washer"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere/index", "x"], "/nowhere/index"),
        (["{index}", " "], "blank"),
        (["{index}", "x", "--filter", "colour=red"], "cannot be filtered by"),
        (["{index}", "x", "--filter", "brand<3"], "brand"),
        (["{index}", "x", "--filter", "price=cheap"], "no number"),
        (["{index}", "x", "--filter", "cheap"], "Write brand=bosch"),
        (["{index}", "x", "--filter", "price=1", "--filter", "price<3"], "Ask for one of them"),
        (["{index}", "x", "--models", "{empty}"], "bundle"),
        (["gopher://index", "x"], "gopher"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    arguments: list[str], said: str, index: Path, tmp_path: Path
) -> None:
    filled = [part.format(index=index, empty=tmp_path) for part in arguments]
    assert said in refusal("query", *filled)


@pytest.mark.parametrize(
    "flags", [["--top-k", "0"], ["--top-k", "101"], ["--mode", "magic"], ["--memory-mb", "1"]]
)
def test_wrong_usage_exits_2(flags: list[str], index: Path) -> None:
    assert "Invalid value" in refusal("query", index, "x", *flags, code=2)


def test_an_index_of_another_embedder_is_refused(index: Path, tmp_path: Path) -> None:
    raw = json.loads((index / "manifest.json").read_bytes())
    raw["embedder"]["digest"] = "0" * 64
    raw["embedder"]["name"] = "another-embedder"
    for name in ("segments", "ranking", "deletions"):
        if (index / name).exists():
            (tmp_path / name).symlink_to(index / name)
    (tmp_path / "manifest.json").write_text(json.dumps(raw))
    assert "another-embedder" in refusal("query", tmp_path, "x")
    queries = tmp_path / "q.tsv"
    queries.write_text("id\tquery\n1\tx\n")
    qrels = tmp_path / "qrels"
    qrels.write_text("1 0 washer 1\n")
    said = refusal("eval", "--index", tmp_path, "--queries", queries, "--qrels", qrels)
    assert "another-embedder" in said


def test_eval_scores_every_row_and_tells_machines_what_it_promised(
    index: Path, judged: tuple[Path, Path]
) -> None:
    queries, qrels = judged
    found = told("eval", "--index", index, "--queries", queries, "--qrels", qrels)
    assert found["bm25"].keys() == found["default"].keys() == {"all", "faq", "prq"}
    assert found["default"]["all"].keys() == {"ndcg@10", "mrr", "recall@100", "queries"}
    assert [found["default"][group]["queries"] for group in ("all", "faq", "prq")] == [5, 3, 2]
    assert found["unjudged"] == 1
    assert found["default"]["prq"]["ndcg@10"] == 1
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert {"embed", "lexical", "rank", "fetch"} <= found["stages_p50_ms"].keys()


def test_eval_of_a_split_draws_a_plot_and_writes_a_run(
    index: Path, judged: tuple[Path, Path], tmp_path: Path
) -> None:
    queries, qrels = judged
    files = ("--queries", queries, "--qrels", qrels, "--split", "test")
    more = ("--plot", tmp_path / "gains.png", "--run", tmp_path / "run.txt")
    done = farthing("eval", "--index", index, *files, *more)
    assert done.code == 0, done.stderr
    for expected in ("all (3)", "prq (2)", "bm25", "default", "nDCG@10", "p99", "left out"):
        assert expected in done.stdout
    assert (tmp_path / "gains.png").read_bytes().startswith(b"\x89PNG")
    run = [line.split() for line in (tmp_path / "run.txt").read_text().splitlines()]
    assert {line[0] for line in run} == {"prq-1", "faq-2", "prq-3"}
    assert ["prq-1", "Q0", "phone", "1"] in [line[:4] for line in run]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--split", "valid"], "test, train"),
        (["--plot", "gains.gif"], ".png or .svg"),
        (["--plot", "/nowhere/gains.png"], "folder does not exist"),
        (["--run", "/nowhere/run.txt"], "cannot be written"),
        (["--index", "/nowhere/index"], "/nowhere/index"),
    ],
)
def test_eval_refuses_before_it_works(
    flags: list[str], said: str, index: Path, judged: tuple[Path, Path]
) -> None:
    queries, qrels = judged
    given = ("--index", index, "--queries", queries, "--qrels", qrels)
    assert said in refusal("eval", *given, *flags)


def test_eval_of_judgements_for_other_queries_says_so(
    index: Path, judged: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "qrels.tsv"
    other.write_text("query_id\tdoc_id\tgrade\nx-1\twasher\t1\n")
    said = refusal("eval", "--index", index, "--queries", judged[0], "--qrels", other)
    assert "None of the queries has a relevant document" in said
