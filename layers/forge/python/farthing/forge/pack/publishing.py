"""A finished folder takes the place of an older one, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from farthing.forge.storage import room_for


def publish(built: Path, target: Path) -> None:
    """Puts the finished folder `built` where `target` is, replacing an older one as a whole.

    What fails half-way leaves the older folder as it was, and nothing beside it.

    :raises DiskFull: if there is no room for both.
    """
    with room_for(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as aside:
            fresh, old = Path(aside) / "new", Path(aside) / "old"
            _copy(built, fresh)
            if target.exists():
                target.rename(old)
            try:
                fresh.rename(target)
            except OSError:
                if old.exists():
                    old.rename(target)
                raise


def _copy(built: Path, fresh: Path) -> None:
    """As shutil.copytree, which hides what went wrong in a list of its own."""
    fresh.mkdir()
    for file in sorted(built.rglob("*")):
        place = fresh / file.relative_to(built)
        if file.is_dir():
            place.mkdir()
        else:
            shutil.copyfile(file, place)
