"""What pyproject.toml says of the functions, and what a wrong word in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from farthing.deployment.documents import Unreadable, parse_documents
from farthing.deployment.project import Project, ProjectError

ROOT = Path(__file__).parent.parent.parent


def test_the_shipped_project_is_read() -> None:
    project = Project.read(ROOT)
    assert {"classify", "embed"} <= project.on("knative").keys()
    assert project.function("classify").models == ("product-classifier",)
    assert project.function("search").indexes == ("shop-sample",)
    assert [project.function(it).serves for it in ("search", "indexer", "settle")] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("memory_mb = 1024", "memory_mb = 64", "memory_mb"),
        ("memory_mb = 1024", "memory = 1024", "memory"),
        ('"alibaba", ', '"azure", ', "clouds"),
        ("timeout_s = 30", "timeout_s = 901", "timeout_s"),
        ("[tool.farthing.functions.classify]", "[tool.farthing.functions.classify", "not TOML"),
    ],
)
def test_a_wrong_description_is_named(checkout: Path, was: str, becomes: str, says: str) -> None:
    file = checkout / "pyproject.toml"
    text = file.read_text()
    assert was in text
    file.write_text(text.replace(was, becomes))
    with pytest.raises(ProjectError, match=says):
        Project.read(checkout)


def test_a_folder_without_a_project_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="--project"):
        Project.read(tmp_path)


def test_an_unknown_function_is_told_which_there_are() -> None:
    with pytest.raises(ProjectError, match="breaker, classify, embed"):
        Project.read(ROOT).function("clasify")


def test_short_forms_read_as_long_ones() -> None:
    short = "a: !Ref B\nb: !GetAtt C.D.E\nc: !If [x, !Ref y, 1]\nd: !Sub 'x-${y}'\n"
    assert parse_documents(short, "t.yaml") == [
        {
            "a": {"Ref": "B"},
            "b": {"Fn::GetAtt": ["C", "D.E"]},
            "c": {"Fn::If": ["x", {"Ref": "y"}, 1]},
            "d": {"Fn::Sub": "x-${y}"},
        }
    ]


@pytest.mark.parametrize(
    ("text", "line"), [("a: 1\na: 2\n", "line 2"), ("a: [1\nb: 2\n", "line 2"), ("", "")]
)
def test_text_that_is_no_yaml_is_a_finding_with_its_line(text: str, line: str) -> None:
    with pytest.raises(Unreadable) as refused:
        parse_documents(text, "t.yaml")
    assert refused.value.finding.at == line
