"""What lies where a job's output is to go, and where it must not lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farthing.batch.errors import JobInvalid
from farthing.batch.job import JOB_FILE, MANIFEST_FILE, STATE_FOLDER, part_name, rejected_name
from farthing.storage import local_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.batch.job import OutFormat
    from farthing.storage import Storage

OUTPUT: Final = re.compile(r"(part|rejected)-\d{5,}\.(jsonl|parquet)|manifest\.json")


def has_output(storage: Storage) -> bool:
    """Whether parts, rejected rows, a manifest or a job's state lie there."""
    names = storage.names()
    return any(OUTPUT.fullmatch(name) or name.startswith(STATE_FOLDER) for name in names)


def clear(storage: Storage) -> None:
    """Removes a job's files, and nothing else: first what says that it ended, last what it was.

    Cut off in between, it can be done again, and meanwhile nobody takes the rest for a whole.
    """
    storage.delete(MANIFEST_FILE)
    outputs = [name for name in storage.names() if OUTPUT.fullmatch(name)]
    states = [name for name in storage.names(STATE_FOLDER) if name != JOB_FILE]
    for name in [*outputs, *states, JOB_FILE]:
        storage.delete(name)


def whole(address: str) -> str:
    """The address from anywhere: a folder's without the folder that this process is in.

    Raises `SettingsError` for an address of a kind that nothing is kept at.
    """
    folder = local_folder(address)
    return address if folder is None else str(folder.absolute())


def refuse_inside(uris: Sequence[str], out: str, out_format: OutFormat) -> None:
    """Raises `JobInvalid` where the output would be among the inputs of the same job run again."""
    from fsspec.utils import glob_translate

    folder = _plain(out)
    written = [f"{folder}/{name}" for name in (part_name(0, out_format), rejected_name(0))]
    for uri in uris:
        pattern = re.compile(glob_translate(_plain(uri)))
        if any(pattern.match(name) for name in written):
            raise JobInvalid(
                f"The output is to go to {folder}, whose files would be among the inputs of "
                f"{_bare(uri)}. Give another place for the output."
            )


def _plain(uri: str) -> str:
    """What two addresses of a place share; a folder's is `..`-free and absolute."""
    bare = _bare(uri)
    scheme, _, path = bare.rpartition("://")
    return bare if scheme not in {"", "file"} else str(Path(path).expanduser().resolve())


def _bare(uri: str) -> str:
    return re.split(r"\?(?:region|endpoint)=", uri, maxsplit=1)[0].rstrip("/")
