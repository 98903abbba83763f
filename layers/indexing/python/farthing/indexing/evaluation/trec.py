"""Rankings in the format of TREC's runs, for trec_eval and what reads as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import numpy as np

from farthing.tables.chunk import DataInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.indexing.evaluation.queries import Query
    from farthing.search.engine import Hit


class TrecRun:
    """Writes `query Q0 document rank score tag`, a line for each hit."""

    def __init__(self, file: TextIO, tag: str) -> None:
        self._file = file
        self._tag = tag

    def write(self, query: Query, hits: Sequence[Hit]) -> None:
        """The hits of a query, best first.

        trec_eval ranks by score as a float32 and equals by id, so that equals are set apart by
        the least there is: it then sees them in our order.

        :raises DataInvalid: for an id with a space in it, which the format cannot hold.
        """
        above = np.float32(np.inf)
        for rank, hit in enumerate(hits, 1):
            if len(hit.id.split()) != 1 or len(query.id.split()) != 1:
                raise DataInvalid(
                    "A TREC run separates by spaces, and an id here has a space in it. "
                    "Leave out --run, or index by ids without spaces."
                )
            score = min(np.float32(hit.score), np.nextafter(above, np.float32(-np.inf)))
            self._file.write(f"{query.id} Q0 {hit.id} {rank} {float(score):.9g} {self._tag}\n")
            above = score
