"""A service that keeps what may wait, and its ledger, in one folder."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from farthing.billing.recorders import spool
from farthing.serving.service import Service
from farthing.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.serving.jobs.store import JobStore


class KeepingService:
    """One process with its ledger; a second one on the same folder is another worker."""

    def __init__(self, folder: Path, models: Path, **overrides: object) -> None:
        self._ledger = folder / "ledger.db"
        self.folder = folder / "jobs"
        self.settings = read_settings(
            {},
            **{
                "models": str(models),
                "model": ["product-classifier", "all-minilm-l6-v2"],
                "jobs": str(self.folder),
                "ledger": f"sqlite:///{self._ledger}",
                "spool": str(folder / "spool"),
                "recorder": "spool",
                **overrides,
            },
        )
        self.service = Service(["classify", "embed"], self.settings)
        self.client = TestClient(self.service.app)
        store = self.service.pipeline.desk.store
        assert store is not None
        self.store: JobStore = store

    def stop(self) -> None:
        """The ledger has everything afterwards, however long a slow machine takes over it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spool, "CLOSE_S", 60.0)
            self.service.stop()

    def entries(self) -> list[dict[str, Any]]:
        """What the ledger has in the end, read as any other program would."""
        self.stop()
        with sqlite3.connect(self._ledger) as database:
            rows = database.execute(
                "SELECT writer, number, tenant, body FROM entries ORDER BY writer, number"
            ).fetchall()
        database.close()
        return [
            {"writer": writer, "number": number, "tenant": tenant, **json.loads(body)}
            for writer, number, tenant, body in rows
        ]

    def sold(self) -> list[dict[str, Any]]:
        """The entries that are not the house's."""
        return [one for one in self.entries() if one["tenant"] != "house"]
