"""Which scheme for which processor, and why.

What decides, measured on 100 titles with the two models that ship: the share of equal labels of the
classifier, and the mean and least cosine of the embedder, against AVX-512 VNNI. The other two are
emulated as in `farthing.forge.proof`.

                         AVX2                      Neoverse N1
    per-token, 8 bits    0.98   0.9962   0.9911    1   0.9997   0.9971
    per-token, 7 bits    1      1.0000   0.9990    1   0.9997   0.9977

So eight bits are a choice only where no processor saturates: ONNX Runtime's page "Quantize ONNX
models" names AVX2 and AVX-512 without VNNI. Seven lose little, the classifier nothing, and take no
longer.

Against float32 on AVX-512 VNNI, one thread, embedder: mean cosine, milliseconds of processor time
for one text, least cosine of a text alone and in a batch of 32 (see tests/bench/quantisation.py):

    float32                      1       6.4   1
    dynamic, 8 bits              0.9934  3.1   0.9850     not to be batched
    static, minimum and maximum  0.9916  3.2   1
    static, entropy              0.9618  3.1   1          the outliers it clips carry meaning
    static, GELU in float32      0.9987  4.4   1          and half as large again
    block-wise, 32               0.9996  4.4   1          slower than float32 for 32 texts
    per-token, 8 bits            0.9973  3.4   1
    per-token, 7 bits            0.9962  3.4   1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farthing.errors import SettingsError
from farthing.forge.quantise.schemes import QuantisationPlan

if TYPE_CHECKING:
    from collections.abc import Collection


class TargetUnknown(SettingsError):
    """A scheme was asked for a processor that no rule knows."""


@dataclass(frozen=True)
class Target:
    """A kind of processor: bits of a weight that it multiplies exactly, and why not more."""

    name: str
    bits: int
    reason: str


TARGETS = {
    target.name: target
    for target in (
        Target("vnni", 8, "VPDPBUSD adds products of bytes into 32 bits"),
        Target("avx2", 7, "VPMADDUBSW adds two products of bytes into 16 bits and saturates"),
        Target("arm64", 8, "UDOT adds products of bytes into 32 bits"),
    )
}


def choose(
    targets: Collection[str] = tuple(TARGETS), *, must_batch: bool = True
) -> QuantisationPlan:
    """The cheapest plan that is right on all of these processors.

    Nobody who rents a function chooses its processor, so by default it is right on every one.

    :param must_batch: whether texts of several callers may share a call. Who never lets them gets
        the scheme `dynamic`, whose one scale per call then is one per text.
    :raises TargetUnknown: for a name that is none of `TARGETS`, or no name at all.
    """
    unknown = sorted(set(targets) - set(TARGETS))
    if unknown or not targets:
        raise TargetUnknown(
            f"A quantisation was asked for {', '.join(unknown) or 'no processor'}; known are "
            f"{', '.join(TARGETS)}. Name one or more of these."
        )
    bits = min(TARGETS[name].bits for name in targets)
    return QuantisationPlan("per-token" if must_batch else "dynamic", bits=bits)
