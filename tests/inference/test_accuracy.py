"""What the manifest claims, measured again on all the rows it names."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import pytest

from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Classifier, open_task

ROWS = "pricerunner/test.tsv.gz"


@pytest.fixture
def titles_and_categories() -> list[tuple[str, str]]:
    folder = os.environ.get("FARTHING_DATA", "")
    file = Path(folder, ROWS)
    if not folder or not file.is_file():
        pytest.skip(f"FARTHING_DATA does not name a folder with {ROWS}")
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as rows:
        reader = csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["title"], row["category"]) for row in reader]


def test_the_classifier_is_as_accurate_as_its_manifest_says(
    models_dir: Path, titles_and_categories: list[tuple[str, str]]
) -> None:
    model = open_task(Bundle.open(models_dir / "product-classifier"))
    assert isinstance(model, Classifier)
    claimed = model.manifest.accuracy
    assert claimed["rows"] == len(titles_and_categories)
    best = model.scores([title for title, _ in titles_and_categories]).argmax(axis=1)
    right = sum(
        model.labels[index] == category
        for index, (_, category) in zip(best, titles_and_categories, strict=True)
    )
    # A processor may round the last bit of a sum another way and turn a tie.
    assert right / len(titles_and_categories) == pytest.approx(claimed["value"], abs=0.0005)
    assert claimed["value"] >= 0.985
