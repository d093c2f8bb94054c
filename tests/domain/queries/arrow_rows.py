"""The golden rows as the ``runs`` table: a column for each field, of one type; where values have several, of their texts."""

import pyarrow


def runs(rows):
    """A supplier of ``runs`` that keeps what it was asked for in ``asked``."""

    def made(wanted):
        made.asked.append(wanted)
        fields = sorted({field for row in rows.values() for field in row})
        columns = {
            field: column([row.get(field) for row in rows.values()])
            for field in fields
            if wanted is None or field.lower() in wanted
        }
        return pyarrow.table({"row": pyarrow.array(list(rows)), **columns})

    made.asked = []
    return made


def column(values):
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        values = [None if value is None else str(value) for value in values]
    return pyarrow.array(values)
