"""An index that is served while new versions of it are published."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from farthing.errors import StartupError
from farthing.search.local_copy import materialise
from farthing.search.manifest import MANIFEST_FILE
from farthing.search.publishing import read_manifest
from farthing.storage import LocalStorage, open_storage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farthing.search.engine import Engine
    from farthing.settings import Settings

log = logging.getLogger("farthing")

# Frozen between calls, so that nothing could look for a new version there but a call.
FROZEN_HOSTS = frozenset({"lambda", "fc"})
# What such a call gives to it; a storage that does not answer costs no more once in a while.
LOOK_S_MAX = 2.0


class Opened:
    """An engine that is closed once no call holds it any more."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __del__(self) -> None:
        self.engine.close()


class WatchedIndex:
    """The engine of the newest version that could be opened.

    A server looks for a new one every `settings.index_poll_s` seconds (0: never) on a thread of its
    own; where instances are frozen between calls, the first call after so long looks, and goes on
    with what there is after `LOOK_S_MAX` seconds. What cannot be reached or opened changes nothing:
    the old version goes on.
    """

    def __init__(
        self,
        address: str,
        engine: Engine,
        open_engine: Callable[[Path], Engine],
        settings: Settings,
    ) -> None:
        self.address = address
        self.storage = open_storage(address)
        self._cache = settings.index_cache
        self._open_engine = open_engine
        self._opened = Opened(engine)
        self._etag: str | None = None
        self._looking = threading.Lock()
        self._poll_s = settings.index_poll_s
        self._looked_s = time.monotonic()
        self._is_asked = bool(self._poll_s) and settings.host in FROZEN_HOSTS
        if self._poll_s and not self._is_asked:
            start_thread(self._look_forever)

    def current(self) -> Opened:
        """The engine to answer from; whoever holds the result may go on using it."""
        if self._is_asked and time.monotonic() - self._looked_s >= self._poll_s:
            self._looked_s = time.monotonic()
            start_thread(self.look).join(LOOK_S_MAX)
        return self._opened

    def look(self, *, wait: bool = False) -> None:
        """Opens the published version, where it is another.

        A look that is on its way suffices, unless `wait` asks for one that begins now.
        """
        if not self._looking.acquire(blocking=wait):
            return
        try:
            self._open_published()
        except (StartupError, OSError) as error:
            log.warning("index %s stays as it is: %s", self._opened.engine.name, error)
        finally:
            self._looking.release()

    def _open_published(self) -> None:
        etag = self.storage.etag(MANIFEST_FILE)
        if etag is None or etag == self._etag:
            return
        folder = materialise(self.address, self._cache)
        if read_manifest(LocalStorage(folder)) != self._opened.engine.manifest:
            self._opened = Opened(self._open_engine(folder))
        self._etag = etag

    def _look_forever(self) -> None:
        while True:
            time.sleep(self._poll_s)
            self.look()


def start_thread(work: Callable[[], object]) -> threading.Thread:
    """A thread that does the work, and that the process does not wait for when it ends."""
    thread = threading.Thread(target=work, name="farthing-index", daemon=True)
    thread.start()
    return thread
