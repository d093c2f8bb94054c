"""What administrators ask of a store: verification, garbage collection, scrubbing."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from runstone.dialects.native.wire import Request
from runstone.dialects.routing import LINES, Call, Progress, Route, Work
from runstone.domain import content, limits, maintenance, policy, versions


class Verification(Request):
    """What to verify; empty is the whole store."""

    name: str = ""


class Sweep(Request):
    """For how long bytes must have been unreferenced before they are freed."""

    grace_seconds: Annotated[float, Meta(ge=0, le=31_536_000)] = limits.DEFAULT_GRACE


class Scrub(Request):
    """Whether to hash every chunk (BLAKE3), beyond checking every extent (xxh3)."""

    deep: bool = False


def verify(call: Call) -> Work:
    """Answers ``POST /verify``: a version for whoever may read it, the whole index for administrators."""
    asked: Verification = call.body
    if asked.name:
        versions.resolve(call.store, call.ctx, asked.name)
        return Work(
            lambda progress: readable(content.verify_version(call.store, call.ctx, asked.name, progress))
        )
    policy.require_admin(call.ctx, "verify the store")

    def run(progress: Progress) -> Any:
        head = maintenance.verify(call.store, call.ctx, progress)
        return {"entries": head.size, "root": head.root.hex(), "state": head.state.hex(), "time": head.time}

    return Work(run)


def gc(call: Call) -> Work:
    """Answers ``POST /admin/gc``."""
    policy.require_admin(call.ctx, "collect garbage")
    asked: Sweep = call.body

    def run(_: Progress) -> Any:
        return readable(maintenance.gc(call.store, call.ctx, grace_seconds=asked.grace_seconds))

    return Work(run)


def scrub(call: Call) -> Work:
    """Answers ``POST /admin/scrub``."""
    policy.require_admin(call.ctx, "scrub")
    asked: Scrub = call.body

    def run(progress: Progress) -> Any:
        return readable(maintenance.scrub(call.store, call.ctx, deep=asked.deep, progress=progress))

    return Work(run)


def readable(report: Any) -> Any:
    """A report as JSON values: bytes as hexadecimal text."""
    if is_dataclass(report) and not isinstance(report, type):
        report = asdict(report)
    return _hexed(msgspec.to_builtins(report, builtin_types=(bytes,), str_keys=True))


def _hexed(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _hexed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hexed(item) for item in value]
    return value


ROUTES = (
    Route(
        "POST",
        "/api/v1/verify",
        verify,
        "Checks a version against its manifest, or the index against the log.",
        body=Verification,
        media_type=LINES,
    ),
    Route(
        "POST", "/api/v1/admin/gc", gc, "Frees bytes that nothing refers to.", body=Sweep, media_type=LINES
    ),
    Route(
        "POST",
        "/api/v1/admin/scrub",
        scrub,
        "Reads and checks every stored byte.",
        body=Scrub,
        media_type=LINES,
    ),
)
