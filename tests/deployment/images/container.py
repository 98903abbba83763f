"""A container as Lambda would run it: read-only, a fixed user, little CPU, memory with an end."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Bounds for a machine that is busy with other things; nothing here measures speed.
COMMAND_S = 600
START_S = 300

# The image has no shell and no curl, but it has Python.
ASK = """
import json, sys, urllib.error, urllib.request
url, body = sys.argv[1], sys.argv[2].encode() or None
request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
try:
    answer = urllib.request.urlopen(request, timeout=500)
except urllib.error.HTTPError as refused:
    answer = refused
print(json.dumps([answer.status, answer.read().decode()]))
"""


def engine_says(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    assert done.returncode == 0, f"{' '.join(command[:3])}: {done.stderr}"
    return done.stdout


class Container:
    """A detached container, with no network but its own loopback unless told otherwise."""

    def __init__(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        environ: Mapping[str, str] | None = None,
        entrypoint: str = "",
        mount: str = "",
        network: str = "none",
        cpus: float = 0.58,
        memory_mb: int = 1024,
    ) -> None:
        arguments = ["--read-only", f"--network={network}", f"--cpus={cpus}"]
        arguments += [f"--memory={memory_mb}m", f"--memory-swap={memory_mb}m"]
        arguments += [f"--env={name}={value}" for name, value in (environ or {}).items()]
        arguments += [f"--volume={mount}:ro"] if mount else []
        arguments += [f"--entrypoint={entrypoint}"] if entrypoint else []
        self.id = engine_says("podman", "run", "--detach", *arguments, image, *command).strip()

    def python(self, code: str, *arguments: str) -> str:
        """What a second process in the container prints."""
        return engine_says("podman", "exec", self.id, "python3", "-c", code, *arguments)

    def ask(self, url: str, body: str = "") -> tuple[int, Any]:
        """Status and JSON of an answer; tried until something listens."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                status, text = json.loads(self.python(ASK, url, body))
                return status, json.loads(text)
            except AssertionError as refused:
                if "Connection refused" not in str(refused) or time.monotonic() > deadline:
                    raise AssertionError(f"{refused}\nThe container said:\n{self.log}") from None
            time.sleep(0.2)

    @property
    def log(self) -> str:
        done = subprocess.run(
            ["podman", "logs", self.id], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def stop(self) -> int:
        """Exit status after SIGTERM; that of a kill where it has not ended by itself in 40 s."""
        engine_says("podman", "stop", "--time", "40", self.id)
        return int(engine_says("podman", "inspect", "--format={{.State.ExitCode}}", self.id))

    def remove(self) -> None:
        subprocess.run(
            ["podman", "rm", "--force", "--time", "0", self.id], capture_output=True, check=False
        )
