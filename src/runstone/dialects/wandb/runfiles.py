"""Files of runs: where they are uploaded to and read from. The SDK sends no credentials there, so the addresses are signed."""

from __future__ import annotations

import posixpath
from typing import Any

from runstone.dialects.routing import Call, Download, Raw
from runstone.dialects.wandb import wire
from runstone.domain import content, limits
from runstone.domain.runs import files, finding, listing
from runstone.errors import Missing
from runstone.types import FileEntry, RunInfo

RUN_FILE = "/wandb/runs/{entity}/{project}/{run}/{path...}"


def address(call: Call, run: str, path: str, *methods: str) -> str:
    """A signed address of a run's file."""
    return wire.signed(call, methods, ["runs", *run.split("/"), *path.split("/")])


def page(
    call: Call,
    run: RunInfo,
    names: list[str] | None,
    after: str | None,
    first: int | None,
    pattern: str | None,
) -> dict[str, Any]:
    """A page of a run's files."""
    held = files.listed(call.store, call.ctx, run.path, limit=1_000_000)
    if names:
        # The SDK asks for a file by the path that it was saved by, ./name too.
        wanted = {posixpath.normpath(name) for name in names if name}
        held = [file for file in held if file.path in wanted]
    elif pattern:
        held = [file for file in held if listing.like(pattern, file.path)]
    found = wire.page(held, after, first)
    for edge in found["edges"]:
        edge["node"] = _node(call, run, edge["node"])
    return found


def _node(call: Call, run: RunInfo, file: FileEntry) -> dict[str, Any]:
    at = address(call, run.path, file.path, "GET", "HEAD")
    return {
        "id": wire.make_id("File", run.id) + "/" + file.path,
        "name": file.path,
        "url": at,
        "directUrl": at,
        "sizeBytes": file.size,
        "mimetype": content.media_type(file),
        "updatedAt": wire.time_text(run.updated),
        "md5": None,
    }


def create(call: Call, run: str, names: list[str]) -> list[dict[str, Any]]:
    """Addresses that files are to be put to, in the order asked."""
    with call.store.index.read() as view:
        found = finding.find(call.store, view, call.ctx, run, "write")
    made = []
    for name in names:
        put = address(call, run, limits.path(name), "PUT")
        made.append({"id": wire.make_id("File", found.run.id), "name": name, "uploadUrl": put})
    return made


def delete(call: Call, ids: list[str]) -> None:
    """Takes files away, by their ids."""
    for each in ids:
        number, slash, path = each.partition("/")
        if not slash:
            raise Missing(f"{each!r:.100} is not the id of a file")
        run = finding.named(call.store, call.ctx, wire.number_of("File", number))
        files.remove(call.store, call.ctx, run, [path])


async def put(call: Call) -> Raw:
    """Answers ``PUT`` of a signed address: takes the bytes in, and gives the run the file."""
    run = "/".join(call.path[part] for part in ("entity", "project", "run"))
    found = await take_in(call, call.path["entity"])
    entry = FileEntry(path=call.path["path"], size=found.size, sha256=found.sha256)
    await call.services.in_thread(files.put, call.store, call.ctx, run, [entry])
    return Raw(status=200, headers={"ETag": f'"{found.sha256}"'})


async def take_in(call: Call, namespace: str) -> Any:
    """Uploads the body of a request into a namespace; what it turned out to be. One that breaks off leaves nothing."""
    run, store, ctx = call.services.in_thread, call.store, call.ctx
    assert call.content is not None
    upload = (await run(content.begin_upload, store, ctx, namespace)).id
    offset = 0
    try:
        async for piece in call.content:
            offset = await run(content.write_upload, store, ctx, upload, offset, piece)
        return await run(content.finish_upload, store, ctx, upload)
    except BaseException:
        await run(content.abort_upload, store, ctx, upload)
        raise


def get(call: Call) -> Download:
    """Answers ``GET`` of a signed address."""
    run = "/".join(call.path[part] for part in ("entity", "project", "run"))
    return Download(files.open_file(call.store, call.ctx, run, call.path["path"]))
