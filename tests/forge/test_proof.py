"""The same answers on every processor, or a refusal that says where they differ."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("optimum")

from farthing.forge import pack
from farthing.forge.distil.vocabulary import bare_tokenizer
from farthing.forge.export.transformer import export
from farthing.forge.plans import ProofPlan
from farthing.forge.proof import cpus, environment
from farthing.forge.proof.errors import ProofFailed, ProofUnavailable
from farthing.forge.proof.prove import (
    Answered,
    compared,
    prove,
    refuse_blind,
    refuse_if_apart,
)
from farthing.forge.proof.served import Facts
from farthing.forge.quantise.schemes import QuantisationPlan, quantise

if TYPE_CHECKING:
    from farthing.forge.export.graph import Graph

pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "layers" / "models" / "product-classifier"
CACHE = ROOT / ".cache" / "forge"
TEXTS = ["fridge freezer white", "washing machine 60cm", "phone", "black camera x100", "kfd4952xd"]
AVX2 = ProofPlan(cpus=("x86-64-avx2",), texts=20)

emulates_x86 = pytest.mark.skipif(
    not (shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")),
    reason="qemu-user-static is not installed",
)


@pytest.fixture(scope="module")
def float32(tiny: Path) -> Graph:
    return export(tiny, heads=4, hidden=64)


def bundle(folder: Path, graph: Graph, tiny: Path, bits: int) -> Path:
    tokenizer = bare_tokenizer(tiny / "tokenizer.json")
    pack.write_parts(folder, quantise(graph, QuantisationPlan("per-token", bits=bits)), tokenizer)
    description = pack.Description(
        name="tiny",
        task="embed",
        labels=(),
        pooling="mean",
        normalize=True,
        max_tokens=32,
        dims=64,
        quantisation={"scheme": "per-token", "bits": bits},
        licence="Apache-2.0",
        origin="random",
    )
    pack.write_manifest(folder, description)
    return folder


@emulates_x86
def test_what_ships_answers_alike_without_vnni(tmp_path: Path) -> None:
    told: list[str] = []
    proof = prove(SHIPPED, TEXTS, AVX2, tmp_path, announce=told.append)
    native, avx2 = proof.cpus
    assert told == ["native", "x86-64-avx2"]
    assert (avx2.labels_equal, proof.texts, proof.not_run) == (1.0, 5, ())
    assert avx2.max_abs_difference < 1e-4
    assert avx2.saturates, "the emulated processor has to run the kernel that saturates"
    assert not native.saturates or "without VNNI" in native.run
    assert "as Haswell" in avx2.run
    assert "100.00% of labels equal" in proof.sentences()[1]
    assert not list(tmp_path.iterdir()), "this processor needs no environment of its own"


@emulates_x86
def test_seven_bit_weights_pass_where_eight_saturate(
    float32: Graph, tiny: Path, tmp_path: Path, *, saturates: bool
) -> None:
    seven = bundle(tmp_path / "seven", float32, tiny, bits=7)
    assert prove(seven, TEXTS, AVX2, tmp_path).cpus[1].mean_cosine > 0.9999
    eight = bundle(tmp_path / "eight", float32, tiny, bits=8)
    refusal: tuple[type[Exception], str] = (
        ProofFailed,
        r"on x86-64-avx2 .*mean cosine 0\.\d+.*bits = 7",
    )
    if saturates:
        # Here as there, so that equal answers would prove nothing.
        refusal = ProofUnavailable, r"8 bits.*no measure.*VNNI, or .*bits = 7"
    with pytest.raises(refusal[0], match=refusal[1]):
        prove(eight, TEXTS, AVX2, tmp_path)


@pytest.mark.parametrize("scheme", ["per-token", "dynamic", "static"])
def test_a_processor_that_saturates_is_no_measure_of_eight_bits(scheme: str) -> None:
    native = Answered(np.zeros((1, 2), np.float32), Facts("x86_64", saturates=True), 1.0)
    with pytest.raises(ProofUnavailable, match=r"tiny .*8 bits.*no measure.*VNNI"):
        refuse_blind(native, {"scheme": scheme, "bits": 8}, "tiny")
    refuse_blind(native, {"scheme": scheme, "bits": 7}, "tiny")
    refuse_blind(native, {"scheme": "block-wise", "bits": 8}, "tiny")
    exact = Answered(native.rows, Facts("x86_64", saturates=False), 1.0)
    refuse_blind(exact, {"scheme": scheme, "bits": 8}, "tiny")


@pytest.mark.skipif(
    not (list(CACHE.glob("aarch64-*")) and shutil.which("qemu-aarch64-static")),
    reason="no aarch64 environment in the cache: any proof with a network makes one",
)
def test_what_ships_answers_alike_on_arm() -> None:
    proof = prove(SHIPPED, TEXTS, ProofPlan(cpus=("aarch64",)), CACHE)
    assert proof.cpus[1].labels_equal == 1.0
    assert not proof.cpus[1].saturates
    assert "as neoverse-n1" in proof.cpus[1].run


def test_a_skipped_processor_is_named_loudly(tmp_path: Path) -> None:
    proof = prove(SHIPPED, TEXTS, ProofPlan(), tmp_path, skip=("x86-64-avx2", "aarch64"))
    assert [ran.cpu for ran in proof.cpus] == ["native"]
    assert proof.not_run == ("x86-64-avx2", "aarch64")
    assert proof.sentences()[-1] == "aarch64: NOT RUN, so nothing is proven there."


def test_texts_are_drawn_from_the_whole_list(tmp_path: Path) -> None:
    plan = ProofPlan(cpus=("native",), texts=3)
    assert prove(SHIPPED, TEXTS * 4, plan, tmp_path).texts == 3
    with pytest.raises(ProofFailed, match="without texts"):
        prove(SHIPPED, [], plan, tmp_path)


def test_an_emulator_that_is_missing_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProofUnavailable, match="Install the Debian package qemu-user-static"):
        prove(SHIPPED, TEXTS, ProofPlan(), tmp_path)
    with pytest.raises(ProofUnavailable, match="known are native, x86-64-avx2, aarch64"):
        cpus.runner("z80", tmp_path)


def test_a_process_that_dies_proves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(SHIPPED, broken)
    (broken / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ProofFailed, match=r"on native .* status 1, saying: .*BundleCorrupt"):
        prove(broken, TEXTS, ProofPlan(cpus=()), tmp_path)


def answers(rows: Any) -> Answered:
    return Answered(np.array(rows, dtype=np.float32), Facts("x86_64", saturates=False), 1.0)


def test_the_share_of_labels_decides_for_a_classifier_and_the_cosine_for_an_embedder(
    tmp_path: Path,
) -> None:
    native = answers([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    other = answers([[0.8, 0.2], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    how = cpus.runner("native", tmp_path)
    proof = compared("arm", how, other, native, is_classifier=True)
    assert (proof.labels_equal, round(proof.max_abs_difference, 6)) == (0.75, 0.2)
    refuse_if_apart(proof, ProofPlan(labels_equal=0.75, mean_cosine=1.0), "mine")
    with pytest.raises(ProofFailed, match=r"mine was to answer on arm .* 75\.00% of labels equal"):
        refuse_if_apart(proof, ProofPlan(), "mine")
    vectors = compared("arm", how, other, native, is_classifier=False)
    refuse_if_apart(vectors, ProofPlan(labels_equal=1.0, mean_cosine=0.9), "mine")
    with pytest.raises(ProofFailed, match=r"a mean cosine of at least 0\.999"):
        refuse_if_apart(vectors, ProofPlan(), "mine")


@pytest.mark.parametrize("is_classifier", [True, False])
def test_an_answer_that_is_no_number_is_refused(is_classifier: bool, tmp_path: Path) -> None:
    native, broken = answers([[0.8, 0.6]]), answers([[np.nan, 0.6]])
    how = cpus.runner("native", tmp_path)
    proof = compared("arm", how, broken, native, is_classifier=is_classifier)
    with pytest.raises(ProofFailed, match="mean cosine nan"):
        refuse_if_apart(proof, ProofPlan(), "mine")


def test_an_environment_that_cannot_be_had_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, cache = tmp_path / "tools", tmp_path / "cache"
    tools.mkdir()
    tool = tools / "mmdebstrap"
    tool.write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 25\n")
    tool.chmod(0o755)
    sources = tmp_path / "debian.sources"
    sources.touch()
    monkeypatch.setattr(environment, "APT_SOURCES", (str(sources),))
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    with pytest.raises(ProofUnavailable, match=r"Debian packages of aarch64 .* E: no network"):
        environment.provide("aarch64", cache)
    assert list(cache.iterdir()) == []
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(ProofUnavailable, match="Install the Debian package mmdebstrap"):
        environment.provide("aarch64", cache)
