"""Lineage: what a version was made from and by, and who used it.

Ends of an edge are versions, runs, and named *nodes*: consumers, things outside, and runs that are tracked elsewhere. An edge runs
downstream, from what was there to what came of it: ``version -used_by-> run``, ``run -produced-> version``, ``version -derived_to-> version``,
``version -fetched_by-> consumer``, ``version -invoked_by-> consumer``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from runstone.domain import limits, names
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.runs import finding
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import (
    ARTIFACTS,
    COLLECTIONS,
    DOWNSTREAM,
    NAMESPACES,
    NODE_NAMES,
    NODES,
    PROJECTS,
    RUNS,
    UPSTREAM,
    VERSION_IDS,
    VERSIONS,
    Edge,
    Node,
    Table,
)
from runstone.types import LineageEdge, LineageGraph, LineageNode

RELATIONS = ("used_by", "produced", "derived_to", "fetched_by", "invoked_by")
NODE_KINDS = ("run", "consumer", "external")
_ENDS: tuple[Table[Any], ...] = (VERSION_IDS, NODES, RUNS)
CONSUMING = ("used_by", "fetched_by", "invoked_by")
MAX_NODES = 10_000
#: Links of links that are followed.
MAX_LINKS = 8
Direction = Literal["upstream", "downstream", "both"]


class Maker(NamedTuple):
    """A run by its number, name and the number of its project."""

    project: int
    run: int
    name: str


class CreateNode(Command, frozen=True, kw_only=True):
    """Makes a lineage end that is not a version, or answers the one of that kind and name."""

    namespace: int
    kind: str
    name: str


class AddEdge(Command, frozen=True, kw_only=True):
    """Adds an edge, or counts one that is there already."""

    source: int
    relation: str
    target: int


@applies(40, "create_node", CreateNode, int)
def _create_node(state: State, at: Stamp, command: CreateNode) -> int:
    held = state.get(NODE_NAMES, command.namespace, command.kind, command.name)
    if held is not None:
        return held
    state.put(NODES, at.id, Node(at.id, command.kind, command.namespace, command.name, at.time))
    state.put(NODE_NAMES, command.namespace, command.kind, command.name, at.id)
    state.touch(at.id, at.seq, 40)
    return at.id


@applies(41, "add_edge", AddEdge)
def _add_edge(state: State, at: Stamp, command: AddEdge) -> None:
    for end in (command.source, command.target):
        if not any(state.get(table, end) for table in _ENDS):
            raise Missing(f"lineage end {end} does not exist")
    join(state, at, command.actor, command.source, command.relation, command.target)
    state.touch(command.source, at.seq, 41)
    state.touch(command.target, at.seq, 41)


def join(state: State, at: Stamp, actor: str, source: int, relation: str, target: int) -> None:
    """Adds or counts an edge, in ``apply``."""
    edge = state.get(DOWNSTREAM, source, relation, target)
    if edge is None:
        edge = Edge(at.time, actor, at.seq, 0)
        state.put(UPSTREAM, target, relation, source, 1)
    state.put(DOWNSTREAM, source, relation, target, replace(edge, count=edge.count + 1))


def link(store: Store, ctx: Context, source: str, relation: str, target: str) -> None:
    """Adds an edge between two ends. An end is a version name, ``run:namespace/project/run``, or ``run:``,
    ``consumer:`` or ``external:`` and ``namespace/name``. Takes the right to write at the target, and to read the source.
    """
    if relation not in RELATIONS:
        raise Invalid(f"relation {relation!r} must be one of {', '.join(RELATIONS)}")
    ends = _end(store, ctx, source, "read"), _end(store, ctx, target, "write")
    if ends[0] == ends[1]:
        raise Invalid(f"{source} cannot be related to itself")
    command = AddEdge(
        actor=ctx.principal.name, reason=ctx.reason, source=ends[0], relation=relation, target=ends[1]
    )
    store.submit(ctx, command)


def record_fetch(store: Store, ctx: Context, version_id: int, namespace: int) -> None:
    """Notes that the context's consumer fetched a version; reading is right enough."""
    node = _make_node(store, ctx, namespace, "consumer", ctx.consumer or ctx.principal.name)
    command = AddEdge(actor=ctx.principal.name, source=version_id, relation="fetched_by", target=node)
    store.submit(ctx.without_id(), command)


def fetches(store: Store, ctx: Context, collection: str) -> int:
    """How often versions of a collection were fetched, by what the lineage has."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, collection))
        return sum(
            edge.count
            for _, version in view.scan(VERSIONS, place.collection.id)
            for _, edge in view.scan(DOWNSTREAM, version.id, "fetched_by")
        )


def _end(store: Store, ctx: Context, text: str, action: Action) -> int:
    kind, separator, rest = text.partition(":")
    if separator and kind == "run" and rest.count("/") == 2:
        with store.index.read() as view:
            return finding.find(store, view, ctx, rest, action).run.id
    if separator and kind in NODE_KINDS:
        namespace, slash, name = rest.partition("/")
        if not slash:
            namespace, name = names.own_namespace(ctx), rest
        with store.index.read() as view:
            held = names.find_namespace(store, view, ctx, namespace, action)
        return _make_node(store, ctx, held.id, kind, name)
    with store.index.read() as view:
        return names.find_version(store, view, ctx, names.parse(ctx, text), action, any_state=True)[1].id


def _make_node(store: Store, ctx: Context, namespace: int, kind: str, name: str) -> int:
    limits.text(name, "name", 256)
    with store.index.read() as view:
        held = view.get(NODE_NAMES, namespace, kind, name)
    if held is not None:
        return held
    command = CreateNode(actor=ctx.principal.name, namespace=namespace, kind=kind, name=name)
    made: int = store.submit(ctx.without_id(), command).result
    return made


def closure(
    store: Store,
    ctx: Context,
    name: str,
    *,
    direction: Direction = "both",
    depth: int = 100,
    limit: int = 1000,
) -> LineageGraph:
    """Everything within ``depth`` edges of a version or node, up to ``limit`` nodes; what the principal may not read is left out."""
    if direction not in ("upstream", "downstream", "both"):
        raise Invalid(f"direction {direction!r} must be upstream, downstream or both")
    limit = min(limit, MAX_NODES)
    with store.index.read() as view:
        root = _find_end(store, view, ctx, name)
        walk = _Walk(store, view, ctx, limit)
        walk.add(root)
        if direction in ("downstream", "both"):
            walk.follow(root, depth, down=True)
        if direction in ("upstream", "both"):
            walk.follow(root, depth, down=False)
        return LineageGraph(
            root=root,
            nodes=tuple(node for node in walk.nodes.values() if node is not None),
            edges=tuple(walk.edges.values()),
            truncated=walk.truncated,
        )


def _find_end(store: Store, view: View, ctx: Context, text: str) -> int:
    kind, separator, rest = text.partition(":")
    if not separator or kind not in NODE_KINDS:
        return names.find_version(store, view, ctx, names.parse(ctx, text), any_state=True)[1].id
    if kind == "run" and rest.count("/") == 2:
        return finding.find(store, view, ctx, rest, deleted=True).run.id
    namespace, slash, name = rest.partition("/")
    if not slash:
        namespace, name = names.own_namespace(ctx), rest
    held = view.get(NODE_NAMES, names.find_namespace(store, view, ctx, namespace).id, kind, name)
    if held is None:
        raise Missing(f"there is no {text} in the lineage")
    return held


class Ends:
    """Ends of edges as one reader may see them; what many of them lie in is looked up once."""

    def __init__(self, store: Store, view: View, ctx: Context) -> None:
        self._store, self._view, self._ctx = store, view, ctx
        self._projects: dict[int, str | None] = {}

    def shown(self, end: int, *, active: bool = False) -> LineageNode | None:
        """An end, or None when the principal may not read it; ``active`` says that it is more likely a run or a consumer than a version."""
        looks = (self._run, self._node, self._version)
        for look in looks if active else looks[::-1]:
            found = look(end)
            if found is not None:
                return found if found.name else None
        return None

    # Each answers None when the end is another thing, and one without a name when the principal may not read it.

    def _version(self, end: int) -> LineageNode | None:
        key = self._view.get(VERSION_IDS, end)
        collection = self._view.get(COLLECTIONS, key[0]) if key else None
        if key is None or collection is None:
            return None
        return _node(end, "version", self._project(collection.project), f"{collection.name}:v{key[1]}")

    def _run(self, end: int) -> LineageNode | None:
        run = self._view.get(RUNS, end)
        return _node(end, "run", self._project(run.project), run.name) if run else None

    def _node(self, end: int) -> LineageNode | None:
        node = self._view.get(NODES, end)
        namespace = self._view.get(NAMESPACES, node.namespace) if node else None
        if node is None or namespace is None:
            return None
        allowed = self._store.policy.allows(self._view, self._ctx, "read", namespace, None)
        return _node(end, node.kind, namespace.name if allowed else None, node.name)

    def _project(self, number: int) -> str | None:
        """The full name of a project; None when the principal may not read it."""
        if number not in self._projects:
            project = self._view.get(PROJECTS, number)
            namespace = self._view.get(NAMESPACES, project.namespace) if project else None
            allowed = (
                project is not None
                and namespace is not None
                and self._store.policy.allows(self._view, self._ctx, "read", namespace, project)
            )
            self._projects[number] = f"{namespace.name}/{project.name}" if allowed else None  # type: ignore[union-attr]
        return self._projects[number]


def _node(end: int, kind: str, within: str | None, name: str) -> LineageNode:
    return LineageNode(id=end, kind=kind, name=f"{within}/{name}" if within else "")


class _Walk:
    """A breadth-first walk over edges that leaves out what the principal may not read."""

    def __init__(self, store: Store, view: View, ctx: Context, limit: int) -> None:
        self._view, self._ctx, self._limit = view, ctx, limit
        self._ends = Ends(store, view, ctx)
        self.nodes: dict[int, LineageNode | None] = {}
        self.edges: dict[tuple[int, str, int], LineageEdge] = {}
        self.truncated = False

    def add(self, end: int, *, active: bool = False) -> bool:
        """Takes a node in; says whether it may be seen."""
        if end not in self.nodes:
            if len(self.nodes) >= self._limit:
                self.truncated = True
                return False
            self.nodes[end] = self._ends.shown(end, active=active)
        return self.nodes[end] is not None

    def follow(self, root: int, depth: int, *, down: bool) -> None:
        """Walks all edges in one direction."""
        queue, seen = deque([(root, 0)]), {root}
        while queue:
            end, distance = queue.popleft()
            for (source, relation, target), edge in self._edges(end, down):
                if distance == depth:
                    self.truncated = True
                    break
                other = target if down else source
                if not self.add(other, active=relation in CONSUMING if down else relation == "produced"):
                    continue
                self._keep(source, relation, target, edge)
                if other not in seen:
                    seen.add(other)
                    queue.append((other, distance + 1))

    def _edges(self, end: int, down: bool) -> Iterator[tuple[tuple[int, str, int], Edge | None]]:
        self._ctx.check_deadline()
        if down:
            yield from self._view.scan(DOWNSTREAM, end)
            return
        for (_, relation, source), _ in self._view.scan(UPSTREAM, end):
            yield (source, relation, end), self._view.get(DOWNSTREAM, source, relation, end)

    def _keep(self, source: int, relation: str, target: int, edge: Edge | None) -> None:
        if edge is not None:
            self.edges[source, relation, target] = LineageEdge(
                source=source, target=target, relation=relation, time=edge.time, by=edge.by, count=edge.count
            )


def maker(store: Store, ctx: Context, version_id: int) -> Maker | None:
    """The run that a version was produced by, or for a link the version that it stands for, as far as the principal may read it."""
    with store.index.read() as view:
        for _ in range(MAX_LINKS):
            for (_, _, source), _ in view.scan(UPSTREAM, version_id, "produced"):
                found = finding.by_id(view, source)
                if found is not None and store.policy.allows(
                    view, ctx, "read", found.namespace, found.project
                ):
                    return Maker(found.project.id, found.run.id, found.run.name)
            beside = view.get(ARTIFACTS, version_id)
            if beside is None or not beside.source:
                return None
            version_id = beside.source
    return None


def consumers(view: View, version_id: int) -> list[str]:
    """The names of all that used, fetched or invoked a version; no policy is asked."""
    found = []
    for (_, relation, target), _ in view.scan(DOWNSTREAM, version_id):
        if relation not in CONSUMING:
            continue
        node, run = view.get(NODES, target), finding.by_id(view, target)
        if node is not None or run is not None:
            found.append(f"{node.kind}:{node.name}" if node else f"run:{run}")
    return sorted(found)
