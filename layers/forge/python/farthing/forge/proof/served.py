"""The process under an emulator: answers texts as a server would, on one thread.

    python -m farthing.forge.proof.served FOLDER

FOLDER has `texts.json` and `saturation.onnx`, and names the bundle in `bundle.txt`; written into
it are `answers.npy`, [texts, dims] in float32, and `facts.json`. Nothing of the forge's own
dependencies is imported: the other architecture has only those that serve.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort

from farthing.inference.bundle import Bundle
from farthing.inference.tasks import open_task


class Facts(msgspec.Struct, frozen=True):
    """What the process found out about its processor; `saturates` is explained in `saturation`."""

    machine: str
    saturates: bool


def main(folder: Path) -> None:
    """Reads `folder`, answers, writes what it got."""
    texts = msgspec.json.decode((folder / "texts.json").read_bytes(), type=list[str])
    bundle = Bundle.open(Path((folder / "bundle.txt").read_text(encoding="utf-8")))
    model = open_task(bundle, threads=1)
    np.save(folder / "answers.npy", model.compute(model.prepare(texts)))
    facts = Facts(platform.machine(), saturates(folder / "saturation.onnx"))
    (folder / "facts.json").write_bytes(msgspec.json.encode(facts))


def saturates(graph: Path) -> bool:
    """Whether the product of largest bytes comes out smaller than it is."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    rows = np.full((4, 64), 255, dtype=np.uint8)
    product = session.run(None, {"x": rows})[0]
    return bool((product != 255 * 127 * 64).any())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
