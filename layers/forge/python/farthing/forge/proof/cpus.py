"""The processors a bundle can be proven on, and the command that runs Python on each."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import farthing
from farthing.forge.proof import environment
from farthing.forge.proof.errors import ProofUnavailable

NATIVE = "native"
# What a process needs of ours to run at all; nothing else may change an answer.
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Cpu:
    """One processor as QEMU's user-mode emulator names it.

    `machine` is what `uname -m` says on it, `model` goes after `-cpu`.
    """

    name: str
    machine: str
    model: str
    stands_for: str

    @property
    def emulator(self) -> str:
        """The emulator's path.

        :raises ProofUnavailable: if it is not installed.
        """
        # Debian 12 and older have the suffix, later ones link the plain name statically.
        names = (f"qemu-{self.machine}-static", f"qemu-{self.machine}")
        for found in filter(None, map(shutil.which, names)):
            return found
        raise ProofUnavailable(
            f"The proof asks for the processor {self.name}, which needs {names[0]}; it is not "
            f"installed. Install the Debian package qemu-user-static, or skip {self.name} "
            "explicitly and publish without its proof."
        )


# Features that QEMU cannot emulate and would warn about in every process.
WITHOUT_WARNINGS = "-pcid,-x2apic,-tsc-deadline,-invpcid"
CPUS = {
    cpu.name: cpu
    for cpu in (
        Cpu(
            "x86-64-avx2",
            "x86_64",
            f"Haswell-noTSX,{WITHOUT_WARNINGS}",
            "x86-64 with AVX2 and without VNNI, as clouds still rent it out",
        ),
        Cpu("aarch64", "aarch64", "neoverse-n1", "Graviton2, on which Lambda's arm64 runs"),
    )
}


@dataclass(frozen=True)
class Runner:
    """How to run Python on one processor: the words before its arguments, and its variables."""

    command: tuple[str, ...]
    variables: dict[str, str]
    described: str

    def run(self, arguments: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        """What `python ARGUMENTS` did there; its status may be anything.

        :raises subprocess.TimeoutExpired: if it took longer.
        """
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        return subprocess.run(  # noqa: S603 - our own module under an emulator found by name
            [*self.command, *arguments],
            env=kept | self.variables,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def runner(name: str, cache: Path) -> Runner:
    """How to run Python on the processor `name`, which may need an environment in `cache`.

    The same architecture under another model uses this very interpreter and its packages; another
    architecture gets an interpreter and packages of its own, see `environment`.

    :raises ProofUnavailable: for an unknown name, or what is not installed.
    """
    sources = [str(Path(folder).parent) for folder in farthing.__path__]
    if name == NATIVE:
        return Runner((sys.executable, "-P"), variables([*sources, *sys.path]), native_described())
    cpu = CPUS.get(name)
    if cpu is None:
        raise ProofUnavailable(
            f"The proof asks for the processor {name}; known are "
            f"{', '.join([NATIVE, *CPUS])}. Name one of these in `cpus` of [proof]."
        )
    emulated = (cpu.emulator, "-cpu", cpu.model)
    described = f"under QEMU {emulator_version(cpu.emulator)} as {cpu.model.partition(',')[0]}"
    if cpu.machine == platform.machine():
        here = (*emulated, sys.executable, "-P")
        return Runner(here, variables([*sources, *sys.path]), described)
    there = environment.provide(cpu.machine, cache)
    # Modules are compiled under the emulator once, not beside the sources of this machine.
    kept = variables([str(there.packages), *sources]) | {"PYTHONPYCACHEPREFIX": str(there.bytecode)}
    command = (*emulated, "-L", str(there.root), str(there.python), "-S", "-P")
    return Runner(command, kept, described)


def variables(paths: list[str]) -> dict[str, str]:
    """The variables of a process with these import paths, on one thread."""
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, dict.fromkeys(paths))),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def emulator_version(emulator: str) -> str:
    """The emulator's version, such as 7.2.22."""
    done = subprocess.run(  # noqa: S603 - found by its name
        [emulator, "--version"], capture_output=True, text=True, check=True
    )
    return done.stdout.partition("version ")[2].split()[0]


def native_described() -> str:
    """This machine's processor, and whether it adds products of bytes without saturating."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    name = fields.get("model name", platform.machine())
    if platform.machine() != "x86_64":
        return f"natively on {name}"
    has_vnni = {"avx512_vnni", "avx_vnni"} & set(fields.get("flags", "").split())
    return f"natively on {name} {'with' if has_vnni else 'without'} VNNI"
