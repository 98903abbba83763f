"""The peer of the classifier: TF-IDF and a linear support vector machine, in the usual two ways.

Run by `accuracy`, in the forge's environment. Arguments: train and test table. Prints JSON.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

FEATURES = {
    "word": {"ngram_range": (1, 2), "sublinear_tf": True},
    "char_wb(2,5)": {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True},
}


def read(path: str) -> tuple[list[str], list[str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["title"] for row in rows], [row["category"] for row in rows]


def main() -> None:
    train, test = read(sys.argv[1]), read(sys.argv[2])
    accuracies = {}
    for name, options in FEATURES.items():
        model = make_pipeline(TfidfVectorizer(**options), LinearSVC(random_state=0))
        accuracies[name] = model.fit(*train).score(*test)
    print(json.dumps(accuracies))


if __name__ == "__main__":
    main()
