"""What a SELECT statement names, and whether it may run: read off DuckDB's own parse tree (``json_serialize_sql``).

Everything is refused that is not known to be harmless: kinds of statement, of table, of expression, and functions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from runstone.domain.queries.sql_functions import FUNCTIONS, TABLE_FUNCTIONS
from runstone.errors import Invalid, TooLarge

#: The longest statement, in characters, and how deep its brackets may nest: DuckDB's parser takes seconds for deeper ones.
MAX_SQL = 64 << 10
MAX_BRACKETS = 64

_QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLES = frozenset({"BASE_TABLE", "JOIN", "SUBQUERY", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION", "PIVOT"})
_EXPRESSIONS = frozenset(
    {
        *("BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "DEFAULT", "FUNCTION"),
        *("LAMBDA", "LAMBDA_REF", "OPERATOR", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW"),
    }
)  # fmt: skip
#: Signs in a row (``- - - 1``) take DuckDB's parser minutes.
_SIGNS = re.compile(rf"(?:[-+~!@]\s*+|\bnot\s++){{{MAX_BRACKETS}}}", re.IGNORECASE)
_QUOTED = re.compile(
    r"""\be'(?:[^'\\]|\\.|'')*+'|'(?:[^']|'')*+'|"(?:[^"]|"")*+"|--[^\n]*+"""
    r"""|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)""",
    re.DOTALL | re.IGNORECASE,
)


class Named(NamedTuple):
    """The tables that a statement names, each with the columns it may need (in lower case; None: all), and whether one reading is enough."""

    tables: dict[str, frozenset[str] | None]
    once: bool


def check_size(sql: str) -> None:
    """Refuses what would keep the parser busy: TooLarge names the limit."""
    if len(sql) > MAX_SQL:
        raise TooLarge(f"the statement has {len(sql)} characters; the most is {MAX_SQL}")
    bare = _QUOTED.sub(" ", sql)
    if _SIGNS.search(bare):
        raise TooLarge(f"the statement has more than {MAX_BRACKETS} signs in a row")
    depth = 0
    for bracket in re.findall(r"[(\[{)\]}]", bare):
        depth += 1 if bracket in "([{" else -1
        if depth > MAX_BRACKETS:
            raise TooLarge(f"the statement nests brackets deeper than {MAX_BRACKETS}")


def named(tree: Any, known: Collection[str]) -> Named:
    """What a statement's tree names, if it may run; ``known`` are the tables there are. Invalid says why it may not."""
    nodes = list(_nodes(tree))
    defined = {entry["key"].lower() for node in nodes for entry in node.get("cte_map", {}).get("map", ())}
    for node in nodes:
        _check(node, known, defined)
    bases = [
        node
        for node in nodes
        if node.get("type") == "BASE_TABLE" and node["table_name"].lower() not in defined
    ]
    columns = frozenset(
        name.lower()
        for node in nodes
        for name in (*node.get("column_names", ()), *node.get("using_columns", ()))
        if isinstance(name, str)
    )
    whole = _whole(nodes)
    tables: dict[str, frozenset[str] | None] = {}
    for base in bases:
        name = base["table_name"].lower()
        everything = id(base) in whole or (base["alias"] or name).lower() in whole or name in whole
        tables[name] = None if everything or tables.get(name, columns) is None else columns
    subqueries = any(node.get("class") == "SUBQUERY" for node in nodes)
    return Named(tables, len(bases) == 1 and not defined and not subqueries)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a tree."""
    queue = [tree]
    while queue:
        each = queue.pop()
        if isinstance(each, dict):
            yield each
            queue.extend(each.values())
        elif isinstance(each, list):
            queue.extend(each)


def _check(node: dict[str, Any], known: Collection[str], defined: Collection[str]) -> None:
    kind, family = node.get("type"), node.get("class")
    if family is not None and family not in _EXPRESSIONS:
        raise Invalid(
            f"{'parameters are' if family == 'PARAMETER' else str(family).lower() + ' is'} not supported in a statement"
        )
    if family is None and isinstance(kind, str):
        if kind.endswith("_NODE") and kind not in _QUERIES:
            raise Invalid("a statement may only read: a part of it would write")
        if kind == "SHOW_REF":
            raise Invalid("SHOW, DESCRIBE and SUMMARIZE are not supported; name columns in a SELECT")
        if ("sample" in node and kind not in _TABLES | _QUERIES) or kind.endswith("_REF"):
            raise Invalid(f"{kind.lower()} is not supported in a statement")
    if kind == "BASE_TABLE":
        _check_table(node, known, defined)
    if "function_name" in node:
        _check_function(node["function_name"], node, FUNCTIONS)
    if kind == "TABLE_FUNCTION":
        function = node.get("function", {})
        _check_function(str(function.get("function_name", "")), function, TABLE_FUNCTIONS)


def _check_table(node: dict[str, Any], known: Collection[str], defined: Collection[str]) -> None:
    name = node["table_name"]
    if (
        node.get("schema_name")
        or node.get("catalog_name")
        or len(node.get("qualified_name", {}).get("path", [name])) > 1
    ):
        raise Invalid(
            f"table {name!r} must be named without a schema; the tables are {', '.join(sorted(known))}"
        )
    if node.get("at_clause"):
        raise Invalid(f"table {name!r}: AT is not supported")
    if name.lower() not in known and name.lower() not in defined:
        raise Invalid(f"there is no table {name!r}; the tables are {', '.join(sorted(known))}")


def _check_function(name: str, node: dict[str, Any], allowed: Collection[str]) -> None:
    if (
        node.get("schema")
        or node.get("catalog")
        or len(node.get("qualified_name", {}).get("path", [name])) > 1
    ):
        raise Invalid(f"function {name}() must be called by its name alone, as {name}(...)")
    # Operators are functions whose names hold no letter.
    if (
        name.lower() not in allowed
        and (allowed is TABLE_FUNCTIONS or re.search(r"\w", name))
        and name.lower() not in TABLE_FUNCTIONS
    ):
        raise Invalid(
            f"function {name}() may not be called: only functions that compute from their arguments are, none that reads "
            "files, settings, the environment, the network or the catalogue"
        )


def _whole(nodes: list[dict[str, Any]]) -> set[Any]:
    """The tables of which all columns are asked: the ids of their nodes, and names that stand for a whole row (``t.*``, ``t``)."""
    found: set[Any] = set()
    for node in nodes:
        if node.get("class") == "STAR" and node.get("relation_name"):
            found.add(str(node["relation_name"]).lower())
        if node.get("class") == "COLUMN_REF" and node.get("column_names"):
            found.add(str(node["column_names"][-1]).lower())
        if node.get("type") == "BASE_TABLE" and node.get("column_name_alias"):
            found.add(id(node))
        if node.get("type") == "PIVOT" or node.get("ref_type") == "NATURAL":
            found.update(id(table) for table in _direct(node))
        if node.get("type") == "SELECT_NODE" and any(map(_takes_all, _of_this_query(node))):
            found.update(id(table) for table in _direct(node.get("from_table")))
    return found


def _takes_all(node: dict[str, Any]) -> bool:
    return node.get("class") == "POSITIONAL_REFERENCE" or (
        node.get("class") == "STAR" and not node.get("relation_name")
    )


def _of_this_query(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The expressions of a query, without those of queries inside it."""
    queue: list[Any] = [value for key, value in node.items() if key not in ("from_table", "cte_map")]
    while queue:
        each = queue.pop()
        if isinstance(each, list):
            queue.extend(each)
        elif isinstance(each, dict) and not str(each.get("type", "")).endswith("_NODE"):
            yield each
            queue.extend(each.values())


def _direct(source: Any) -> Iterator[dict[str, Any]]:
    """The tables of a FROM clause, without those of queries inside it."""
    queue = [source]
    while queue:
        each = queue.pop()
        if not isinstance(each, dict):
            continue
        if each.get("type") == "BASE_TABLE":
            yield each
        elif each.get("type") != "SUBQUERY":
            queue.extend(value for value in each.values() if isinstance(value, dict) and "class" not in value)
