"""The command line within the test's own process: as it is typed, without starting Python anew."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import NamedTuple
from unittest import mock

from farthing.cli.main import main


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def typed(*arguments: str) -> Done:
    """What the command printed, and how it ended; settings of the surroundings are not seen."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING")}
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["farthing", *arguments]),
        mock.patch.dict(os.environ, {**clean, "COLUMNS": "110"}, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    if isinstance(code, str):  # what Python prints to stderr, and exits with 1
        return Done(1, out.getvalue(), err.getvalue() + code)
    return Done(int(str(code or 0)), out.getvalue(), err.getvalue())
