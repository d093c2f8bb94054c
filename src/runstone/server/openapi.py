"""The OpenAPI 3.1 description of the interface, made from the routes and their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from runstone import __version__
from runstone.dialects.native.problem import MEDIA_TYPE as PROBLEM
from runstone.dialects.routing import JSON, LINES, MSGPACK, Dialect, Route
from runstone.errors import by_code
from runstone.server.signing import Signature

#: Dialects whose interface is described; the others speak for their own clients, and are described by those.
DESCRIBED = ("native", "server")
_TEMPLATE = "#/components/schemas/{name}"
#: What any request may be answered with: what HTTP, authentication, limits and the disk have to say.
_ALWAYS = (
    400,
    401,
    403,
    404,
    405,
    406,
    408,
    409,
    410,
    412,
    413,
    414,
    415,
    417,
    421,
    422,
    429,
    431,
    500,
    503,
    507,
)
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457 problem details; an error's own details are further members.",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:runstone:error:[a-z_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable; one of those of runstone.errors."},
        "instance": {"type": "string", "description": "The id of the request."},
    },
}
_HEADERS = {
    "Idempotency-Key": "Any text: the same change with the same key is made once, however often it arrives.",
    "X-Runstone-Reason": "Why, percent-encoded UTF-8; kept in the log.",
}


def describe(dialects: Iterable[Dialect]) -> dict[str, Any]:
    """The whole document."""
    routes = [route for dialect in dialects if dialect.name in DESCRIBED for route in dialect.routes()]
    types = list(dict.fromkeys(kind for route in routes for kind in _types(route)))
    schemas, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operations = paths.setdefault(route.path.replace("...}", "}"), {})
        operations[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "runstone",
            "version": __version__,
            "description": "The native API of a runstone server.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM_SCHEMA},
            "responses": {f"Problem{status}": _problem(status) for status in (*_ALWAYS, 416)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _types(route: Route) -> Iterator[Any]:
    # Query Structs are told field by field, and need no component.
    for kind in (route.body, route.answer):
        if kind is not None:
            yield kind


def _operation(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__name__}_{route.method.lower()}_{_slug(route.path)}",
        "summary": route.summary,
        "parameters": list(_parameters(route)),
        "responses": _responses(route, schema_of),
    }
    if route.body is not None:
        content = {media: {"schema": schema_of[route.body]} for media in (JSON, MSGPACK)}
        optional = not any(field.required for field in msgspec.structs.fields(route.body))
        operation["requestBody"] = {"required": not optional, "content": content}
    elif route.streams:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": False, "content": content}
    if route.open or route.signed:
        operation["security"] = []
    return operation


def _slug(path: str) -> str:
    kept = "".join(character if character.isalnum() else "_" for character in path.removeprefix("/api/v1/"))
    return "_".join(part for part in kept.split("_") if part)


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for part in route.path.split("/"):
        if part.startswith("{"):
            name = part[1:-1].removesuffix("...")
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    query = Signature if route.signed else route.query
    for field in msgspec.structs.fields(query) if query is not None else ():
        schema = msgspec.json.schema(field.type)
        yield {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}
    for name, text in route.needs.items():
        schema = {"type": "integer", "minimum": 0}
        yield {"name": name, "in": "header", "required": True, "description": text, "schema": schema}
    for name, text in _HEADERS.items() if route.method in _WRITES else ():
        yield {
            "name": name,
            "in": "header",
            "description": text,
            "schema": {"type": "string", "maxLength": 200},
        }


def _responses(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in (route.status, *route.also):
        found[str(status)] = {"description": _REASONS[status]}
        if status in (200, 201, 206) and route.method != "HEAD":
            found[str(status)]["content"] = _content(route, schema_of)
    for status in _ALWAYS:
        found[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    if 206 in route.also:
        found["416"] = {"$ref": "#/components/responses/Problem416"}
    return found


_REASONS = {
    200: "Done.",
    201: "Made.",
    204: "Done; there is nothing to say.",
    206: "The ranges that were asked for.",
    302: "The bytes are elsewhere.",
    304: "The client has it already.",
}


def _content(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    if route.answer is not None:
        return {media: {"schema": schema_of[route.answer]} for media in (JSON, MSGPACK)}
    if route.media_type == LINES:
        return {LINES: {"schema": {"type": "string", "description": "A JSON value a line."}}}
    if 206 in route.also:
        # A file's own media type, or multipart/byteranges.
        return {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    return {route.media_type: {"schema": {"type": "object" if route.media_type == JSON else "string"}}}


def _problem(status: int) -> dict[str, Any]:
    codes = sorted(code for code, cls in by_code().items() if cls.status == status)
    return {
        "description": f"An error: {', '.join(codes)}." if codes else "An error.",
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
