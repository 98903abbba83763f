"""`farthing index` as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FARTHING = Path(sys.executable).with_name("farthing")
HEADER = "sku,title,brand,price\n"
SHOP = f"{HEADER}1,red running shoe,Bolt,59.90\n2,blue hat,Cap & Co,15\n3,,Bolt,1\n4,green shoe,,\n"


def index(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING")}
    return subprocess.run(
        [FARTHING, "index", *arguments],
        cwd=ROOT,
        env={**clean, "COLUMNS": "140", **environ},
        capture_output=True,
        text=True,
        timeout=300,
    )


def build(file: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    columns = ["--id", "sku", "--text", "title:2", "--filter", "brand", "--filter", "price:number"]
    return index("build", file, *columns, "--out", out, *more)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shop") / "shop.csv"
    file.write_text(SHOP)
    return file


@pytest.fixture
def built(shop: Path, tmp_path: Path) -> Path:
    done = build(shop, tmp_path / "shop", "--json")
    assert done.returncode == 0, done.stderr
    return tmp_path / "shop"


@pytest.mark.parametrize(
    "command", [[], ["build"], ["add"], ["delete"], ["compact"], ["info"], ["verify"], ["copy"]]
)
def test_every_command_teaches(command: list[str]) -> None:
    shown = index(*command, "--help")
    assert shown.returncode == 0
    assert "Try:" in shown.stdout or "Start with:" in shown.stdout


def test_a_build_says_what_it_made_and_how_to_search_it(shop: Path, tmp_path: Path) -> None:
    done = build(shop, tmp_path / "shop", "--name", "shoes")
    assert done.returncode == 0, done.stderr
    for expected in ("shoes, version 1", "1 rows without any text", "farthing search query"):
        assert expected in done.stdout
    shown = index("info", tmp_path / "shop")
    for expected in ("title:2", "brand:keyword, price:number", "all-minilm-l6-v2", "by defaults"):
        assert expected in shown.stdout


def test_an_index_is_built_changed_compacted_and_copied(built: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text(f"{HEADER}2,blue straw hat,,12\n5,lamp,Lux,40\n")
    added = json.loads(index("add", built, more, "--json").stdout)
    assert (added["added"], added["replaced"], added["documents"]) == (1, 1, 4)
    (tmp_path / "ids").write_text("5\n\nnobody\n")
    deleted = json.loads(index("delete", built, "1", "--ids", tmp_path / "ids", "--json").stdout)
    assert (deleted["deleted"], deleted["unknown"], deleted["documents"]) == (2, 1, 2)
    compacted = json.loads(index("compact", built, "--all", "--json").stdout)
    assert (compacted["segments"], compacted["documents"], compacted["version"]) == (1, 2, 4)
    copied = json.loads(index("copy", built, tmp_path / "copy", "--json").stdout)
    assert (copied["documents"], copied["version"]) == (2, 1)
    facts = json.loads(index("info", tmp_path / "copy", "--json").stdout)
    assert facts["documents"] == 2
    assert facts["fields"] == [{"name": "title", "boost": 2.0}]
    assert index("verify", tmp_path / "copy").returncode == 0
    again = index("copy", built, tmp_path / "copy")
    assert again.returncode == 1
    assert "--overwrite" in again.stderr
    replaced = index("copy", built, tmp_path / "copy", "--overwrite", "--json")
    assert json.loads(replaced.stdout)["version"] == 2


def test_a_damaged_file_is_named(built: Path) -> None:
    (segment,) = (built / "segments").iterdir()
    content = bytearray((segment / "vectors.npy").read_bytes())
    content[-1] ^= 1
    (segment / "vectors.npy").write_bytes(content)
    done = index("verify", built)
    assert done.returncode == 1
    assert done.stderr.startswith("farthing: 1 of ")
    assert "vectors.npy has sha256" in done.stderr


def test_a_build_learns_to_rank_and_shows_by_what_figures_it_chose(tmp_path: Path) -> None:
    colours = ["red", "blue", "green", "black", "white", "pink"]
    things = ["shoe", "hat", "lamp", "drill", "sofa"]
    titles = [f"{colour} {thing}" for colour in colours for thing in things]
    rows = "".join(f"{number},{title},,\n" for number, title in enumerate(titles))
    (tmp_path / "shop.csv").write_text(HEADER + rows)
    queries = "".join(f"q-{number}\t{title}\n" for number, title in enumerate(titles))
    (tmp_path / "queries.tsv").write_text(f"query_id\tquery\n{queries}")
    qrels = "".join(f"q-{number}\t{number}\t1\n" for number in range(len(titles)))
    (tmp_path / "qrels.tsv").write_text(f"query_id\tdoc_id\tgrade\n{qrels}")
    learning = [
        "--train-queries",
        tmp_path / "queries.tsv",
        "--train-qrels",
        tmp_path / "qrels.tsv",
    ]
    done = build(tmp_path / "shop.csv", tmp_path / "shop", *map(str, learning))
    assert done.returncode == 0, done.stderr
    assert "bm25" in done.stdout
    facts = json.loads(index("info", tmp_path / "shop", "--json").stdout)
    assert facts["version"] == 2
    assert facts["ranking"]["report"]["queries"] == len(titles)
    assert index("verify", tmp_path / "shop").returncode == 0


@pytest.mark.parametrize(
    ("rows", "options", "told"),
    [
        ("1,shoe,,\n1,hat,,\n", [], "row 3 the id of row 2 again"),
        ("1,shoe,,cheap\n", [], "row 2: A document has in 'price' what is no number"),
        ("1,shoe,,\n", ["--text", "name"], "asked for its column 'name'"),
        ("1,shoe,,\n", ["--embedder", "bert"], "asked for bert"),
        ("1,shoe,,\n", ["--language", "klingon"], "none"),
        ("1,shoe,,\n", ["--text", "brand:0"], "boost that is not above 0"),
        ("1,shoe,,\n", ["--train-queries", "README.md"], "--train-qrels"),
        ("", [], "has none"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_sentence(
    tmp_path: Path, rows: str, options: list[str], told: str
) -> None:
    file = tmp_path / "shop.csv"
    file.write_text(HEADER + rows if rows else "")
    done = build(file, tmp_path / "shop", *options)
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stderr.startswith("farthing: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "shop" / "manifest.json").exists()


def test_wrong_usage_exits_with_2(shop: Path, tmp_path: Path) -> None:
    assert index("build", shop, "--out", tmp_path / "shop").returncode == 2
    missing = index("build", "nowhere.csv", "--id", "a", "--text", "b", "--out", tmp_path / "shop")
    assert missing.returncode == 2


def test_what_there_is_nothing_to_do_to_is_told(built: Path, tmp_path: Path) -> None:
    for command in ("info", "verify", "compact"):
        done = index(command, tmp_path / "nowhere")
        assert done.returncode == 1
        assert done.stderr.startswith("farthing: ")
        assert "nowhere" in done.stderr
    nothing = index("delete", built)
    assert nothing.returncode == 1
    assert "No id was named" in nothing.stderr
    other = tmp_path / "models"
    other.mkdir()
    stranger = index("delete", built, "1", "--models", other)
    assert stranger.returncode == 1
    assert "was built with all-minilm-l6-v2" in stranger.stderr
