"""Which rows are used, and what is said about them, depends on the texts alone."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import msgspec
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("onnx")

from farthing.forge.data import checks, splits, survey
from farthing.forge.recipe import DataFiles
from farthing.tables.chunk import DataInvalid

if TYPE_CHECKING:
    from pathlib import Path

Rows = list[tuple[str, str]]
LABELS = ("blue", "green", "red")


def some_rows(number: int, prefix: str = "text") -> Rows:
    return [(f"{prefix} {at}", LABELS[at % 3]) for at in range(number)]


def write(file: Path, rows: Rows) -> str:
    lines = ["text\tlabel", *("\t".join(row) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def files(folder: Path, train: Rows, test: Rows | None = None, **more: object) -> DataFiles:
    fields = {
        "name": "rows",
        "text": "text",
        "label": "label",
        "train": write(folder / "train.tsv", train),
        "test": write(folder / "test.tsv", test or some_rows(30, "other")),
        **more,
    }
    return msgspec.convert(fields, DataFiles)


def test_a_share_is_held_out_by_the_texts_and_not_by_their_order(tmp_path: Path) -> None:
    rows = some_rows(2000)
    first = splits.load(files(tmp_path, rows))
    random.Random(1).shuffle(rows)
    again = splits.load(files(tmp_path, rows))
    assert set(first.valid.texts) == set(again.valid.texts)
    assert first.train.texts != again.train.texts
    assert 140 < len(first.valid) < 260
    assert len(first.train) + len(first.valid) == 2000
    for text, label in zip(again.train.texts, again.train.labels, strict=True):
        assert label == LABELS[int(text.split()[1]) % 3]


def test_what_is_held_out_is_told_by_the_sha256_alone(tmp_path: Path) -> None:
    held = splits.load(files(tmp_path, some_rows(500), valid_share=0.25)).valid
    for text, _ in some_rows(500):
        draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[8:12])
        assert (text in held.texts) == (draw / 2**32 < 0.25)


def test_one_text_is_never_on_both_sides(tmp_path: Path) -> None:
    rows = [(f"{blank}Text {at % 400}{blank}", LABELS[at % 3]) for at, blank in
            enumerate([" ", "  "] * 600)]  # fmt: skip
    rows += [(text.upper(), "red") for text, _ in rows[:200]]
    loaded = splits.load(files(tmp_path, rows))
    train, valid = ({" ".join(t.lower().split()) for t in part.texts}
                    for part in (loaded.train, loaded.valid))  # fmt: skip
    assert valid
    assert not train & valid


def test_a_class_with_one_row_stays_in_training_and_is_told(tmp_path: Path) -> None:
    rare = [(f"rare {at}", f"label {at}") for at in range(60)]
    loaded = splits.load(files(tmp_path, some_rows(300) + rare))
    assert set(loaded.labels) == {*LABELS, *(label for _, label in rare)}
    assert any("Labels with one training row" in said for said in loaded.report.warnings)
    assert loaded.report.rows_per_label_min == 1


def test_a_given_validation_file_is_used_as_it_is(tmp_path: Path) -> None:
    valid = write(tmp_path / "valid.tsv", some_rows(40, "valid"))
    loaded = splits.load(files(tmp_path, some_rows(300), valid=valid))
    assert loaded.valid.texts == tuple(text for text, _ in some_rows(40, "valid"))
    assert len(loaded.train) == 300


def test_a_bound_takes_the_same_rows_whatever_their_order_and_keeps_rare_labels(
    tmp_path: Path,
) -> None:
    rows = [*some_rows(3000), ("seldom one", "rare"), ("seldom two", "rare")]
    bound = {"train_rows_max": 100, "valid_share": 0.2}
    loaded = splits.load(files(tmp_path, rows, **bound))
    again = splits.load(files(tmp_path, rows[::-1], **bound))
    assert loaded.train.texts == again.train.texts[::-1]
    assert len(loaded.train) == 100
    assert len(loaded.valid) == 25
    assert "rare" in loaded.labels
    assert loaded.report.left_out == {"train": 3002 - 125}
    assert "Training rows left out: 2,877" in loaded.report.warnings[0]


def test_unlabelled_texts_are_none_of_those_that_judge(tmp_path: Path) -> None:
    more = write(tmp_path / "more.tsv", [*some_rows(20, "new"), ("OTHER  3", "x"), ("", "x")])
    loaded = splits.load(files(tmp_path, some_rows(300), unlabelled=more))
    assert loaded.unlabelled == tuple(f"new {at}" for at in range(20))
    assert loaded.report.left_out == {"unlabelled": 1}
    assert loaded.report.empty_texts == 1


def test_an_embedder_needs_texts_to_test_with_and_nothing_else(tmp_path: Path) -> None:
    data = DataFiles(
        name="titles", text="text", test=write(tmp_path / "t.tsv", some_rows(50)), rows=20
    )
    loaded = splits.load(data)
    assert loaded.test.texts == tuple(text for text, _ in some_rows(20))
    assert (len(loaded.train), len(loaded.valid), loaded.labels) == (0, 0, ())
    assert loaded.report.warnings == ()


def test_the_report_counts_what_is_there(tmp_path: Path) -> None:
    train = [*some_rows(90), ("text 1", "green"), ("Text  2", "blue"), (" ", "red"), ("", "red")]
    test = [*some_rows(3), ("new", "red"), ("n" * 1001, "blue")]
    valid = write(tmp_path / "valid.tsv", some_rows(9, "valid"))
    report = splits.load(files(tmp_path, train, test, valid=valid)).report
    assert report.rows == {"train": 92, "valid": 9, "test": 5}
    assert (report.labels, report.rows_per_label_min, report.rows_per_label_max) == (3, 30, 31)
    assert (report.duplicates, report.conflicting_texts, report.empty_texts) == (1, 1, 2)
    assert (report.overlap, report.overlap_share, report.long_texts) == (3, 0.6, 1)
    train_file = (tmp_path / "train.tsv").read_bytes()
    assert report.files["train"].sha256 == hashlib.sha256(train_file).hexdigest()
    assert report.files["train"].bytes == len(train_file)
    said = " ".join(report.warnings)
    assert "also in the training rows: 3 of 5 (60.0%)" in said
    assert "more than one label: 1" in said
    assert "no text: 2" in said
    assert msgspec.json.decode(msgspec.json.encode(report), type=checks.DataReport) == report


@pytest.mark.parametrize(
    ("train", "test", "more", "said"),
    [
        ([("", "red")], None, {}, r"train\.tsv was asked for training rows and has none"),
        ([("a", "red"), ("b", "red")], None, {}, r"one label only, 'red'"),
        (some_rows(90), [("", "red")], {}, r"test\.tsv was asked for test rows and has none"),
        (some_rows(90), [*some_rows(9), ("x", "mauve")], {}, r"1 rows .*no training row.*mauve"),
        (some_rows(3), None, {}, "too few to hold out a share of 0.1"),
        (some_rows(90), None, {"valid_share": 0.0}, "valid_share is 0.0.*above 0"),
        (some_rows(90), None, {"valid_share": 1.0}, "valid_share is 1.0.*below 1"),
        (some_rows(90), None, {"out_of_scope": "none"}, "'none', a label that no row has.*blue"),
    ],
)
def test_rows_that_cannot_serve_are_refused(
    train: Rows, test: Rows | None, more: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid, match=said):
        splits.load(files(tmp_path, train, test, **more))


def test_a_column_that_is_no_label_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "LABELS_MAX", 50)
    rows = [(f"text {at}", f"id {at}") for at in range(60)]
    with pytest.raises(DataInvalid, match=r"over 50 different labels in its column 'label'"):
        splits.load(files(tmp_path, rows))


def test_a_few_rows_with_labels_that_training_lacks_count_as_wrong(tmp_path: Path) -> None:
    strange = [("strange one", "mauve")]
    valid = write(tmp_path / "valid.tsv", some_rows(150, "valid") + strange)
    test = some_rows(150, "other") + strange
    loaded = splits.load(files(tmp_path, some_rows(90), test, valid=valid))
    assert "mauve" in loaded.test.labels
    assert "mauve" not in loaded.valid.labels
    assert loaded.report.unseen_label_rows == 1
    assert loaded.report.left_out == {"valid": 1}


def test_what_belongs_to_no_label_may_be_in_the_test_only(tmp_path: Path) -> None:
    test = some_rows(20, "other") + [(f"odd {at}", "none") for at in range(20)]
    loaded = splits.load(files(tmp_path, some_rows(90), test, out_of_scope="none"))
    assert loaded.test.labels.count("none") == 20
    assert "none" not in loaded.labels
    assert loaded.report.unseen_label_rows == 0


def test_labels_that_differ_by_case_are_told(tmp_path: Path) -> None:
    rows = [(text, label.upper() if at == 5 else label)
            for at, (text, label) in enumerate(some_rows(90))]  # fmt: skip
    assert (
        "The labels 'RED' and 'red' differ"
        in splits.load(files(tmp_path, rows)).report.warnings[-1]
    )


def test_memory_is_bounded_by_the_rows_kept_and_not_by_the_file(tmp_path: Path) -> None:
    """A file of 72 MB, of which a few rows are kept, costs less than half of that."""
    with (tmp_path / "large.tsv").open("w", encoding="utf-8") as file:
        file.write("text\tlabel\n")
        for at in range(120_000):
            file.write(f"{at} {'filler ' * 85}\t{LABELS[at % 3]}\n")
    test = write(tmp_path / "test.tsv", some_rows(30, "other"))
    script = textwrap.dedent("""
        import resource, sys
        from farthing.forge.data import splits
        from farthing.tables import delimited
        from farthing.forge.recipe import DataFiles

        delimited.BLOCK_BYTES = 1 << 16

        def peak_kb():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        def load(train):
            data = DataFiles(name="x", text="text", label="label", train=train, test=sys.argv[1],
                             train_rows_max=2000)
            return splits.load(data)

        load(sys.argv[2])
        before = peak_kb()
        loaded = load(sys.argv[3])
        print(len(loaded.train), peak_kb() - before)
    """)
    small = write(tmp_path / "small.tsv", some_rows(4000))
    done = subprocess.run(
        [sys.executable, "-c", script, test, small, str(tmp_path / "large.tsv")],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    kept, grown_kb = map(int, done.stdout.split())
    assert kept == 2000
    assert grown_kb < 36_000
