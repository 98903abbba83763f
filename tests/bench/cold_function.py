"""A fresh process: a function under Lambda, from its start to its first priced answer.

Run by `search_cold`. Arguments: the function's name, the event as JSON. Prints the moment of the
answer, in seconds on the clock that all processes of the machine share.
"""

import sys
from importlib import import_module
from time import CLOCK_MONOTONIC, clock_gettime

import msgspec


class Context:
    """What the runtime tells of an invocation."""

    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def main() -> None:
    name, event = sys.argv[1], msgspec.json.decode(sys.argv[2])
    response = import_module(f"functions.{name}.app").handler(event, Context())
    answered = clock_gettime(CLOCK_MONOTONIC)
    body = msgspec.json.decode(response["body"])
    if response["statusCode"] != 200 or not body["charge"]["lines"]:
        sys.exit(f"no priced answer: {response}")
    print(answered)


main()
