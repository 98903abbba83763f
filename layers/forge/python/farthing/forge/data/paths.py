"""Where a recipe's files are."""

from __future__ import annotations

import os
from pathlib import Path

from farthing.errors import StartupError

DATA_ROOT_VARIABLE = "FARTHING_DATA"


class DataMissing(StartupError):
    """A file that a recipe names is not there."""


def data_root() -> Path:
    """The folder that relative names start from: that of FARTHING_DATA, else the working one.

    :raises DataMissing: if FARTHING_DATA names no folder.
    """
    value = os.environ.get(DATA_ROOT_VARIABLE, "")
    root = Path(value)
    if value and not root.is_dir():
        raise DataMissing(
            f"{DATA_ROOT_VARIABLE} is {value!r}, which is not a folder; "
            "set it to the folder that holds the data sets."
        )
    return root


def locate(file: str) -> Path:
    """The path of a file as a recipe names it: absolute, or relative to `data_root`.

    :raises DataMissing: if there is no such file.
    """
    path = data_root() / file
    if not path.is_file():
        advice = (
            f"correct the name, or {DATA_ROOT_VARIABLE}"
            if os.environ.get(DATA_ROOT_VARIABLE)
            else f"set {DATA_ROOT_VARIABLE} to the folder that holds the data sets, "
            "or give an absolute path"
        )
        raise DataMissing(f"{path} was asked for and is not a file; {advice}.")
    return path
