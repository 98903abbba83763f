"""The batch function as a program: one event of a file and done, or a queue's worker.

    python3 -m functions.batch.app [FILE]
    python3 -m functions.batch.app --queue [URL] [--on-demand URL] [--exit-when-empty S] [--spot]

A JobSink puts its event into a file, as JSON: https://knative.dev/docs/eventing/sinks/job-sink
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farthing.batch.errors import JobInvalid
from farthing.batch.events.calls import call_of
from farthing.batch.events.poison import is_permanent
from farthing.batch.interruption import Stop, signals, spot_notices
from farthing.errors import FarthingError, SettingsError

if TYPE_CHECKING:
    from farthing.batch.events.function import BatchFunction

EVENT_FILE: Final = Path("/etc/jobsink-event/event")
# sysexits.h: try again, which a Job does; what is refused would be refused again.
REFUSED, TRY_AGAIN = 1, 75
# A Job's pod ends by itself after so long, or after FARTHING_TIMEOUT_MS; the next one goes on.
JOB_MS_MIN: Final = 900_000


def main(function: BatchFunction, arguments: list[str] | None = None) -> int:
    """0 when done, 1 with a sentence where another try is in vain, 75 where it may help."""
    asked = _parser().parse_args(arguments)
    stop = Stop()
    with ExitStack() as stack:
        stack.enter_context(signals(stop))
        if asked.spot:
            stack.enter_context(spot_notices(stop))
        stack.callback(function.close)
        try:
            if asked.queue is None:
                _one(function, asked.event, stop)
            else:
                _poll(function, asked, stop)
        except FarthingError as error:
            sys.stderr.write(f"farthing: {error}\n")
            return REFUSED if is_permanent(error) or isinstance(error, SettingsError) else TRY_AGAIN
    return 0


def _one(function: BatchFunction, file: Path, stop: Stop) -> None:
    try:
        event = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise JobInvalid(
            f"There is no event to read in {file} ({type(error).__name__}). Name its file, or let "
            "a JobSink mount it there."
        ) from None
    timeout_ms = max(function.settings.timeout_ms, JOB_MS_MIN)
    function.run(event, call_of(timeout_ms, stop=stop))


def _poll(function: BatchFunction, asked: argparse.Namespace, stop: Stop) -> None:
    from farthing.batch.events.polling import Poller
    from farthing.batch.events.queue import Queue

    url = asked.queue or function.settings.batch_queue
    if not url:
        raise SettingsError(
            "No queue is named. Give its URL with --queue, or set FARTHING_BATCH_QUEUE."
        )
    on_demand = Queue(asked.on_demand) if asked.on_demand else None
    Poller(function, Queue(url), stop, on_demand).run(asked.exit_when_empty)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="functions.batch.app", description="Score every row of the files that arrive, once."
    )
    parser.add_argument(
        "event", nargs="?", type=Path, default=EVENT_FILE, help="a file with the event"
    )
    parser.add_argument("--queue", nargs="?", const="", help="take messages of this SQS queue")
    parser.add_argument(
        "--on-demand", metavar="URL", help="the queue for what was interrupted too often here"
    )
    parser.add_argument(
        "--exit-when-empty",
        metavar="S",
        type=int,
        help="end when no message came for so many seconds; else at SIGTERM only",
    )
    parser.add_argument(
        "--spot", action="store_true", help="ask the cloud whether this machine will be taken away"
    )
    return parser
