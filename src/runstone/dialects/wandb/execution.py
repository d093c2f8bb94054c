"""GraphQL: documents are parsed, checked and planned once, and run over objects whose attributes and methods are the fields."""

from __future__ import annotations

import functools
import logging
import threading
from collections import OrderedDict
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from graphql.language import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, SelectionSetNode

from runstone.dialects.wandb.plans import Document, Kept, resolve
from runstone.dialects.wandb.problem import is_outright
from runstone.errors import Invalid, RunstoneError, TooLarge

MAX_DOCUMENT = 256 << 10
MAX_TOKENS = 20_000
MAX_DEPTH = 30
MAX_FIELDS = 5_000
#: Fields of the documents that are kept ready; each may take some 10 KB with its plans, and a whole SDK has some 10,000.
MAX_KNOWN = 50_000
_log = logging.getLogger("runstone.wandb")
_known: OrderedDict[bytes, Document] = OrderedDict()
_lock = threading.Lock()


@functools.cache
def schema() -> GraphQLSchema:
    """The schema, from its texts beside this module: ``schema.graphql``, and others that extend it."""
    texts = sorted(Path(__file__).parent.glob("*.graphql"))
    return build_schema("\n".join(each.read_text() for each in texts))


def run(root: Any, text: str, variables: dict[str, Any], operation: str | None) -> dict[str, Any]:
    """What a document answers. Raises errors that :func:`is_outright`; others are in the answer."""
    try:
        document = _prepared(text)
    except GraphQLError as error:
        return {"errors": [error.formatted]}
    kept = Kept(root)
    with suppress(Exception):  # the executor meets it again, and tells it
        return {"data": document.fill(kept, variables, operation or None)}
    return execute(document.parsed, kept, variables, operation)


def execute(
    document: DocumentNode, root: Kept, variables: dict[str, Any], operation: str | None
) -> dict[str, Any]:
    """What a document answers by the general executor, which any document may go through."""
    found = execute_sync(schema(), document, root, None, variables, operation or None, field_resolver=resolve)
    answer: dict[str, Any] = {"data": found.data}
    if found.errors:
        answer["errors"] = [_told(error) for error in found.errors]
    return answer


def _told(error: GraphQLError) -> dict[str, Any]:
    cause = error.original_error
    told: dict[str, Any] = dict(error.formatted)
    if cause is not None and is_outright(cause):
        raise cause
    if isinstance(cause, RunstoneError):
        told["extensions"] = {"code": cause.code}
    elif cause is not None and not isinstance(cause, GraphQLError):
        _log.error("the field %s cannot be answered", error.path, exc_info=cause)
        told["message"] = "something went wrong here; the log of the server has it"
    return told


def _prepared(text: str) -> Document:
    if len(text) > MAX_DOCUMENT:
        raise TooLarge(f"the document has {len(text)} characters and the limit is {MAX_DOCUMENT}")
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    with _lock:
        found = _known.get(digest)
    if found is not None:
        return found
    try:
        document = parse(text, no_location=True, max_tokens=MAX_TOKENS)
    except RecursionError:
        raise TooLarge("the document is nested too deeply") from None
    size = _check_size(document)
    if problems := validate(schema(), document):
        names = ", ".join(
            each.name.value
            for each in document.definitions
            if isinstance(each, OperationDefinitionNode) and each.name
        )
        raise GraphQLError(
            f"runstone does not support the operation {names or 'given'}: {problems[0].message}"
        )
    made = Document(schema(), document, size)
    with _lock:
        _known[digest] = made
        while sum(each.size for each in _known.values()) > MAX_KNOWN:
            _known.popitem(last=False)
    return made


def _check_size(document: DocumentNode) -> int:
    """How many fields a document asks for once its fragments are put in; raises :class:`TooLarge` for too many."""
    fragments = {
        each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
    }
    fields = 0

    def walk(selected: SelectionSetNode | None, depth: int, within: tuple[str, ...]) -> None:
        nonlocal fields
        if depth > MAX_DEPTH:
            raise TooLarge(f"the document nests deeper than {MAX_DEPTH} fields")
        for each in selected.selections if selected else ():
            fields += 1
            if fields > MAX_FIELDS:
                raise TooLarge(f"the document asks for over {MAX_FIELDS} fields")
            if isinstance(each, FragmentSpreadNode):
                name = each.name.value
                if name in within:
                    raise Invalid(f"the fragment {name} holds itself")
                if name in fragments:
                    walk(fragments[name].selection_set, depth, (*within, name))
            else:
                deeper = isinstance(each, FieldNode)
                walk(getattr(each, "selection_set", None), depth + deeper, within)

    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            walk(each.selection_set, 1, ())
    return fields
