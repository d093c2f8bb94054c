"""The documented formats are the ones in the code."""

from pathlib import Path

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
