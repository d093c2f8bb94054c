"""The one door between the server and a dialect: what a route is, what a handler is given, and what it may answer.

A handler is a function of a :class:`Call`. It decodes nothing and encodes nothing: the server has checked path, query and body
against the types of the route, and encodes the value that comes back, or one of the replies below. Errors are raised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Protocol

import msgspec

from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import RunstoneError

JSON = "application/json"
MSGPACK = "application/msgpack"
BYTES = "application/octet-stream"
LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
#: The query of a route that reads it itself: names and values as they came, a name perhaps more than once.
Pairs = tuple[tuple[str, str], ...]


class Reply(msgspec.Struct, frozen=True):
    """A value with a status or header fields of its own; the server encodes it as the client asked."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = {}


class Raw(msgspec.Struct, frozen=True):
    """Content that is sent as it is."""

    content: bytes = b""
    media_type: str = ""
    status: int = 200
    headers: Mapping[str, str] = {}


class Download(msgspec.Struct, frozen=True):
    """A stored file, sent with ranges and preconditions. ``body`` is what the streamer takes, and closes."""

    body: Any
    headers: Mapping[str, str] = {}


Progress = Callable[[int, int], None]


class Work(msgspec.Struct, frozen=True):
    """Long work: ``run`` is called in a thread with a function to tell (done, total) to.

    The client reads a JSON value a line: ``{"done", "total"}`` as it goes on, and last ``{"report"}``, or ``{"error"}`` with a problem.
    """

    run: Callable[[Progress], Any]
    #: Where a client expects other values: of progress, of what ``run`` answered, and of an error.
    told: Callable[[int, int], Any] = lambda done, total: {"done": done, "total": total}
    ended: Callable[[Any], Any] = lambda report: {"report": report}
    failed: Callable[[RunstoneError], Any] | None = None


class Stream(msgspec.Struct, frozen=True):
    """Content that is made as it is sent: each piece is asked for in a thread once the one before it was taken.

    What is raised before the first piece is an error like any other; after it the connection ends without the content's end.
    """

    pieces: Iterator[bytes]
    media_type: str
    headers: Mapping[str, str] = {}


class Events(msgspec.Struct, frozen=True):
    """An endless answer of server-sent events (WHATWG HTML, section 9.2).

    ``read`` is called in a thread with the place last told and answers what came after it (place, kind and value of each) and the new
    place; the server calls it after each commit, until the client goes away or the server stops.
    """

    read: Callable[[int], tuple[list[tuple[int, str, Any]], int]]
    after: int


class Services(Protocol):
    """What the server does for handlers."""

    @property
    def xet_reads(self) -> bool:
        """Whether clients are told that they can read files by xet."""

    def sign(self, ctx: Context, methods: tuple[str, ...], path: str, seconds: float) -> str:
        """An address of ``path`` that may be called without credentials, by ``methods``, as the context's principal."""

    def token(self, ctx: Context, folder: str, seconds: float, *, read_only: bool = False) -> str:
        """A bearer token for what lies under the path ``folder``, which stands for the context's principal."""

    @property
    def plan_grace(self) -> float:
        """Seconds for which a plan may be relied on when the server cannot be asked."""

    def is_near(self, token: str) -> bool:
        """Whether a client's token shows that it can read this machine's files as the server does."""

    def fetched(self, ctx: Context, version: int) -> None:
        """Notes that the context's consumer fetched a version; it is written to the lineage later, with others."""

    def alone(self, what: str) -> AbstractContextManager[None]:
        """Raises :class:`Conflict` while another request of this process is in a block for the same thing."""

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs blocking work beside the event loop."""


class Call(msgspec.Struct):
    """One request, decoded. ``content`` are the bytes of the body, piece by piece, of a route that streams."""

    store: Store
    ctx: Context
    services: Services
    method: str
    path: dict[str, str]
    query: Any
    body: Any
    headers: Mapping[str, str]
    content: AsyncIterator[bytes] | None = None
    #: The answer was asked for as MessagePack, where bytes are bytes.
    packed: bool = False


Handler = Callable[[Call], Any] | Callable[[Call], Awaitable[Any]]


class Route(msgspec.Struct, frozen=True):
    """A method and a path, and the function that answers them.

    ``path`` holds ``{name}`` for one segment and, as its last part, ``{name...}`` for all that is left. ``body`` and ``query``
    are Structs that the request is decoded to; ``answer`` is the type of what comes back. A ``blocking`` handler runs in a thread;
    one that ``streams`` is a coroutine function and reads the body itself. An ``open`` route needs no principal; a ``signed`` one
    takes its principal from the signature of its address; one for a ``token`` takes those that :meth:`Services.token` makes, beside
    keys; an ``anonymous`` one may be asked without any. ``also`` are other statuses of success. A route that is ``behind`` is meant by
    those paths only that no other route takes.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    body: Any = None
    query: Any = None
    answer: Any = None
    status: int = 200
    media_type: str = JSON
    blocking: bool = False
    #: A blocking handler whose answer depends on the store, the path, the query, the body, the principal and ``fields``, and on nothing else:
    #: the server encodes it once, and gives it until the next commit; to GET from its hot lane.
    remembered: bool = False
    streams: bool = False
    open: bool = False
    signed: bool = False
    token: bool = False
    anonymous: bool = False
    manifest: bool = False
    #: The body of a route that streams may come with a Content-Encoding, which the handler undoes.
    encoded: bool = False
    also: tuple[int, ...] = ()
    behind: bool = False
    #: Media types that the handler can answer with besides JSON and MessagePack, if Accept names one.
    also_as: tuple[str, ...] = ()
    #: Request header fields that the route requires, with what they hold.
    needs: Mapping[str, str] = {}
    #: A handler that gives the same answer at once, or None when it would have to wait: for the server's hot lane. It looks at no other
    #: header field than ``fields``.
    hot: Callable[[Call], Any] | None = None
    #: Header fields that the handler looks at or that its clients send, beside those that every route has.
    fields: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True):
    """Routes of a dialect that are loaded when the first path is asked for whose beginning the regular expression ``claims`` matches.

    They are the ROUTES of the ``modules`` of a ``package``.
    """

    claims: str
    package: str
    modules: tuple[str, ...]

    def routes(self) -> Iterator[Route]:
        """The routes; loads them."""
        for module in self.modules:
            yield from import_module(f"{self.package}.{module}").ROUTES


def routes_of(parts: Iterable[Part]) -> Iterator[Route]:
    """The routes of all parts of a dialect."""
    for part in parts:
        yield from part.routes()


class Dialect(Protocol):
    """A wire protocol in front of the engine.

    One whose routes need not all be loaded at once has ``parts``, which together have them all. One that words messages to webhooks has them
    in ``channels`` (:mod:`runstone.domain.webhooks`).
    """

    name: str
    #: Paths that begin so are this dialect's, with or without a route, and so are their errors.
    prefixes: tuple[str, ...]

    def routes(self) -> Iterable[Route]:
        """Every route of the dialect."""

    def problem(self, error: RunstoneError, request_id: str) -> Raw:
        """An error in the shape that the dialect's clients understand."""
