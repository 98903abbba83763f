"""A peer of the Ray engine: Ray Data's own `map_batches`, with the same bundle in its actors.

Run by `batch_ray`. Arguments: the folder with CSV files, a folder to write to, the bundle's
folder, how many actors, how many rows they get at once. Prints JSON: seconds from a running Ray to
the last written row.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data

from farthing.inference.bundle import Bundle
from farthing.inference.tasks import open_task


class Model:
    def __init__(self, bundle: str) -> None:
        self.model = open_task(Bundle.open(Path(bundle)))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        values = self.model.compute(self.model.prepare(batch["text"].tolist()))
        if self.model.task == "embed":
            return {"id": batch["id"], "embedding": values}
        labels = np.array(self.model.labels)[values.argmax(axis=1)]
        return {"id": batch["id"], "label": labels, "score": values.max(axis=1)}


def main() -> None:
    source, out, bundle, actors, rows = sys.argv[1:]
    # Twice the cores that actors take: reading and writing have tasks of their own, which the
    # system may run whenever an actor waits.
    ray.init(
        "local",
        num_cpus=2 * int(actors),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    started_s = time.monotonic()
    scored = ray.data.read_csv(source).map_batches(
        Model,
        fn_constructor_args=(bundle,),
        batch_size=int(rows),
        compute=ray.data.ActorPoolStrategy(size=int(actors)),
        num_cpus=1,
    )
    if bundle.endswith("minilm-l6-v2"):
        scored.write_parquet(out)
    else:
        scored.write_json(out)
    taken_s = time.monotonic() - started_s
    ray.shutdown()
    print(json.dumps({"taken_s": taken_s}))


if __name__ == "__main__":
    main()
