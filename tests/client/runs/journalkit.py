"""Journals made and read back in tests."""

from pathlib import Path

from runstone.client.runs.records import scan
from runstone.client.runs.segment import Segment, found_in


def read_back(directory: Path) -> list[tuple[int, bytes]]:
    """What another process finds in a journal's directory."""
    segments = [Segment.open(path) for path in found_in(directory)]
    try:
        return [(record.kind, record.payload) for record in scan(segments, 0)]
    finally:
        for segment in segments:
            segment.close()
