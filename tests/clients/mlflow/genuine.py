"""The genuine mlflow server in a subprocess, and how its answers and ours are made comparable."""

import contextlib
import hashlib
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

#: What two servers cannot agree on: when a thing happened, and digests of that.
TIMES = {
    "creation_time", "last_update_time", "start_time", "end_time", "creation_timestamp", "last_updated_timestamp",
    "creation_timestamp_ms", "last_updated_timestamp_ms", "created_time", "digest", "created_at", "created_timestamp",
    "last_updated_at", "creation_time_ms", "last_update_time_ms", "completed_time_ms",
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
        answer = _sent(method, base + path if path[:1] == "/" else f"{base}/api/2.0/{path}", asked)
        try:
            body = answer.json()
        except ValueError:
            body = "no JSON"
        for each in keeping:
            name, _, place = each.partition("=")
            value = body
            for part in place.split("."):
                value = value[int(part) if part.isdigit() else part]
            kept[name] = value
        answers.append((answer.status_code, _plain(body, kept)))
    return answers


def _sent(method, address, fields):
    """Sends a request. ``OTLP`` is a POST of spans as JSON, for the experiment of the fields' own."""
    if method == "OTLP":
        headers = {"X-MLflow-Experiment-Id": fields["experiment"], "Content-Type": "application/json"}
        return requests.post(address, headers=headers, data=json.dumps(fields["body"]), timeout=60)
    given = {"params": fields} if method == "GET" else {"json": fields}
    return requests.request(method, address, timeout=60, **given)


def compare(genuine, ours, sequence, seed):
    """Asserts that two servers answer a sequence alike; ``{seed}`` in it stands for ``seed``, ``{id:x}`` for 32 digits of its own."""
    sequence = [(method, *(_seeded(part, seed) for part in rest)) for method, *rest in sequence]
    for request, expected, got in zip(sequence, ask(genuine, sequence), ask(ours, sequence), strict=True):
        assert got == expected, request


def _seeded(value, seed):
    if isinstance(value, str):
        value = value.replace("{seed}", seed)
        return re.sub(
            r"\{id:(\w+)\}",
            lambda found: hashlib.sha256(f"{seed} {found[1]}".encode()).hexdigest()[:32],
            value,
        )
    if isinstance(value, dict):
        return {key: _seeded(each, seed) for key, each in value.items()}
    return [_seeded(each, seed) for each in value] if isinstance(value, list) else value


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
            value = re.sub(rf"\bexperiment {re.escape(held)}(?=[ .])", f"experiment ${name}", value)
            value = value.replace(f"experiment '{held}'", f"experiment '${name}'")
            # Whole ids only: an experiment's is a short number, with which a run's may begin.
            value = value.replace(f"id={held} ", f"id=${name} ")
            value = re.sub(rf"\bid {re.escape(held)}\b", f"id ${name}", value)
        value = re.sub(r"\{'[^{}]*'\}", _sorted_set, value)
        # What SQLite said is no part of the interface.
        return value.partition(" Error: (")[0]
    return value


def _sorted_set(found):
    """A set as Python prints it, in an order of its own."""
    return "{" + ", ".join(sorted(re.findall("'[^']*'", found[0]))) + "}"
