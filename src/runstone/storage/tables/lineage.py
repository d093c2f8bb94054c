"""What was made of what, and what happened to it."""

from __future__ import annotations

from runstone.storage.tables.table import Record, state_table


class Node(Record, frozen=True):
    """A lineage end that is not a version: a run, a consumer, or something outside."""

    id: int
    kind: str
    namespace: int
    name: str
    created: int


class Edge(Record, frozen=True):
    """One lineage edge: when, by whom, how often seen."""

    time: int
    by: str
    seq: int
    count: int = 1


NODES = state_table(56, "nodes", "id:u64", Node)
NODE_NAMES = state_table(57, "node_names", "namespace:u64 kind:text name:text", int)
DOWNSTREAM = state_table(58, "downstream", "source:u64 relation:text target:u64", Edge)
UPSTREAM = state_table(59, "upstream", "target:u64 relation:text source:u64", int)
HISTORY = state_table(60, "history", "subject:u64 seq:u64", int)
