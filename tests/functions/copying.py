"""An environment that is copied as a snapshot copies it: memory and all, without being told.

    python -m tests.functions.copying FUNCTION COPIES CALLS [--untold]

Answers one call, has the hooks before a snapshot run, is copied by the system's own fork, of which
Python knows nothing, and has each copy run the hooks after a restore and answer calls. Standard
output has the entries' lines, and for each copy a line of JSON: what it drew, and of each answer
whether it was cold.
With `--untold` no hook runs, as if nothing were registered.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import random
import sys

from awslambdaric import lambda_runtime_hooks_runner as runner

FIELDS = {"classify": "inputs", "embed": "input"}


class Context:
    aws_request_id = "attempt"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def main(function: str, copies: int, calls: int, *, is_told: bool) -> None:
    app = importlib.import_module(f"functions.{function}.app").app
    field = FIELDS[function]
    app.handler({field: "before the snapshot"}, Context())
    if is_told:
        runner.run_before_snapshot()
    system = ctypes.PyDLL(None)
    children = []
    for _ in range(copies):
        child = system.fork()
        if child == 0:
            if is_told:
                runner.run_after_restore()
            answers = [app.handler({field: f"call {call}"}, Context()) for call in range(calls)]
            cold = [answer["usage"]["cold"] for answer in answers if "usage" in answer]
            told = {"random": random.random(), "cold": cold}
            # By one write, so that the copies' lines stay whole.
            os.write(1, json.dumps(told).encode() + b"\n")
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), is_told="--untold" not in sys.argv)
