"""Ids without an owner (``from_pretrained("minilm")``): reads of one's own repos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from runstone.dialects.hub import infos, resolving
from runstone.dialects.hub.naming import KINDS
from runstone.dialects.hub.problem import CODE, REPO, missing
from runstone.dialects.hub.wire import Anything
from runstone.dialects.routing import BYTES, Call, Route
from runstone.errors import Missing

Handler = Callable[[str, Call], Any]


def own(handler: Handler, kind: str, call: Call) -> Any:
    """Answers as for the repo of that name of whoever asks."""
    call.path = {**call.path, "ns": call.ctx.principal.name}
    try:
        return handler(kind, call)
    except Missing as error:
        if error.details.get(CODE) != REPO:
            raise
        raise missing(REPO, f"{error.message}; for another owner's, write owner/name") from None


def _routes(kind: str) -> Iterator[Route]:
    prefix = "" if kind == "models" else f"/{kind}"
    yield Route(
        "GET",
        f"{prefix}/{{name}}/resolve/{{rev}}/{{path...}}",
        partial(own, resolving.resolve, kind),
        "The bytes of a file of one's own repo.",
        query=Anything,
        anonymous=True,
        media_type=BYTES,
        also=(206, 302, 304),
    )
    reads = (
        ("", infos.get_info, infos.InfoQuery),
        ("/revision/{rev}", infos.get_info, infos.InfoQuery),
        ("/tree/{rev}", infos.get_tree, infos.TreeQuery),
        ("/tree/{rev}/{path...}", infos.get_tree, infos.TreeQuery),
    )
    for path, handler, query in reads:
        yield Route(
            "GET",
            f"/api/{kind}/{{name}}{path}",
            partial(own, handler, kind),
            "One's own repo, or its files.",
            query=query,
            blocking=True,
            anonymous=True,
        )
    yield Route(
        "POST",
        f"/api/{kind}/{{name}}/paths-info/{{rev}}",
        partial(own, infos.paths_info, kind),
        "Some files of one's own repo.",
        query=Anything,
        streams=True,
        anonymous=True,
    )


ROUTES = tuple(route for kind in KINDS for route in _routes(kind))
