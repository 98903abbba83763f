"""The best labels of many rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from farthing.inference.heads import Floats


def best_labels(scores: Floats, top_k: int) -> tuple[NDArray[np.intp], Floats]:
    """Places and scores of the best labels, best first, [rows, top_k].

    Of equal scores the earlier label comes first, as in an answer over HTTP.
    """
    if top_k == 1:
        places = scores.argmax(axis=1)[:, None]
    else:
        places = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    return places, np.take_along_axis(scores, places, axis=1)
