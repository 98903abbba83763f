"""Python and the packages that serve, for another architecture, in a folder of their own.

Downloaded once: Debian's python3-minimal, libpython3-stdlib and libstdc++6 of this machine's own
apt sources, by mmdebstrap, unpacked and never run; and, by pip, wheels of onnxruntime, numpy,
tokenizers and msgspec in the versions that are installed here. About 150 MB on disk.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from farthing.forge.proof.errors import ProofUnavailable
from farthing.forge.recipe import key_of

DEBIAN_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
WHEELS = ("onnxruntime", "numpy", "tokenizers", "msgspec")
DEBIAN_NAMES = {"aarch64": "arm64", "x86_64": "amd64"}
APT_SOURCES = ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")
# One step of either tool; a slow line needs minutes for 100 MB.
DOWNLOAD_TIMEOUT_S = 1200

# The kernel's account of the processor. Without it the emulated process reads this machine's, and
# ONNX Runtime's library cpuinfo takes the caches of another architecture for its own: it writes
# through a null pointer while it is imported. One core, the processor of Graviton2.
SYSTEM_FILES = {
    "sys/devices/system/cpu/possible": "0\n",
    "sys/devices/system/cpu/present": "0\n",
    "sys/devices/system/cpu/online": "0\n",
}
PROC_CPUINFO = {
    "aarch64": """processor\t: 0
Features\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1
""",
}


@dataclass(frozen=True)
class Environment:
    """The folders of one environment: a system's root, installed packages, and bytecode."""

    root: Path
    packages: Path
    bytecode: Path

    @property
    def python(self) -> Path:
        """The interpreter, by the name that is no link out of the root."""
        return (self.root / "usr/bin/python3").resolve()


def provide(machine: str, cache: Path) -> Environment:
    """The environment for `machine` (as `uname -m` says), made in `cache` if it is not there.

    :raises ProofUnavailable: if a tool is missing or a download failed, naming which.
    """
    versions = {name: importlib.metadata.version(name) for name in WHEELS}
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    files = dict(SYSTEM_FILES)
    if machine in PROC_CPUINFO:
        files["proc/cpuinfo"] = PROC_CPUINFO[machine]
    folder = cache / f"{machine}-{key_of(machine, suite, DEBIAN_PACKAGES, versions, files)}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".environment-") as temporary:
            whole = Path(temporary) / "whole"
            made = in_folder(whole)
            whole.mkdir()
            unpack_system(made.root, machine, suite)
            for name, content in files.items():
                (made.root / name).parent.mkdir(parents=True, exist_ok=True)
                (made.root / name).write_text(content, encoding="utf-8")
            install_wheels(made, machine, versions)
            whole.rename(folder)
    return in_folder(folder)


def in_folder(folder: Path) -> Environment:
    """The environment that `folder` holds, or is to hold."""
    return Environment(folder / "root", folder / "packages", folder / "bytecode")


def unpack_system(root: Path, machine: str, suite: str) -> None:
    """Debian's Python and the C and C++ libraries for `machine`, unpacked below `root`."""
    mmdebstrap = shutil.which("mmdebstrap")
    sources = next(filter(Path.is_file, map(Path, APT_SOURCES)), None)
    if mmdebstrap is None or sources is None or not suite:
        raise ProofUnavailable(
            f"An environment for {machine} was asked for, which is unpacked from Debian packages; "
            "mmdebstrap or this machine's apt sources are missing. Install the Debian package "
            f"mmdebstrap, or skip {machine} explicitly and publish without its proof."
        )
    command = [
        *(mmdebstrap, "--quiet", "--variant=extract"),
        f"--architectures={DEBIAN_NAMES[machine]}",
        f"--include={','.join(DEBIAN_PACKAGES)}",
        "--dpkgopt=path-exclude=/usr/share/*",
        *(suite, str(root), str(sources)),
    ]
    download(command, f"Debian packages of {machine}")


def install_wheels(made: Environment, machine: str, versions: dict[str, str]) -> None:
    """The wheels that serve, for `machine` and the environment's Python."""
    version = made.python.name.removeprefix("python")
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in (17, 27, 28, 34)]
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", "--no-compile", "--target", str(made.packages)),
        *("--implementation", "cp", "--python-version", version),
        *(word for name in platforms for word in ("--platform", name)),
        *(f"{name}=={number}" for name, number in versions.items()),
    ]
    download(command, f"wheels of {machine} for Python {version}")


def download(command: list[str], what: str) -> None:
    """Runs a downloading tool to its end.

    :raises ProofUnavailable: if it fails, with its last words.
    """
    try:
        done = subprocess.run(  # noqa: S603 - apt and pip, by names that stand in this file
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        said = f"it took longer than {DOWNLOAD_TIMEOUT_S} s"
    else:
        if done.returncode == 0:
            return
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    raise ProofUnavailable(
        f"{what} were asked for and could not be had: {said}. Correct that and run again, or "
        "skip the processor explicitly and publish without its proof."
    )
