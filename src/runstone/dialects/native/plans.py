"""The plan that a fetch follows: one request from a name to everything that a client needs to know.

A plan is made once for each version and kept encoded, so that it is answered in front of the HTTP framework like a resolved name.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

import msgspec

from runstone.dialects.native.resolving import resolve
from runstone.dialects.native.versions import VERSION
from runstone.dialects.native.wire import Answer, NoQuery, Number, Request, collection_name, version_name
from runstone.dialects.routing import MSGPACK, Call, Raw, Reply, Route
from runstone.domain import plans, versions
from runstone.domain.plans import Planned
from runstone.domain.store import Store
from runstone.types import Resolved, VersionInfo

#: The header field in which a client shows that it could read the store's files anyway.
NEAR = "X-Runstone-Near"
#: The header field with the store's signed word for the plan, in base64.
SIGNED = "X-Runstone-Signed"
#: Bytes of encoded plans that are kept.
ROOM = 64 << 20


class PlannedFile(Answer):
    """A file and its chunks: packed 44-byte records of BLAKE3, xxh3 (u64 LE) and length (u32 LE), in order.

    ``head`` are the first chunks, as far as the header of a safetensors file goes. ``places`` (path, offset, length) say where the bytes
    lie on the machine that client and server share; then there are no chunks.
    """

    path: str
    size: int
    sha256: str
    url: str
    etag: str
    media_type: str
    chunks: bytes = b""
    head: bytes = b""
    places: tuple[tuple[str, int, int], ...] = ()


class Plan(Answer):
    """Everything that a fetch of a version needs to know; ``seq`` is how far the log was when it was made."""

    version: VersionInfo
    files: tuple[PlannedFile, ...]
    seq: int


class _PackedPlan(Answer):
    version: VersionInfo
    files: msgspec.Raw
    seq: int


class Damage(Request):
    """Bytes of a file that came damaged, however often they were asked for."""

    path: str
    start: Number
    stop: Number


class Damaged(Answer):
    """What the bytes are here: whole, or damaged, and then withdrawn."""

    whole: bool


class Encoded(NamedTuple):
    """The files of a version as MessagePack, and the listing that is signed."""

    files: bytes
    listing: str


class Encodings:
    """Encoded files of versions, those that were made last."""

    def __init__(self, _store: Store) -> None:
        self._held: dict[int, Encoded] = {}
        self._size = 0

    def get(self, version: int) -> Encoded | None:
        """What was made for a version, unless it had to go."""
        return self._held.get(version)

    def keep(self, version: int, made: Encoded) -> None:
        """Keeps it while there is room."""
        if self._size + len(made.files) > ROOM:
            self._held, self._size = {}, 0
        if len(made.files) <= ROOM // 4:
            self._held[version] = made
            self._size += len(made.files)


def get_plan(call: Call) -> Raw | Reply:
    """Answers ``GET …/plan``: chunks are raw in MessagePack and base64 in JSON.

    Whoever asks for it fetches, whether or not it then asks for a file: it may have the bytes already, as after a 304.
    """
    answer = _answer(call, make=True)
    assert answer is not None
    return answer


def plan_at_once(call: Call) -> Raw | None:
    """The same answer if nothing has to be read for it."""
    answer = _answer(call, make=False)
    return answer if isinstance(answer, Raw) else None


def _answer(call: Call, *, make: bool) -> Raw | Reply | None:
    found = resolve(call)
    exact = f"{collection_name(call)}@v{found.version}"
    info = versions.get(call.store, call.ctx, exact)
    encoded = _encoded(call, exact, info.id, make)
    if encoded is None:
        return None
    headers = {"ETag": f'"{found.digest}-{found.version}"', SIGNED: _signed(call, found, encoded.listing)}
    near = call.services.is_near(call.headers.get(NEAR, ""))
    if not near and headers["ETag"] in call.headers.get("If-None-Match", ""):
        answer: Raw | Reply = Raw(status=304, headers=headers)
    elif not call.packed:
        if not make:
            return None
        planned = _near(call, exact) if near else _files(plans.files(call.store, call.ctx, exact))
        answer = Reply(Plan(version=info, files=planned, seq=found.seq), headers=headers)
    else:
        files = _near_encoded(call, exact, info.id, make) if near else encoded.files
        if files is None:
            return None
        body = _encode(_PackedPlan(version=info, files=msgspec.Raw(files), seq=found.seq))
        answer = Raw(body, MSGPACK, headers=headers)
    if call.ctx.consumer:
        call.services.fetched(call.ctx, info.id)
    return answer


def _encoded(call: Call, exact: str, version: int, make: bool) -> Encoded | None:
    encodings: Encodings = call.store.part("plan encodings", Encodings)
    encoded = encodings.get(version)
    if encoded is None and make:
        planned = plans.files(call.store, call.ctx, exact)
        encoded = Encoded(_encode(_files(planned)), plans.listing(planned))
        encodings.keep(version, encoded)
    return encoded


def _files(planned: list[Planned]) -> tuple[PlannedFile, ...]:
    return tuple(
        PlannedFile(**msgspec.structs.asdict(each.file), chunks=each.chunks, head=each.head)
        for each in planned
    )


def _near(call: Call, exact: str) -> tuple[PlannedFile, ...]:
    return tuple(
        PlannedFile(**msgspec.structs.asdict(file), places=places)
        for file, places in plans.places(call.store, call.ctx, exact)
    )


def _near_encoded(call: Call, exact: str, version: int, make: bool) -> bytes | None:
    """Where the files of a version lie; what is damaged or moved makes a commit, and then it is looked up again."""
    key = ("near", version)
    if make:
        return call.store.cached(key, lambda: _encode(_near(call, exact)))
    found: bytes | None = call.store.known(key)
    return found


def _signed(call: Call, found: Resolved, listing: str) -> str:
    name = version_name(call)
    return base64.b64encode(plans.signed(call.store, name, found, listing, call.services.plan_grace)).decode()


def report_damage(call: Call) -> Damaged:
    """Answers ``POST …/damage``: the client's word is not taken for it, the bytes are read again."""
    told: Damage = call.body
    return Damaged(
        whole=plans.recheck(call.store, call.ctx, version_name(call), told.path, told.start, told.stop)
    )


_encode = msgspec.msgpack.Encoder().encode

ROUTES = (
    Route(
        "GET",
        VERSION + "/plan",
        get_plan,
        "What a fetch needs to know.",
        query=NoQuery,
        answer=Plan,
        also=(304,),
        blocking=True,
        hot=plan_at_once,
        fields=(NEAR, "If-None-Match"),
    ),
    Route(
        "POST",
        VERSION + "/damage",
        report_damage,
        "Tells of bytes that came damaged; they are read again here and withdrawn if they are.",
        body=Damage,
        answer=Damaged,
        blocking=True,
    ),
)
