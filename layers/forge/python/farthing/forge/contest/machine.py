"""The machine on which a contest was held: times mean nothing without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec
import onnxruntime

CPU_INFO = Path("/proc/cpuinfo")
# What decides how quick integer products are.
FLAGS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8",
    "asimddp", "i8mm", "sve", "sve2",
)  # fmt: skip


class Machine(msgspec.Struct, frozen=True):
    """`flags` are those of the processor that matter to integer products."""

    cpu: str
    architecture: str
    flags: tuple[str, ...]
    cores: int
    system: str
    python: str
    onnxruntime: str


def this_machine() -> Machine:
    """What the operating system says of the machine; `cpu` is the architecture if it is silent."""
    facts = _cpu_facts()
    known = set((facts.get("flags") or facts.get("Features") or "").split())
    return Machine(
        cpu=facts.get("model name") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        flags=tuple(flag for flag in FLAGS if flag in known),
        cores=os.cpu_count() or 1,
        system=platform.system(),
        python=platform.python_version(),
        onnxruntime=onnxruntime.__version__,
    )


def _cpu_facts() -> dict[str, str]:
    """The first processor's lines; empty where the file does not exist."""
    if not CPU_INFO.exists():
        return {}
    first = CPU_INFO.read_text(encoding="utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
