"""Tokens: what ``hf_xet`` is given to speak to the store of bytes, short-lived and good for one namespace."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from runstone.dialects.hub.resolving import attributed
from runstone.dialects.hub.wire import for_each_kind, origin, repo_and_commit, repo_of
from runstone.dialects.routing import Call, Reply
from runstone.domain import xet

#: Where the store of bytes is. What clients remember of it, they remember by this address: when xorbs were forgotten it is another.
STORE = "/api/xet/{ns}/{generation}"
SECONDS = 3600.0


def token(write: bool, kind: str, call: Call) -> Reply:
    """Answers ``GET …/xet-read-token/{rev}`` and ``…/xet-write-token/{rev}``."""
    if write:
        repo = repo_of(kind, call)
    else:
        repo, commit = repo_and_commit(kind, call)
        # What is read by the chunk afterwards does not say of which version.
        if commit.version is not None:
            call.services.fetched(attributed(call), commit.version.id)
    namespace = repo.collection.namespace
    number = xet.generation(call.store, call.ctx, namespace, write=write)
    where = STORE.format(ns=namespace, generation=number)
    expires = int(time.time() + SECONDS)
    access = call.services.token(call.ctx, where, SECONDS, read_only=not write)
    url = origin(call) + where
    value: dict[str, Any] = {"casUrl": url, "accessToken": access, "exp": expires}
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": access,
        "X-Xet-Token-Expiration": str(expires),
    }
    return Reply(value, headers=headers)


ROUTES = (
    *for_each_kind(
        "GET", "/xet-read-token/{rev}", partial(token, False), "A token to read by xet.", anonymous=True
    ),
    *for_each_kind("GET", "/xet-write-token/{rev}", partial(token, True), "A token to upload by xet."),
)
