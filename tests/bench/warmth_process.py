"""A fresh process: a function under Lambda, its first calls, its pings and its snapshot's hooks.

Run by `warmth`. Arguments: the function's name, the event as JSON, and `unwarmed` where it is to
start without the inference that every start makes. Prints JSON, in milliseconds.
"""

import json
import sys
from importlib import import_module
from time import perf_counter

from farthing.serving import snapshots
from farthing.serving.service import Service

CALLS, PINGS = 6, 200


class Context:
    """What the runtime tells of an invocation."""

    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def main() -> None:
    name, event = sys.argv[1], json.loads(sys.argv[2])
    if "unwarmed" in sys.argv:
        Service.warm_up = lambda service: None
    app = import_module(f"functions.{name}.app").app
    field = next(iter(event))
    # Texts of one length that no cache has.
    texts = [{field: f"{event[field]} {call}"} for call in range(CALLS)]
    calls = [_timed_ms(lambda text=text: app.handler(text, Context())) for text in texts]
    pings = [_timed_ms(lambda: app.handler({"farthing": "ping"}, Context())) for _ in range(PINGS)]
    before = _timed_ms(lambda: snapshots.prepare(app.service))
    after = _timed_ms(lambda: snapshots.resume(app.service))
    print(json.dumps({"calls": calls, "pings": pings, "before": before, "after": after}))


def _timed_ms(work) -> float:
    started = perf_counter()
    work()
    return (perf_counter() - started) * 1000


main()
