"""Settings of a server, from the command line and from ``RUNSTONE_…`` environment variables, checked before anything starts."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from runstone.errors import Invalid

PREFIX = "RUNSTONE_"

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


def default_data() -> str:
    """The folder of a store that nobody named: in the user's data directory."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return str(Path(home) / "runstone")


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server is told. Each field is also an environment variable: ``RUNSTONE_`` and the name in capitals.

    Times are seconds and sizes bytes. Lists are separated by commas in the environment.
    """

    data: str = msgspec.field(default_factory=default_data)
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 7878
    workers: Annotated[int, Meta(ge=1, le=256)] = 1

    #: ``auto`` is on for every host that is not loopback; ``on`` is on for loopback as well.
    auth: Literal["auto", "on"] = "auto"
    #: Values of the Host header that are answered, beside the names of this machine that the server is bound to; ``*`` is any.
    allowed_hosts: tuple[str, ...] = ()
    #: Origins that a browser may call from; ``*`` is any.
    cors_origins: tuple[str, ...] = ()

    hot_lane: bool = True
    #: Whether Hugging Face clients are told that they can read large files by xet. On the same host plain HTTP is faster.
    xet_reads: bool = False
    log_format: Literal["text", "json", "off"] = "json"
    #: Where the access log goes; empty is standard error.
    log_file: str = ""

    #: Longest address, header field, and header; and the most fields.
    max_line: Annotated[int, Meta(ge=1024, le=1 << 20)] = 16 << 10
    max_header: Annotated[int, Meta(ge=1024, le=1 << 20)] = 16 << 10
    max_header_bytes: Annotated[int, Meta(ge=1024, le=1 << 22)] = 64 << 10
    max_headers: Annotated[int, Meta(ge=16, le=1000)] = 100
    #: Longest JSON or MessagePack body: of a manifest, and of everything else.
    max_manifest: Annotated[int, Meta(ge=1 << 10, le=1 << 30)] = 64 << 20
    max_body: Annotated[int, Meta(ge=1 << 10, le=1 << 30)] = 4 << 20
    max_connections: Count = 4096
    max_requests: Count = 1024
    #: Requests a second for each principal and worker; 0 is no limit.
    rate: Annotated[float, Meta(ge=0)] = 0
    #: Wrong API keys a minute for each address and worker; 0 is no limit.
    max_failed_logins: Annotated[int, Meta(ge=0, le=1_000_000)] = 30

    header_seconds: Seconds = 20
    body_seconds: Seconds = 60
    idle_seconds: Seconds = 75
    #: A download or upload that moves fewer than ``stall_bytes`` in this time is ended.
    stall_seconds: Seconds = 30
    stall_bytes: Count = 65_536
    #: The longest that a shutdown waits for what is being answered.
    shutdown_seconds: Seconds = 30
    upkeep_seconds: Seconds = 60
    #: Lets webhooks call plain http and hosts in private networks.
    private_webhooks: bool = False
    #: How long clients may rely on the last plan they got when no server can be asked.
    plan_grace_seconds: Annotated[float, Meta(ge=0, le=366 * 86_400)] = 7 * 86_400

    def authenticates(self) -> bool:
        """Whether requests need an API key."""
        return self.auth == "on" or not is_loopback(self.host)


def from_environment(environment: Mapping[str, str] | None = None, **given: Any) -> ServerOptions:
    """The options that the environment sets, with those ``given`` (not None) before it; raises :class:`Invalid`."""
    environment = os.environ if environment is None else environment
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(ServerOptions):
        text = environment.get(PREFIX + field.name.upper())
        if text is not None and text != "":
            found[field.name] = _split(text) if field.name in _LISTS else text
    found |= {name: value for name, value in given.items() if value is not None}
    try:
        return msgspec.convert(found, ServerOptions, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"server options: {error}") from None


_LISTS = frozenset({"allowed_hosts", "cors_origins"})


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
