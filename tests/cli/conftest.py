"""A command line to call, and a store for it: a directory, or a server that has it."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commandline import SRC, Ran, Run, start

from runstone.cli.main import main


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No setting of whoever runs the tests, and a home of their own."""
    for name in list(os.environ):
        if name.startswith(("RUNSTONE_", "XDG_")) and not name.startswith("RUNSTONE_TEST"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(SRC))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys) -> Run:
    """Calls the command line in this process."""

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return call


@pytest.fixture
def ok(run) -> Run:
    """Like ``run``, for what must work."""

    def call(*arguments: object) -> Ran:
        ran = run(*arguments)
        assert ran.code == 0, ran.err
        return ran

    return call


@pytest.fixture
def data(tmp_path) -> Path:
    """A data directory; nothing is there yet."""
    return tmp_path / "data"


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts ``runstone up`` on a data directory and a free port; its URL. All are stopped in the end."""
    running = []

    def begin(data: Path, *options: object) -> str:
        server = start("up", "--data", data, "--port", 0, *options, stderr=subprocess.DEVNULL)
        running.append(server)
        for line in server.stdout:
            found = re.search(r"http://\S+", line)
            if found:
                return found[0]
        raise AssertionError(f"the server ended with {server.wait(10)}")

    yield begin
    for server in running:
        server.send_signal(signal.SIGTERM)
    for server in running:
        try:
            server.wait(20)
        finally:
            server.kill()
            server.stdout.close()


@pytest.fixture(params=["directory", "server"])
def store(request, monkeypatch, data) -> str:
    """The store that commands are about, by the environment: a directory, or a server."""
    target = str(data) if request.param == "directory" else request.getfixturevalue("serve")(data)
    monkeypatch.setenv("RUNSTONE_STORE", target)
    return target


@pytest.fixture
def directory(monkeypatch, data) -> Path:
    """The data directory that commands are about."""
    monkeypatch.setenv("RUNSTONE_STORE", str(data))
    return data
