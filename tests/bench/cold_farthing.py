"""A fresh process: the embed function under Lambda, from import to its first priced answer.

Run by `cold`. Arguments: the event as JSON and, optionally, `split`. Prints marks as JSON:
seconds on the clock that all processes of the machine share.
"""

from time import CLOCK_MONOTONIC, clock_gettime

MARKS = {"interpreter": clock_gettime(CLOCK_MONOTONIC)}

import sys  # noqa: E402

import msgspec  # noqa: E402


class Context:
    """What the runtime tells of an invocation."""

    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def mark(name: str) -> None:
    MARKS[name] = clock_gettime(CLOCK_MONOTONIC)


def mark_loading() -> None:
    """Imports everything first, then lets the parts of loading leave their marks."""
    import farthing.serving.platforms.aws_lambda
    from farthing.inference import tasks

    mark("imports")
    opened, encoder, session = tasks.Bundle.open, tasks.open_encoder, tasks.Session

    def marked(name, work):
        def run(*arguments):
            result = work(*arguments)
            mark(name)
            return result

        return run

    tasks.Bundle.open = marked("bundle", opened)
    tasks.open_encoder = marked("tokenizer", encoder)
    tasks.Session = marked("session", session)
    assert farthing.serving.platforms.aws_lambda


def main() -> None:
    event = msgspec.json.decode(sys.argv[1])
    if sys.argv[2:] == ["split"]:
        mark_loading()
    from functions.embed.app import handler

    mark("service")
    response = handler(event, Context())
    mark("answer")
    body = msgspec.json.decode(response["body"])
    if response["statusCode"] != 200 or not body["charge"]["lines"]:
        sys.exit(f"no priced answer: {response}")
    sys.stdout.buffer.write(msgspec.json.encode(MARKS))


main()
