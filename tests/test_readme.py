"""The README's five-minute start, run exactly as it is written: in one shell, with a home of its own."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(
    r"^<!-- run: (?P<name>\w+) -->\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARK = "=====8<===== "


class Block(NamedTuple):
    """A block of the README that is run."""

    name: str
    language: str
    code: str


BLOCKS = [Block(*found.groups()) for found in BLOCK.finditer(README)]


def script() -> str:
    """One shell script of all blocks, each announced on standard output; the first failure ends it."""
    parts = ["set -euo pipefail"]
    for block in BLOCKS:
        parts.append(f"echo; echo '{MARK}{block.name}'")
        parts.append(
            block.code if block.language == "sh" else f"python - <<'END OF BLOCK'\n{block.code}END OF BLOCK"
        )
    return "\n".join(parts) + "\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Runs the README once; the folder it ran in and what each block printed."""
    home = tmp_path_factory.mktemp("readme")
    programs = home / "bin"
    programs.mkdir()
    # What an installed runstone is: the console script, on the path, of the interpreter that runs the tests.
    program = programs / "runstone"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom runstone.cli.main import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RUNSTONE_", "XDG_"))
    }
    environment |= {
        "HOME": str(home),
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "RUNSTONE_PORT": str(free_port()),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    # To files and not pipes: a server that a failed block leaves behind would hold a pipe open.
    with (home / "out").open("w+") as out, (home / "err").open("w+") as err:
        shell = subprocess.Popen(
            ["bash", "-c", script()],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            shell.wait(300)
        finally:
            stop(shell.pid)
            shell.wait()
    out, err = (home / "out").read_text(), (home / "err").read_text()
    assert shell.returncode == 0, f"{out}\n{err}"
    _, *printed = out.split(MARK)
    told = dict(part.split("\n", 1) for part in printed)
    yield home, told, err
    shutil.rmtree(home)


def stop(group: int) -> None:
    """Ends whatever of the shell's process group is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def test_every_command_of_the_start_is_run():
    start = README[README.index("## Five-minute start") : README.index("## From here")]
    assert [block.name for block in BLOCKS] == [
        "put", "get", "stop", "map", "tune", "second", "proof", "flip", "damage", "repair",
        "train", "find", "serve", "wandb", "mlflow", "hub", "load", "follow",
    ]  # fmt: skip
    assert start.count("```") == 2 * len(BLOCKS)


def test_the_model_is_put_and_survives_the_kill(session):
    home, told, err = session
    assert "local/models/minilm:v1  13 files, 91.6 MB\naliases: prod\n" in told["put"]
    assert "Killed" in err
    assert told["get"].rstrip().endswith("every byte is equal")
    assert (home / "fetched" / "model.safetensors").stat().st_size == 90_868_376


def test_the_weights_are_mapped_and_not_copied(session):
    _, told, _ = session
    assert "(30522, 384)" in told["map"]
    assert "a copy: False" in told["map"]
    assert re.search(r"\['[0-9a-f]{16}\.pack'\]", told["map"])


def test_only_what_changed_is_stored(session):
    _, told, _ = session
    before, after = (int(found) for found in re.findall(r"^(\d+)\t", told["second"], re.MULTILINE))
    assert 91_600_000 < before < 92_200_000
    # 1.18 MB were changed in two stretches; each end of a stretch costs at most a chunk of 128 KiB.
    assert 1_180_000 < after - before < 1_180_000 + 4 * 131_072 + 65_536
    assert "local/models/minilm:v2  13 files, 91.6 MB" in told["second"]


def test_the_history_is_told_and_proven(session):
    _, told, _ = session
    assert re.search(r"  v1 +-  ", told["proof"])
    assert re.search(r"  v2 +v1  ", told["proof"])
    assert "entries proven: 2." in told["proof"]


def test_the_damage_is_found_and_named_and_never_served(session):
    _, told, err = session
    assert told["damage"].count("exit code 6") == 2
    named = re.search(
        r"blob ([0-9a-f]{64}): \d+ bytes at \d+ are damaged \(checksum\) in pack [0-9a-f]{16}", err
    )
    assert named
    assert len(re.findall(r"^DAMAGED: ", told["damage"], re.MULTILINE)) == 2
    for version in ("v1", "v2"):
        assert f"withdrawn  local/models/minilm:{version}" in told["damage"]
        assert re.search(rf"^local/models/minilm:{version}  quarantined", told["damage"], re.MULTILINE)


def test_the_damage_is_repaired(session):
    _, told, _ = session
    assert "DAMAGED" not in told["repair"]
    assert len(re.findall(r"^local/models/minilm:v[123]  live", told["repair"], re.MULTILINE)) == 3
    assert told["repair"].rstrip().endswith("every byte is equal")


def test_a_run_is_tracked_found_and_taken_elsewhere(session):
    _, told, _ = session
    assert "'loss': 0.0357931" in told["train"] and "[0, 200, 400, 600, 800]" in told["train"]
    found = told["find"]
    assert "the training is done\n" in found and "local/demo/first is finished" in found
    assert re.search(r"^first  finished .*0\.0357931 +adam$", found, re.MULTILINE)
    assert re.search(r"^id +loss\nfirst  0\.0357931$", found, re.MULTILINE)
    assert "local/demo from demo-bundle: 1 run, 2000 points, 1 line" in found
    assert found.rstrip().splitlines()[-1].startswith("first  finished")


def test_what_one_client_logs_the_others_have(session):
    home, told, _ = session
    assert told["mlflow"].strip().splitlines()[-1] == "1"
    path = Path(told["hub"].strip().splitlines()[-1])
    assert (path / "model.safetensors").read_bytes() == (home / "tuned" / "model.safetensors").read_bytes()


def test_a_model_is_loaded_and_followed(session):
    _, told, _ = session
    assert told["load"].strip() == "(384, 384)"
    assert "ready: local/served/minilm:v1" in told["follow"]
    assert told["follow"].rstrip().endswith("every byte is equal")
