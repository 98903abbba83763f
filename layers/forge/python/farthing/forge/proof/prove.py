"""The proof: one bundle, some texts, several processors, and whether they agree."""

from __future__ import annotations

import math
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from farthing.forge.evaluate.quality import row_cosines
from farthing.forge.proof.cpus import NATIVE, Runner, runner
from farthing.forge.proof.errors import ProofFailed, ProofUnavailable
from farthing.forge.proof.saturation import largest_product
from farthing.forge.proof.served import Facts
from farthing.inference.bundle import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from farthing.forge.plans import ProofPlan

FloatArray = npt.NDArray[np.float32]

TIMEOUT_S = 1800.0
# Those that sum products of bytes.
BYTE_SCHEMES = frozenset({"per-token", "dynamic", "static"})
EIGHT_BITS = 8


class CpuProof(msgspec.Struct, frozen=True, omit_defaults=True):
    """One processor's answers against the native ones.

    `labels_equal` is the share of texts with the same best label, absent for an embedder;
    `max_abs_difference` is that of probabilities or of the vectors' elements; the cosines are those
    of a text's two rows. Single rows may be apart although all integer products are equal: sums of
    floats have another order on another processor, and a last digit tips a rounding to a byte.
    `saturates`: see `saturation`. `seconds` include start and loading.
    """

    cpu: str
    run: str
    max_abs_difference: float
    min_cosine: float
    mean_cosine: float
    saturates: bool
    seconds: float
    labels_equal: float | None = None


class Proof(msgspec.Struct, frozen=True):
    """What was run and what came out; `not_run` names the processors that were skipped."""

    bundle: str
    texts: int
    cpus: tuple[CpuProof, ...]
    not_run: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """One sentence per processor, those that were not run last and loudest."""
        ran = [f"{proof.cpu}: {_result(proof)}, {proof.run}." for proof in self.cpus]
        return ran + [f"{name}: NOT RUN, so nothing is proven there." for name in self.not_run]


class Answered(msgspec.Struct, frozen=True):
    """What one processor gave: [texts, dims], and what it found out about itself."""

    rows: FloatArray
    facts: Facts
    seconds: float


def prove(
    folder: Path,
    texts: Sequence[str],
    plan: ProofPlan,
    cache: Path,
    *,
    skip: Collection[str] = (),
    announce: Callable[[str], None] = lambda _: None,
) -> Proof:
    """The proof of the bundle in `folder` on up to `plan.texts` of the texts, evenly drawn.

    Every processor answers through `farthing.inference` in a process of its own on one thread.
    The native answers are the measure, whether the plan names `native` or not.

    :param cache: where environments of other architectures are kept.
    :param skip: processors of the plan to leave out; the proof says so.
    :param announce: told each processor's name before it runs.
    :raises ProofFailed: if a processor's answers differ beyond the plan, or it has none.
    :raises ProofUnavailable: if a processor can be neither used nor emulated here, or this one is
        no measure for others.
    """
    digest, manifest = read_manifest(folder)
    count = min(len(texts), plan.texts)
    chosen = [texts[at * len(texts) // count] for at in range(count)]
    if not chosen:
        raise ProofFailed("A proof was asked for without texts; give it some of the test rows.")
    names = list(dict.fromkeys((NATIVE, *plan.cpus)))
    # What is missing is said before the first minute is spent.
    runners = {name: runner(name, cache) for name in names if name not in skip or name == NATIVE}
    proofs: list[CpuProof] = []
    native: Answered | None = None
    for name, how in runners.items():
        announce(name)
        given = answered(name, how, folder, chosen)
        if native is None:
            native = given
            if len(runners) > 1:
                refuse_blind(native, manifest.quantisation, manifest.name)
        proof = compared(name, how, given, native, is_classifier=manifest.task == "classify")
        refuse_if_apart(proof, plan, manifest.name)
        proofs.append(proof)
    return Proof(digest, len(chosen), tuple(proofs), tuple(n for n in names if n not in runners))


def answered(name: str, how: Runner, folder: Path, texts: list[str]) -> Answered:
    """The bundle's answers on one processor.

    :raises ProofFailed: if the process does not end well.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        (work / "bundle.txt").write_text(str(folder.resolve()), encoding="utf-8")
        (work / "texts.json").write_bytes(msgspec.json.encode(texts))
        (work / "saturation.onnx").write_bytes(largest_product().SerializeToString())
        try:
            done = how.run(["-m", "farthing.forge.proof.served", temporary], TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ProofFailed(
                f"{len(texts)} texts were to be answered on {name} within {TIMEOUT_S:.0f} s and "
                "were not. Prove on fewer texts, or on a processor that is not emulated."
            ) from None
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise ProofFailed(
                f"The bundle was to answer on {name} ({how.described}) and ended with status "
                f"{done.returncode}, saying: {said}. Correct the bundle, or skip {name} "
                "explicitly and publish without its proof."
            )
        facts = msgspec.json.decode((work / "facts.json").read_bytes(), type=Facts)
        return Answered(np.load(work / "answers.npy"), facts, time.perf_counter() - start)


def compared(
    name: str, how: Runner, given: Answered, native: Answered, *, is_classifier: bool
) -> CpuProof:
    """The numbers of one processor."""
    same = given.rows.argmax(axis=1) == native.rows.argmax(axis=1)
    cosines = row_cosines(given.rows, native.rows)
    return CpuProof(
        cpu=name,
        run=how.described,
        max_abs_difference=round(float(np.abs(given.rows - native.rows).max()), 8),
        min_cosine=round(float(cosines.min()), 8),
        mean_cosine=round(float(cosines.mean()), 8),
        saturates=given.facts.saturates,
        seconds=round(given.seconds, 1),
        labels_equal=round(float(same.mean()), 6) if is_classifier else None,
    )


def refuse_blind(native: Answered, quantisation: Mapping[str, object], name: str) -> None:
    """Raises `ProofUnavailable` if this processor saturates itself where others may not."""
    sums_bytes = quantisation.get("scheme") in BYTE_SCHEMES
    if native.facts.saturates and sums_bytes and quantisation.get("bits") == EIGHT_BITS:
        raise ProofUnavailable(
            f"{name} has weights of 8 bits, and sums of them saturate on this processor, so its "
            "answers are no measure for others. Prove it on one with VNNI, or quantise with "
            "bits = 7 in [quantisation]."
        )


def refuse_if_apart(proof: CpuProof, plan: ProofPlan, name: str) -> None:
    """Raises `ProofFailed` if the processor's answers are further apart than the plan allows."""
    if proof.labels_equal is None:
        apart = not proof.mean_cosine >= plan.mean_cosine
        bound = f"a mean cosine of at least {plan.mean_cosine}"
    else:
        apart = not proof.labels_equal >= plan.labels_equal
        bound = f"at least {plan.labels_equal:.4g} of the labels equal"
    if apart or not math.isfinite(proof.max_abs_difference):
        raise ProofFailed(
            f"{name} was to answer on {proof.cpu} as it does natively, with {bound}; {proof.run} "
            f"it has {_result(proof)}. {_advice(proof)}"
        )


def _advice(proof: CpuProof) -> str:
    if proof.saturates:
        return "Its sums of bytes saturate: quantise with bits = 7 in [quantisation]."
    return (
        "Nothing saturates there, so its answers are near ties: prove on texts of the model's own "
        'kind, or quantise more finely (the scheme "block-wise", or "none").'
    )


def _result(proof: CpuProof) -> str:
    labels = "" if proof.labels_equal is None else f"{proof.labels_equal:.2%} of labels equal, "
    return f"{labels}mean cosine {proof.mean_cosine:.6f}, least {proof.min_cosine:.6f}"
