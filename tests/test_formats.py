"""The documented formats are the ones in the code."""

from pathlib import Path

from runstone.storage.columns import layout, manifest
from runstone.storage.tables import FORMAT_VERSION, TABLES

INDEX = (Path(__file__).parents[1] / "docs" / "format" / "index.md").read_text()


def documented() -> dict[str, tuple[str, ...]]:
    rows = [line.strip("| ").split(" | ") for line in INDEX.splitlines() if line.startswith("| ")]
    return {row[1].strip("`"): tuple(row) for row in rows if len(row) == 5 and row[0].isdigit()}


def test_every_table_is_documented_as_it_is():
    rows = documented()
    assert set(rows) == set(TABLES)
    for table in TABLES.values():
        number, _, group, key, value = rows[table.name]
        assert (int(number), group, key.strip("`")) == (table.number, table.group, table.key.layout)
        fields = getattr(table.value, "__struct_fields__", None)
        if fields is not None:
            assert value == f"{table.value.__name__} [{', '.join(fields)}]"


def test_the_format_version_is_documented():
    assert f"Format version {FORMAT_VERSION}." in INDEX


def test_the_column_format_is_documented():
    text = (Path(__file__).parents[1] / "docs" / "format" / "columns.md").read_text()
    assert f"Version {layout.VERSION}." in text and layout.VERSION == manifest.VERSION
    assert layout.MAGIC.decode() in text and manifest.MAGIC.decode() in text
    assert f"| lanes | {layout.LANE.size} each |" in text
    assert f"| … | {layout.PAGE.size} · pages | the page table |" in text
    assert (
        f"| {layout.HEADER.size} | {layout.CHECK.size} | checksum of bytes 0 … {layout.HEADER.size} |" in text
    )
    assert f"| {manifest.HEADER.size} | … | for each segment: number (8), rows (4), 0 (4)" in text
    assert manifest.SEGMENT.size == 8 + 4 + 4
