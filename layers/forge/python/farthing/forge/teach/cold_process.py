"""A fresh process: from nothing to a teacher's first answer, then its memory. Run by `cold`.

Arguments: the folder of the weights, the kind of transformers class. Input: one text. Output: the
seconds of CLOCK_MONOTONIC at the first answer, and the largest resident set in bytes, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_gettime

PROCESS_STATUS = Path("/proc/self/status")


def main() -> None:
    """Starts as a plain server of the teacher would: torch, transformers, one thread, float32."""
    import torch
    import transformers
    from tokenizers import Tokenizer

    folder, kind = sys.argv[1:]
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    model = getattr(transformers, kind).from_pretrained(folder, use_safetensors=True).eval()
    ids = torch.tensor([tokenizer.encode(sys.stdin.read()).ids])
    with torch.inference_mode():
        model(input_ids=ids)
    answered = clock_gettime(CLOCK_MONOTONIC)
    peak = next(
        int(line.split()[1]) * 1024
        for line in PROCESS_STATUS.read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    sys.stdout.write(json.dumps({"answered": answered, "peak_bytes": peak}))


main()
