"""``wandb verify``: the SDK's own check of a server, from logging in to a sweep."""

from __future__ import annotations

import re
import socket
from contextlib import closing

from sdk import ANY_KEY, Sdk

from runstone.config import ServerOptions
from runstone.domain import projects
from runstone.domain.context import Context
from runstone.server.background import Background


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_the_sdk_verifies_the_server(tmp_path):
    port = free_port()
    options = ServerOptions(
        data=str(tmp_path / "data"),
        port=port,
        log_format="off",
        cors_origins=(f"http://127.0.0.1:{port}",),
    )
    with Background(options) as server:
        sdk = Sdk(server.url, ANY_KEY, tmp_path / "sdk")
        shown = sdk.command("verify", "--host", server.url, timeout=400)
        checks = re.findall(r"^(Checking .+?)\.{2,}(✅|❌)", shown, re.M)
        # The server speaks plain http here, and the SDK says so of its addresses and of the signed ones.
        assert [name for name, mark in checks if mark == "❌"] == [
            "Checking requests to base url",
            "Checking requests made over signed URLs",
        ]
        assert shown.count("not made over https") == 2
        assert {name for name, mark in checks if mark == "✅"} >= {
            "Checking if logged in",
            "Checking signed URL upload",
            "Checking ability to send large payloads through proxy",
            "Checking CORs configuration of the bucket",
            "Checking logged metrics, saving and downloading a file",
            "Checking artifact save and download workflows",
            "Checking sweep creation and agent execution",
        }
        assert projects.list_projects(server.store, Context(), "local")
