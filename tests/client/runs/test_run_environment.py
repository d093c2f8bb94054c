"""What is recorded of the place that a run runs in."""

import json
import os
import subprocess
import sys
import time
from importlib import metadata

import pytest

from runstone.client.runs import environment, system


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with a commit, and a change that is not committed."""
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def git(*words):
        settings = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *settings, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q", "-b", "trunk")
    (tmp_path / "train.py").write_text("lr = 1\n")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    git("remote", "add", "origin", "https://user:secret@example.org/a/b.git")
    return tmp_path, git


def test_the_state_of_the_repository(repository):
    path, git = repository
    clean = environment.git(path)
    assert clean["commit"] == git("rev-parse", "HEAD").strip() and clean["branch"] == "trunk"
    assert clean["dirty"] is False and clean["diff"] == ""
    assert clean["remote"] == "https://example.org/a/b.git"
    (path / "sub").mkdir()
    (path / "train.py").write_text("lr = 2\n")
    dirty = environment.git(path / "sub")
    assert dirty["dirty"] is True and "-lr = 1\n+lr = 2\n" in dirty["diff"] and not dirty["diff_truncated"]
    assert dirty["root"] == str(path.resolve())


def test_a_huge_diff_is_cut(repository, monkeypatch):
    path, _ = repository
    monkeypatch.setattr(environment, "MAX_DIFF", 1000)
    (path / "train.py").write_text("größe\n" * 100_000)
    found = environment.git(path)
    assert found["dirty"] and found["diff_truncated"] and 990 < len(found["diff"].encode()) <= 1000


def test_git_runs_nothing_that_the_repository_names(repository):
    path, git = repository
    script = path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {path}/ran\n")
    script.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.evil.textconv", "diff.evil.command"):
        git("config", name, str(script))
    (path / ".gitattributes").write_text("*.py diff=evil\n")
    (path / "train.py").write_text("lr = 2\n")
    assert "lr = 2" in environment.git(path)["diff"]
    assert not (path / "ran").exists()


def test_outside_of_a_repository_there_is_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.git(tmp_path) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert environment.capture(tmp_path)["git"] is None


def test_git_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\nexec sleep 30\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(environment, "GIT_SECONDS", 0.1)
    assert environment.git(tmp_path) is None


def test_packages_are_the_installed_ones():
    found = environment.packages()
    for name in ("msgspec", "aiohttp", "pytest"):
        assert found[name] == metadata.version(name)


def test_the_command_is_this_process_s_without_its_secrets():
    script = (
        "from runstone.client.runs.environment import command; import json; print(json.dumps(command()[3:]))"
    )
    words = [
        "--store",
        "https://me:pw@example.org/x",
        "--wandb-key",
        "abc",
        "--API_TOKEN=abc",
        "--keys",
        "k",
        "--key",
        "-v",
    ]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "--store", "https://example.org/x", "--wandb-key", "***", "--API_TOKEN=***", "--keys", "k", "--key", "-v"
    ]  # fmt: skip


# Samples of the machine


def test_work_of_the_process_and_its_children_is_seen(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; b = bytearray(60 << 20); print(1, flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        child.stdout.readline()
        assert set(system.family(os.getpid())) >= {os.getpid(), child.pid}
        before = system.read(os.getpid())
        alone = system.read(child.pid)
        assert alone.memory > 60 << 20 and before.memory > alone.memory
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        with open(tmp_path / "written", "wb") as file:
            file.write(bytes(8 << 20))
            os.fsync(file.fileno())
        found = system.metrics(before, system.read(os.getpid()))
        child.stdin.close()
    assert 1 < found["system/cpu"] < 100 * os.cpu_count() + 100
    assert 0 < found["system/machine_cpu"] <= 100 and 0 < found["system/machine_memory"] < 100
    assert found["system/threads"] >= 2 and found["system/memory_mib"] > 60
    assert found["system/disk_written_mib_s"] > 0
    assert all(name.startswith("system/") and isinstance(value, float) for name, value in found.items())


def test_a_process_that_is_gone_counts_nothing():
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert system.read(gone.pid)[1] == 0.0 and system.read(gone.pid).memory == 0
