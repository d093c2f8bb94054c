"""The genuine mlflow server in a subprocess, and how its answers and ours are made comparable."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

#: What two servers cannot agree on: when a thing happened.
TIMES = {
    "creation_time", "last_update_time", "start_time", "end_time", "creation_timestamp", "last_updated_timestamp",
    "creation_timestamp_ms", "last_updated_timestamp_ms",
}  # fmt: skip
#: What is compared only to be there: when a thing happened, and the place of the next page, which is a server's own.
_OPAQUE = dict.fromkeys(TIMES, "a time") | {"next_page_token": "a token"}
#: Short numbers that are no experiment's, although one may have the same.
_NUMBERS = {"version"}
#: Extra members of the genuine server's errors, which its clients do not need.
EXTRA = {"sqlstate", "error_class"}


@contextlib.contextmanager
def genuine_server(folder: Path):
    """The address of a genuine server on SQLite in ``folder``."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    arguments += [
        "--backend-store-uri",
        f"sqlite:///{folder}/db",
        "--artifacts-destination",
        str(folder / "art"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments],
            stdout=log,
            stderr=log,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{url}/health", timeout=5).ok:
                    break
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(base, sequence):
    """The (status, body) answers of a server to a sequence of (method, path, fields, what to keep of the answer).

    ``"run=run.info.run_id"`` keeps a part of an answer, and ``$run`` stands for it in what comes after, and in what is compared.
    """
    kept, answers = {}, []
    for method, path, fields, *keeping in sequence:
        asked = _filled(fields, kept)
        path = _filled(path, kept)
        given = {"params": asked} if method == "GET" else {"json": asked}
        answer = requests.request(method, f"{base}/api/2.0/{path}", timeout=60, **given)
        try:
            body = answer.json()
        except ValueError:
            body = "no JSON"
        for each in keeping:
            name, _, place = each.partition("=")
            value = body
            for part in place.split("."):
                value = value[part]
            kept[name] = value
        answers.append((answer.status_code, _plain(body, kept)))
    return answers


def _filled(value, kept):
    if isinstance(value, str):
        for name, held in kept.items():
            value = value.replace(f"${name}", held)
        return value
    if isinstance(value, dict):
        return {key: _filled(each, kept) for key, each in value.items()}
    return [_filled(each, kept) for each in value] if isinstance(value, list) else value


def _plain(value, kept):
    """A body without what must differ, and with metrics, tags and params in an order of their own: mlflow's is that of its database."""
    if isinstance(value, dict):
        return {
            key: _OPAQUE[key] if key in _OPAQUE and each else each if key in _NUMBERS else _plain(each, kept)
            for key, each in value.items()
            if key not in EXTRA
        }
    if isinstance(value, list):
        found = [_plain(each, kept) for each in value]
        keyed = all(isinstance(each, dict) and {"key", "value"} <= set(each) for each in found)
        return sorted(found, key=lambda each: json.dumps(each, sort_keys=True)) if keyed else found
    if isinstance(value, str):
        for name, held in kept.items():
            if value == held:
                return f"${name}"
            if len(held) > 20:
                value = value.replace(held, f"${name}")
            if not value.startswith("models:/"):
                value = re.sub(rf"(?<=[/']){held}(?=/|$)", f"${name}", value)
            value = value.replace(f"experiment {held} ", f"experiment ${name} ")
            # Whole ids only: an experiment's is a short number, with which a run's may begin.
            value = value.replace(f"id={held} ", f"id=${name} ")
            value = re.sub(rf"\bid {re.escape(held)}\b", f"id ${name}", value)
        # What SQLite said is no part of the interface.
        return value.partition(" Error: (")[0]
    return value
