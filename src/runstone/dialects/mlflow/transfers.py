"""Large files in parallel: uploads in parts, and addresses that are good without a key for a while.

A part's tag is the SHA-256 of its bytes, so that the end of an upload says all that is to be put together.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from runstone.dialects.mlflow import artifacts, ids, wire
from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.mlflow.wire import INTEGER, REQUIRED, STRING
from runstone.dialects.routing import BYTES, Call, Pairs, Raw, Route
from runstone.domain import content, joining
from runstone.domain.runs.browsing import RunHead
from runstone.errors import Invalid, Missing

PART = "/api/2.0/mlflow-artifacts/mpu-parts/{namespace}/{upload}/{number}"
SIGNED = "/api/2.0/mlflow-artifacts/signed"
SECONDS = 24 * 3600.0
#: How long an address for a download is good, unless the client says.
DOWNLOAD_SECONDS, MAX_SECONDS = 900, 7 * 24 * 3600


def create(call: Call) -> Any:
    """Answers ``POST mpu/create/{path}``: an address for each part."""
    run, _ = _target(call)
    parts = wire.whole(call.body, "num_parts", 1)
    if not 1 <= parts <= joining.MAX_PARTS:
        raise invalid(f"num_parts must be between 1 and {joining.MAX_PARTS}, not {parts}")
    upload = secrets.token_hex(16)
    return {
        "upload_id": upload,
        "credentials": [_credential(call, run, upload, at + 1) for at in range(parts)],
    }


def _credential(call: Call, run: RunHead, upload: str, number: int) -> dict[str, Any]:
    path = PART.format(namespace=run.namespace, upload=upload, number=number)
    url = _origin(call) + call.services.sign(call.ctx, ("PUT",), path, SECONDS)
    return {"url": url, "part_number": number, "headers": {}}


async def put_part(call: Call) -> Raw:
    """Answers ``PUT`` of a part. One that comes again is the same part."""
    assert call.content is not None
    in_thread = call.services.in_thread
    begun = await in_thread(content.begin_upload, call.store, call.ctx, call.path["namespace"])
    try:
        await artifacts.take_in(call, begun.id, call.content)
        found = await in_thread(content.finish_upload, call.store, call.ctx, begun.id)
    except BaseException:
        await in_thread(artifacts.drop, call, begun.id)
        raise
    return Raw(headers={"ETag": f'"{found.sha256}"'})


def complete(call: Call) -> Any:
    """Answers ``POST mpu/complete/{path}``: the parts become the file."""
    run, path = _target(call)
    given = call.body.get("parts")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise invalid("Missing value for required parameter 'parts'." + wire.HINT)
    if len(given) > joining.MAX_PARTS:
        raise invalid(f"an upload has at most {joining.MAX_PARTS} parts, not {len(given)}")
    numbers = [wire.whole(each, "part_number") for each in given]
    if sorted(numbers) != list(range(1, len(given) + 1)):
        raise invalid("the parts of an upload are numbered from 1 on, each once")
    ordered = sorted(given, key=lambda each: wire.whole(each, "part_number"))
    tags = [wire.text(each, "etag").strip('"') for each in ordered]
    try:
        found = joining.join(call.store, call.ctx, run.namespace, tags)
    except (Invalid, Missing) as error:
        raise invalid(error.message) from None
    artifacts.keep_file(call, run, path, found)
    return {}


def abort(call: Call) -> Any:
    """Answers ``POST mpu/abort/{path}``: parts that nothing was made of are collected by themselves."""
    _target(call)
    return {}


def presigned(call: Call) -> Any:
    """Answers ``GET presigned/{path}``: an address that answers the file, or any range of it, without a key."""
    path = artifacts.checked(call.path["path"])
    with artifacts.opened(call, path) as found:
        return {
            "url": _signed(call, ("GET",), path, DOWNLOAD_SECONDS),
            "headers": {},
            "file_size": found.size,
        }


def download_url(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``artifacts/presigned-download-url``."""
    seconds = _seconds(fields, DOWNLOAD_SECONDS)
    path = artifacts.path_of(call, ids.head(call, wire.text(fields, "run_id")), wire.text(fields, "path"))
    with artifacts.opened(call, path) as found:
        return {"presigned_url": _signed(call, ("GET",), path, seconds), "file_size": found.size}


def upload_url(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``artifacts/presigned-upload-url``, for a run or a logged model."""
    run_id, model_id = wire.text(fields, "run_id"), wire.text(fields, "model_id")
    if bool(run_id) == bool(model_id):
        raise invalid("Exactly one of run_id and model_id must be provided.")
    holder = ids.active_head(call, run_id) if run_id else artifacts.logged_head(call, model_id)
    path = artifacts.path_of(call, holder, wire.text(fields, "path"))
    return {"presigned_url": _signed(call, ("PUT",), path, _seconds(fields, DOWNLOAD_SECONDS))}


def _target(call: Call) -> tuple[RunHead, str]:
    """The run (or logged model) that a file is uploaded to, and the file's path in it."""
    if not isinstance(call.body, dict):
        raise invalid("the body must be a JSON object")
    name = wire.text(call.body, "path")
    if not name:
        raise invalid("Missing value for required parameter 'path'." + wire.HINT)
    # The client names the file by its own path; what it is called is the last part of that.
    folder = call.path["path"].strip("/")
    holder, rest = artifacts.holder(call, artifacts.checked(f"{folder}/{name.rpartition('/')[2]}"))
    if holder.deleted:
        raise invalid(f"The run {holder.name} must be in the 'active' state. Current state is deleted.")
    return holder, artifacts.checked(rest)


def _seconds(fields: dict[str, Any], default: int) -> int:
    seconds = wire.whole(fields, "expiration", default)
    if not 1 <= seconds <= MAX_SECONDS:
        raise invalid(f"expiration must be between 1 and {MAX_SECONDS} seconds (got {seconds}).")
    return seconds


def _signed(call: Call, methods: tuple[str, ...], path: str, seconds: float) -> str:
    escaped = "/".join(wire.escaped(part) for part in path.split("/"))
    return _origin(call) + call.services.sign(call.ctx, methods, f"{SIGNED}/{escaped}", seconds)


def _origin(call: Call) -> str:
    """The address that the client reached this server at."""
    scheme = "https" if call.headers.get("X-Forwarded-Proto") == "https" else "http"
    return f"{scheme}://{call.headers.get('Host', 'localhost')}"


def _routes() -> Iterator[Route]:
    for root in ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"):
        for step, handler in (("create", create), ("complete", complete), ("abort", abort)):
            path = f"{root}/mpu/{step}/{{path...}}"
            yield Route("POST", path, handler, "An upload in parts.", body=Any, query=Pairs, blocking=True)
        path = root + "/presigned/{path...}"
        yield Route("GET", path, presigned, "An address of a file.", query=Pairs, blocking=True)
    yield Route("PUT", PART, put_part, "Takes a part in.", streams=True, signed=True)
    one = SIGNED + "/{path...}"
    yield Route(
        "GET",
        one,
        artifacts.download,
        "A file.",
        media_type=BYTES,
        also=(206, 304),
        signed=True,
    )
    yield Route("PUT", one, artifacts.upload, "Takes a file in.", streams=True, signed=True)
    yield from wire.routes(
        "POST",
        "artifacts/presigned-download-url",
        download_url,
        "An address of a file of a run.",
        {"run_id": (REQUIRED, STRING), "path": (REQUIRED, STRING), "expiration": (INTEGER,)},
    )
    yield from wire.routes(
        "POST",
        "artifacts/presigned-upload-url",
        upload_url,
        "An address to upload a file to.",
        {
            "run_id": (STRING,),
            "model_id": (STRING,),
            "path": (REQUIRED, STRING),
            "expiration": (INTEGER,),
        },
    )


ROUTES = tuple(_routes())
