"""Writes an image's bill of materials (CycloneDX 1.6), checked against the standard's schema.

Run inside the image that builds: `sbom.py FUNCTION OUT`, beside `out` (the wheels), `models`,
`indexes` and pyproject.toml. Wheels are described by cyclonedx-py from their own metadata; the
bundles, the indexes and the function itself are added here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

FILE = "farthing.cdx.json"
EPOCH_S = 315_532_800


def main(function: str, out: Path) -> None:
    # cyclonedx-py describes an environment: one that has these wheels and nothing else.
    venv.create("env", with_pip=False)
    [site_packages] = Path("env").glob("lib/python*/site-packages")
    site_packages.rmdir()
    site_packages.symlink_to(Path("out").resolve())
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--spec-version", "1.6"]
    command += ["--output-reproducible", "--output-format", "JSON", "env"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
    bill = json.loads(done.stdout)
    bill.setdefault("metadata", {})["component"] = _function(function)
    bundles = [_bundle(file) for file in sorted(Path("models").glob("*/manifest.json"))]
    indexes = [_index(file) for file in sorted(Path("indexes").glob("*/manifest.json"))]
    bill["components"] = [*bill.get("components", []), *bundles, *indexes]
    text = json.dumps(bill, indent=1, sort_keys=True, ensure_ascii=False)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        sys.exit(f"farthing: the bill of materials is no CycloneDX 1.6: {problem}")
    out.mkdir()
    (out / FILE).write_text(text + "\n", encoding="utf-8")
    for path in (out / FILE, out):
        os.utime(path, (EPOCH_S, EPOCH_S))


def _function(function: str) -> dict[str, Any]:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "type": "application",
        "bom-ref": f"farthing-{function}",
        "name": f"farthing-{function}",
        "version": project["version"],
        "description": project["description"],
        "licenses": [{"license": {"id": project["license"]}}],
    }


def _bundle(file: Path) -> dict[str, Any]:
    """A bundle as a component: its licence, its origin and the digest of each of its files."""
    manifest = json.loads(file.read_bytes())
    files = [
        {
            "type": "file",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": entry["sha256"]}],
        }
        for name, entry in sorted(manifest["files"].items())
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"bundle:{manifest['name']}",
        "name": manifest["name"],
        "description": manifest["origin"],
        "licenses": [{"license": {"name": manifest["licence"]}}],
        "components": files,
    }


def _index(file: Path) -> dict[str, Any]:
    """An index as a component: its licence, and the digest of each of its segments' accounts."""
    manifest = json.loads(file.read_bytes())
    segments = [
        {
            "type": "file",
            "name": f"segments/{entry['id']}/segment.json",
            "hashes": [{"alg": "SHA-256", "content": entry["digest"]}],
        }
        for entry in manifest["segments"]
    ]
    return {
        "type": "data",
        "bom-ref": f"index:{manifest['name']}",
        "name": manifest["name"],
        "description": manifest.get("origin") or "A search index",
        "licenses": [{"license": {"name": manifest.get("licence") or "not stated"}}],
        "components": segments,
    }


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
