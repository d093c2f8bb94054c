"""What SQL may ask of a project: its tables, made of the columns that a statement names, as far as the principal may read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from runstone.domain import aliases, audit, collections, fields, versions
from runstone.domain.context import Context
from runstone.domain.queries.sql import MAX_ROWS, SECONDS, run_sql
from runstone.domain.runs import columns, finding, keys, questions, series
from runstone.domain.runs.finding import Found, InProject
from runstone.domain.store import Store
from runstone.errors import TooLarge
from runstone.storage.index import View
from runstone.storage.tables import DOWNSTREAM, RUN_NAMES, RUNS

if TYPE_CHECKING:
    import pyarrow

    from runstone.domain.queries.sql import Supplier

#: The most columns of ``runs`` that ``*`` may stand for, and the most points that ``series`` may have.
MAX_COLUMNS = 2_000
MAX_POINTS = 20_000_000
_PAGE = 1_000
Row = tuple[Any, ...]


def select(
    store: Store, ctx: Context, project: str, sql: str, *, seconds: float = SECONDS, max_rows: int = MAX_ROWS
) -> pyarrow.Table:
    """The rows that a read-only SQL statement selects from ``runs``, ``series``, ``versions``, ``aliases``, ``lineage`` and ``log``.

    Raises :class:`Invalid` for a statement that could do anything else than read these, and :class:`TooLarge` naming the limit.
    """
    with store.index.read() as view:
        place = finding.project(store, view, ctx, project)
        hidden = fields.hidden_from(store, view, ctx, place)

    def prepare(named: Collection[str]) -> None:
        # In a store that no server kept up this takes a while, once: it is not the statement's time.
        if "runs" in named:
            columns.tables(store).of(place.project.id)

    suppliers = _Tables(store, ctx, place, hidden).suppliers()
    return run_sql(sql, suppliers, seconds=seconds, max_rows=max_rows, prepare=prepare)


class _Tables:
    """The tables of one project for one statement."""

    def __init__(self, store: Store, ctx: Context, place: InProject, hidden: tuple[str, ...]) -> None:
        self._store, self._ctx, self._place, self._hidden = store, ctx, place, hidden
        self._name = f"{place.namespace.name}/{place.project.name}"

    def suppliers(self) -> dict[str, Supplier]:
        """By name, what makes each table."""
        return {
            "runs": self._runs,
            "series": self._series,
            "versions": self._made(_VERSIONS, self._version_rows),
            "aliases": self._made(_ALIASES, self._alias_rows),
            "lineage": self._made(_LINEAGE, self._lineage_rows),
            "log": self._made(_LOG, self._log_rows),
        }

    def _visible(self, name: str) -> bool:
        return not fields.covers(self._hidden, name)

    def _runs(self, wanted: frozenset[str] | None) -> pyarrow.Table:
        import pyarrow.compute

        table = columns.tables(self._store).of(self._place.project.id)
        names = [name for name, _ in table.fields(limit=questions.MAX_FIELDS, visible=self._visible)]
        chosen = names if wanted is None else [name for name in names if name.lower() in wanted]
        if len(chosen) > MAX_COLUMNS:
            raise TooLarge(
                f"* stands for {len(chosen)} columns, over the limit of {MAX_COLUMNS}; name those you want"
            )
        asked = list(dict.fromkeys([*chosen, "deleted"]))
        found = table.arrow(asked, self._visible)
        living = pyarrow.compute.invert(pyarrow.compute.fill_null(found.column("deleted"), False))
        return found.filter(living)

    def _series(self, wanted: frozenset[str] | None) -> pyarrow.RecordBatchReader:
        import pyarrow

        schema = pyarrow.schema(
            [("run", pyarrow.string()), ("key", pyarrow.string()), ("step", pyarrow.int64()),
             ("time", pyarrow.int64()), ("value", pyarrow.float64())]
        )  # fmt: skip
        return pyarrow.RecordBatchReader.from_batches(schema, self._point_batches(schema))

    def _point_batches(self, schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow

        total = 0
        for found in self._living_runs():
            for key, number in self._keys_of(found).items():
                points = series.of(self._store).points(series.spans(found), number, limit=MAX_POINTS)
                total += len(points)
                if total > MAX_POINTS:
                    raise TooLarge(
                        f"the project has over {MAX_POINTS} points; ask for the series of its runs instead"
                    )
                run = pyarrow.array([found.run.name]).take(pyarrow.array([0] * len(points)))
                named = pyarrow.array([key]).take(pyarrow.array([0] * len(points)))
                yield pyarrow.record_batch(
                    [run, named, points.steps, points.times, points.floats()], schema=schema
                )

    def _keys_of(self, found: Found) -> dict[str, int]:
        numbers = series.of(self._store).keys(series.spans(found))
        with self._store.index.read() as view:
            named = {keys.names(self._store).of(view, found.project.id, number): number for number in numbers}
        return {key: number for key, number in named.items() if self._visible(f"summary.{key}")}

    def _living_runs(self) -> Iterator[Found]:
        after: tuple[int, str] | None = None
        while True:
            with self._store.index.read() as view:
                page = list(self._page_of_runs(view, after))
            for key, found in page:
                after = key
                if not found.run.deleted:
                    yield found
            if len(page) < _PAGE:
                return

    def _page_of_runs(
        self, view: View, after: tuple[int, str] | None
    ) -> Iterator[tuple[tuple[int, str], Found]]:
        count = 0
        for key, run_id in view.scan(RUN_NAMES, self._place.project.id, after=after):
            run = view.get(RUNS, run_id)
            if run is not None:
                yield key, Found(self._place.namespace, self._place.project, run)
                count += 1
            if count == _PAGE:
                return

    def _made(self, columns: dict[str, str], rows: Callable[[], Iterator[Row]]) -> Supplier:
        def supply(wanted: frozenset[str] | None) -> pyarrow.Table:
            import pyarrow

            schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in columns.items()])
            found = list(rows())
            arrays = [
                pyarrow.array([row[place] for row in found], field.type) for place, field in enumerate(schema)
            ]
            return pyarrow.table(arrays, schema=schema)

        return supply

    def _collections(self) -> Iterator[str]:
        after = ""
        while True:
            page = collections.list_collections(self._store, self._ctx, self._name, after=after, limit=_PAGE)
            yield from (each.path for each in page)
            if len(page) < _PAGE:
                return
            after = page[-1].name

    def _version_rows(self) -> Iterator[Row]:
        for collection in self._collections():
            before = 0
            while True:
                page = versions.list_versions(self._store, self._ctx, collection, before=before, limit=_PAGE)
                for each in page:
                    yield (
                        each.id, collection, each.type, each.number, each.digest, each.files, each.size, each.state,
                        each.created, each.by, each.description, ",".join(each.aliases), ",".join(each.tags),
                    )  # fmt: skip
                if len(page) < _PAGE:
                    break
                before = page[-1].number

    def _alias_rows(self) -> Iterator[Row]:
        for collection in self._collections():
            for each in aliases.list_aliases(self._store, self._ctx, collection, "", 100_000):
                yield collection, each.alias, each.version, each.seq, each.time, each.by

    def _lineage_rows(self) -> Iterator[Row]:
        from runstone.domain import lineage

        ends = [(row[0], f"{row[1]}:v{row[3]}") for row in self._version_rows()]
        ends += [(found.run.id, f"run:{found}") for found in self._living_runs()]
        for end, name in ends:
            with self._store.index.read() as view:
                others = lineage.Ends(self._store, view, self._ctx)
                for (_, relation, target), edge in view.scan(DOWNSTREAM, end):
                    shown = others.shown(target, active=relation in lineage.CONSUMING)
                    if shown is not None:
                        other = shown.name if shown.kind == "version" else f"{shown.kind}:{shown.name}"
                        yield name, relation, other, edge.time, edge.by, edge.count

    def _log_rows(self) -> Iterator[Row]:
        start = 0
        while True:
            page = audit.log(self._store, self._ctx, start=start, limit=_PAGE)
            yield from ((each.seq, each.time, each.kind, each.id, each.actor) for each in page)
            if len(page) < _PAGE:
                return
            start = page[-1].seq + 1


_VERSIONS = {
    "id": "int64", "collection": "string", "type": "string", "version": "int64", "digest": "string", "files": "int64",
    "size": "int64", "state": "string", "created": "int64", "by": "string", "description": "string",
    "aliases": "string", "tags": "string",
}  # fmt: skip
_ALIASES = {
    "collection": "string", "alias": "string", "version": "int64", "seq": "int64", "time": "int64", "by": "string"
}  # fmt: skip
_LINEAGE = {
    "source": "string", "relation": "string", "target": "string", "time": "int64", "by": "string", "count": "int64"
}  # fmt: skip
_LOG = {"seq": "int64", "time": "int64", "kind": "string", "id": "string", "actor": "string"}
