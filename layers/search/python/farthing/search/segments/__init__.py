"""Segments: the documents of an index, packed for searching and never changed."""

from farthing.search.segments.documents import Document
from farthing.search.segments.forward import Forward
from farthing.search.segments.groups import quantise
from farthing.search.segments.segment import (
    DELETIONS_FOLDER,
    SEGMENTS_FOLDER,
    Segment,
    encode_deletions,
)
from farthing.search.segments.writer import SEGMENT_ROWS_MAX, SegmentWriter

__all__ = [
    "DELETIONS_FOLDER",
    "SEGMENTS_FOLDER",
    "SEGMENT_ROWS_MAX",
    "Document",
    "Forward",
    "Segment",
    "SegmentWriter",
    "encode_deletions",
    "quantise",
]
