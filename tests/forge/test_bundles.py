"""The bundles that ship keep their promises. Needs no training stack."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Classifier, open_task

if TYPE_CHECKING:
    from farthing.inference.tasks import TextModel

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
MODELS = ROOT / "layers" / "models"
RECEIPTS = ROOT / "layers" / "forge" / "receipts"
LARGEST_BYTES = {
    "all-minilm-l6-v2": 24_000_000,
    "product-classifier": 3_000_000,
    "retail-banking-intents": 12_000_000,
    "retail-banking-words": 2_000_000,
}
LINEAR = {"product-classifier", "retail-banking-words"}
CASCADES = {"retail-banking-cascade": ["retail-banking-words", "retail-banking-intents"]}
TRANSFORMERS = sorted(LARGEST_BYTES.keys() - LINEAR)


def golden(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def classifier() -> TextModel:
    model = open_task(Bundle.open(MODELS / "product-classifier"))
    assert isinstance(model, Classifier)
    return model


def test_every_bundle_has_a_bound() -> None:
    assert {path.parent.name for path in MODELS.glob("*/manifest.json")} == set(LARGEST_BYTES)
    assert {path.name for path in MODELS.iterdir()} == LARGEST_BYTES.keys() | CASCADES.keys()


@pytest.mark.parametrize("name", CASCADES)
def test_a_cascade_names_its_stages_by_their_digests_and_has_the_receipt_of_its_proof(
    name: str,
) -> None:
    raw = (MODELS / name / "cascade.json").read_bytes()
    cascade, digest = json.loads(raw), hashlib.sha256(raw).hexdigest()
    receipt = json.loads((RECEIPTS / name / "receipt.json").read_bytes())
    card = (MODELS / name / "README.md").read_text(encoding="utf-8")
    stages = [(stage["bundle"], stage["digest"]) for stage in cascade["stages"]]
    assert stages == [(stage, Bundle.open(MODELS / stage).digest) for stage in CASCADES[name]]
    assert receipt["digest"] == digest
    assert receipt["manifest"] == cascade
    assert digest in card
    assert all(stage_digest in card for _, stage_digest in stages)


@pytest.mark.parametrize("name", CASCADES)
def test_a_cascade_loses_little_and_its_cheapest_stage_answers_most(name: str) -> None:
    cascade = json.loads((MODELS / name / "cascade.json").read_bytes())
    first = CASCADES[name][0]
    for told in (cascade["accuracy"], cascade["calibration"]):
        assert told["value"] >= told["last_stage"] - 0.002
        assert told["shares"][first] >= 0.6
        assert sum(told["shares"].values()) == pytest.approx(1)
    assert cascade["accuracy"]["rows_digest"] != cascade["calibration"]["rows_digest"]


@pytest.mark.parametrize("name", LARGEST_BYTES)
def test_a_bundle_is_small_and_has_exactly_its_files(name: str) -> None:
    files = {file.name: file for file in (MODELS / name).iterdir()}
    encoder = "ngrams.bin" if name in LINEAR else "tokenizer.json"
    papers = {"LICENSE", "NOTICE", "README.md"}
    assert set(files) == {"manifest.json", "model.onnx", encoder, *papers}
    assert sum(file.stat().st_size for file in files.values()) <= LARGEST_BYTES[name]


@pytest.mark.parametrize("name", LARGEST_BYTES)
def test_every_digest_is_true(name: str) -> None:
    manifest = json.loads((MODELS / name / "manifest.json").read_bytes())
    for file, entry in manifest["files"].items():
        content = (MODELS / name / file).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


@pytest.mark.parametrize("name", LARGEST_BYTES)
def test_a_bundle_credits_its_origin(name: str) -> None:
    assert "Apache License" in (MODELS / name / "LICENSE").read_text(encoding="utf-8")
    notice = (MODELS / name / "NOTICE").read_text(encoding="utf-8")
    assert ("sentence-transformers/all-MiniLM-L6-v2" in notice) == (name not in LINEAR)
    assert ("CC BY 4.0" in notice) == (name != "all-minilm-l6-v2")


@pytest.mark.parametrize("name", LARGEST_BYTES)
def test_a_card_names_the_bundle_it_is_of_and_what_it_was_proven_on(name: str) -> None:
    card = (MODELS / name / "README.md").read_text(encoding="utf-8")
    assert Bundle.open(MODELS / name).digest in card
    for cpu in ("native", "x86-64-avx2", "aarch64"):
        assert f"{cpu}: " in card
    assert "NOT RUN" not in card


@pytest.mark.parametrize("name", sorted(LARGEST_BYTES.keys() - {"all-minilm-l6-v2"}))
def test_a_classifier_won_the_contest_whose_receipt_it_names(name: str) -> None:
    raw = (RECEIPTS / name / "receipt.json").read_bytes()
    receipt = json.loads(raw)
    manifest = json.loads((MODELS / name / "manifest.json").read_bytes())
    assert manifest["receipt"] == hashlib.sha256(raw).hexdigest()
    assert (receipt["winner"]["family"] == "linear") == (name in LINEAR)
    (winner,) = [e for e in receipt["candidates"] if e["name"] == receipt["winner"]["name"]]
    assert winner["test"]["accuracy"] == pytest.approx(manifest["accuracy"]["value"], abs=1e-5)
    assert winner["valid"]["accuracy"] >= receipt["floor"]["accuracy_valid"]


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_tokenizer_leaves_length_to_the_runtime(name: str) -> None:
    tokenizer = Tokenizer.from_file(str(MODELS / name / "tokenizer.json"))
    assert tokenizer.padding is None
    assert tokenizer.truncation is None
    assert tokenizer.token_to_id("[PAD]") == 0


@pytest.mark.parametrize("name", LARGEST_BYTES)
def test_the_manifest_was_measured_and_allows_batching(name: str) -> None:
    drift = Bundle.open(MODELS / name).manifest.batch_drift
    assert drift.texts >= 1000
    assert drift.batch == 32
    assert drift.is_zero


def test_probabilities_are_near_those_of_float32(classifier: TextModel) -> None:
    reference = golden("golden-classifier-f32.json")
    assert tuple(reference["labels"]) == classifier.manifest.labels
    logits = np.array(reference["logits"])
    wanted = np.exp(logits - logits.max(axis=1, keepdims=True))
    wanted /= wanted.sum(axis=1, keepdims=True)
    ours = classifier.compute(classifier.prepare(reference["texts"]))
    assert np.abs(ours - wanted).mean() < 0.01
    sure = wanted.max(axis=1) > 0.7
    assert sure.sum() >= 10
    assert (ours.argmax(axis=1) == wanted.argmax(axis=1))[sure].all()


def test_accuracy_on_the_sample_agrees_with_the_manifest(classifier: TextModel) -> None:
    with gzip.open(DATA / "pricerunner-sample.tsv.gz", "rt", encoding="utf-8", newline="\n") as f:
        rows = [line.rstrip("\n").split("\t") for line in f][1:]
    given = classifier.compute(classifier.prepare([title for _, title, _ in rows])).argmax(axis=1)
    labels = classifier.manifest.labels
    accuracy = np.mean([labels[at] == label for at, (_, _, label) in zip(given, rows, strict=True)])
    stated = classifier.manifest.accuracy["value"]
    assert stated >= 0.988
    # Three standard errors of a share measured on a sample of this size.
    assert abs(accuracy - stated) < 3 * math.sqrt(stated * (1 - stated) / len(rows))
