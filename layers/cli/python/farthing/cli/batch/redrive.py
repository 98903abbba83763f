"""`farthing batch redrive`: what could not be done, why, and once more."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.options import AsJson, require_extra
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.batch.events.queue import Received

# Long enough to look at them all; then they are there again.
HOLD_S = 60
ALL = 1_000_000


def redrive(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            envvar="FARTHING_BATCH_DEAD_LETTERS",
            help="URL of the dead-letter queue (SQS).",
            show_default=False,
        ),
    ] = "",
    to: Annotated[
        str,
        typer.Option(
            "--to",
            envvar="FARTHING_BATCH_QUEUE",
            help="URL of the queue that they go back to.",
            show_default=False,
        ),
    ] = "",
    most: Annotated[int, typer.Option("--max", min=1, help="How many at most.")] = ALL,
    only_list: Annotated[
        bool, typer.Option("--list", help="Say what is there and why, and leave it there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send messages that could not be done back to their queue, and say why they could not.

    Put right what the reasons name first: a file that is no gzip will not be one the second time.
    Rows that were scored before stay so, and are not billed again.

    Try: [b]farthing batch redrive --from https://sqs.…/dead-letters --list[/b]
    """
    require_extra("batch", ("boto3",))
    from farthing.batch.events import queue

    if not source or not (to or only_list):
        missing = ("--from", "FARTHING_BATCH_DEAD_LETTERS")
        if source:
            missing = ("--to", "FARTHING_BATCH_QUEUE")
        raise SettingsError(
            f"No queue is named with {missing[0]}. Give its URL there, or in {missing[1]}."
        )
    dead_letters, target = queue.Queue(source), queue.Queue(to)
    found: list[Received] = []
    for message in queue.waiting_in(dead_letters, most, HOLD_S):
        if not only_list:
            queue.redrive(dead_letters, target, message)
        found.append(message)
    if only_list:
        for message in found:
            dead_letters.hold(message, 0)
    _show(found, only_list=only_list, as_json=as_json)


def _show(found: list[Received], *, only_list: bool, as_json: bool) -> None:
    """Says of each what was said of it; its body stays unsaid, since it is not ours."""
    told = [
        {
            "id": message.id,
            "error": message.attributes.get("error", ""),
            "reason": message.attributes.get("reason", "given up by the queue itself"),
            "source": message.attributes.get("source", ""),
            "redriven": not only_list,
        }
        for message in found
    ]
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    for one in told:
        console.print(f"{one['error'] or '?'}: {one['reason']}")
    verb = "lie there" if only_list else "were sent back"
    console.print(f"Messages that {verb}: {len(found)}.")
