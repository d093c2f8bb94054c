"""Plans: what an operation of a known document asks for, worked out once and then only filled in.

A plan answers what goes well. Whatever raises within it is left to the general executor, which knows how an error is told and what becomes
null; so a plan has no rules of its own for errors, and both give the same answers. The fields of Query and Mutation are asked once, whoever
answers (:class:`Kept`): a mutation is never done twice.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    VariableNode,
    is_abstract_type,
    is_leaf_type,
)
from graphql.execution.collect_fields import collect_fields, collect_sub_fields
from graphql.execution.execute import default_type_resolver
from graphql.execution.values import get_argument_values, get_variable_values
from graphql.language import Node, SelectionSetNode

#: Plans of one document: one for each way in which its directives are given.
MAX_PLANS = 8
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: What a value becomes, with the arguments of this request's fields so far.
Completer = Callable[[Any, "Request"], Any]


class Unplanned(Exception):
    """A plan does not answer this; the general executor does."""


class Kept:
    """The root of one request: what each of its fields has answered, or raised, it answers again."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._done: dict[str, tuple[bool, Any]] = {}

    def ask(self, key: str, field: str, arguments: dict[str, Any]) -> Any:
        """The value of a field, by its key in the answer."""
        if key not in self._done:
            try:
                self._done[key] = True, _value(self._root, field, arguments)
            except Exception as error:
                self._done[key] = False, error
        good, found = self._done[key]
        if good:
            return found
        raise found


class Request:
    """The variables of one request, and the arguments of fields that were worked out from them."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self.variables = variables
        self.arguments: dict[int, dict[str, Any]] = {}


@functools.cache
def snake(name: str) -> str:
    """``historyLineCount`` as ``history_line_count``."""
    return _SNAKE.sub("_", name).lower()


def resolve(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    """The value of a field, for the general executor: an entry of a map, an attribute, or what a method answers."""
    if isinstance(source, Kept):
        return source.ask(str(info.path.key), info.field_name, arguments)
    return _value(source, info.field_name, arguments)


def _value(source: Any, field: str, arguments: dict[str, Any]) -> Any:
    if isinstance(source, Mapping):
        return source.get(field)
    value = getattr(source, snake(field))
    return value(**{snake(name): each for name, each in arguments.items()}) if callable(value) else value


class Document:
    """A document that was parsed and checked, and the plans of its operations. ``size`` is how many fields it asks for."""

    def __init__(self, schema: GraphQLSchema, parsed: DocumentNode, size: int) -> None:
        self.parsed, self.size = parsed, size
        self._schema = schema
        self._operations = [each for each in parsed.definitions if isinstance(each, OperationDefinitionNode)]
        self._fragments = {
            each.name.value: each for each in parsed.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._switches = sorted(_switches(parsed))
        self._plans: dict[tuple[Any, ...], Completer] = {}

    def fill(self, root: Kept, variables: dict[str, Any], name: str | None) -> Any:
        """The data that an operation asks for; raises for what the general executor is to answer."""
        operation = self._named(name)
        given = get_variable_values(self._schema, operation.variable_definitions or (), variables)
        if isinstance(given, list):
            raise Unplanned
        key = (name, *(given.get(each) for each in self._switches))
        plan = self._plans.get(key)
        if plan is None:
            switched = {each: given[each] for each in self._switches if each in given}
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = _Maker(self._schema, self._fragments, switched).operation(operation)
        return plan(root, Request(given))

    def _named(self, name: str | None) -> OperationDefinitionNode:
        found = [
            each
            for each in self._operations
            if name is None or (each.name is not None and each.name.value == name)
        ]
        if len(found) != 1:
            raise Unplanned
        return found[0]


class _Maker:
    """Makes the plan of an operation whose directives have these values."""

    def __init__(
        self, schema: GraphQLSchema, fragments: dict[str, FragmentDefinitionNode], switched: dict[str, Any]
    ) -> None:
        self._schema, self._fragments, self._switched = schema, fragments, switched
        self._fields = 0

    def operation(self, node: OperationDefinitionNode) -> Completer:
        """The plan of the whole: a function of the root."""
        kind = self._schema.get_root_type(node.operation)
        if kind is None:
            raise Unplanned
        found = collect_fields(self._schema, self._fragments, self._switched, kind, node.selection_set)
        return self._object(kind, found, root=True)

    def _object(
        self, kind: GraphQLObjectType, found: dict[str, list[FieldNode]], root: bool = False
    ) -> Completer:
        fields = [self._field(kind, key, nodes, root) for key, nodes in found.items()]

        def complete(value: Any, request: Request) -> Any:
            return {key: get(value, request) for key, get in fields}

        return complete

    def _field(
        self, kind: GraphQLObjectType, key: str, nodes: list[FieldNode], root: bool
    ) -> tuple[str, Completer]:
        name = nodes[0].name.value
        if name == "__typename":
            return key, lambda value, request: kind.name
        field = kind.fields.get(name)
        if field is None:
            raise Unplanned
        inner = self._completer(field.type, nodes)
        arguments = self._arguments(field, nodes[0])
        if root:
            return key, lambda value, request: inner(value.ask(key, name, arguments(request)), request)
        attribute = snake(name)

        def get(value: Any, request: Request) -> Any:
            if isinstance(value, dict):
                return inner(value.get(name), request)
            held = getattr(value, attribute)
            if callable(held):
                held = held(**{snake(each): item for each, item in arguments(request).items()})
            return inner(held, request)

        return key, get

    def _arguments(self, field: GraphQLField, node: FieldNode) -> Callable[[Request], dict[str, Any]]:
        if not field.args:
            return lambda request: {}
        self._fields += 1
        number = self._fields

        def arguments(request: Request) -> dict[str, Any]:
            found = request.arguments.get(number)
            if found is None:
                found = request.arguments[number] = get_argument_values(field, node, request.variables)
            return found

        return arguments

    def _completer(self, kind: Any, nodes: list[FieldNode]) -> Completer:
        if isinstance(kind, GraphQLNonNull):
            return _required(self._completer(kind.of_type, nodes))
        if isinstance(kind, GraphQLList):
            return _each(self._completer(kind.of_type, nodes))
        if is_leaf_type(kind):
            return _leaf(kind)
        if is_abstract_type(kind):
            return self._abstract(kind, nodes)
        return _nullable(self._object(kind, self._below(kind, nodes)))

    def _below(self, kind: GraphQLObjectType, nodes: list[FieldNode]) -> dict[str, list[FieldNode]]:
        return collect_sub_fields(self._schema, self._fragments, self._switched, kind, nodes)

    def _abstract(self, kind: Any, nodes: list[FieldNode]) -> Completer:
        possible = {each.name: each for each in self._schema.get_possible_types(kind)}
        # Made when a value of the type is there: all of them, at each level, would be as many as the powers of their number.
        plans: dict[str, Completer] = {}

        def complete(value: Any, request: Request) -> Any:
            if value is None:
                return None
            # It looks at nothing but the value while that names its type, as all of ours do.
            name = default_type_resolver(value, None, kind)  # type: ignore[arg-type]
            plan = plans.get(name)  # type: ignore[arg-type]
            if plan is None:
                held = possible[name]  # type: ignore[index]
                plan = plans[held.name] = self._object(held, self._below(held, nodes))
            return plan(value, request)

        return complete


def _nullable(inner: Completer) -> Completer:
    return lambda value, request: None if value is None else inner(value, request)


def _required(inner: Completer) -> Completer:
    def complete(value: Any, request: Request) -> Any:
        found = inner(value, request)
        if found is None:
            raise Unplanned
        return found

    return complete


def _each(inner: Completer) -> Completer:
    def complete(value: Any, request: Request) -> Any:
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise Unplanned
        return [inner(item, request) for item in value]

    return complete


def _leaf(kind: GraphQLLeafType) -> Completer:
    if isinstance(kind, GraphQLScalarType) and kind.serialize is GraphQLScalarType.serialize:
        return lambda value, request: value
    serialize = kind.serialize
    plain = {"String": str, "ID": str, "Boolean": bool}.get(kind.name)

    def complete(value: Any, request: Request) -> Any:
        if value is None or type(value) is plain:
            return value
        found = serialize(value)
        if found is None:
            raise Unplanned
        return found

    return complete


def _switches(node: Node) -> set[str]:
    """The variables that directives of a document look at."""
    found: set[str] = set()
    waiting: list[Node] = [node]
    while waiting:
        held = waiting.pop()
        for directive in getattr(held, "directives", None) or ():
            found |= {
                each.value.name.value
                for each in directive.arguments or ()
                if isinstance(each.value, VariableNode)
            }
        chosen = getattr(held, "selection_set", None)
        if isinstance(chosen, SelectionSetNode):
            waiting.extend(chosen.selections)
        if isinstance(held, DocumentNode):
            waiting.extend(held.definitions)
    return found
