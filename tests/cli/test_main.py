"""The entry point: help, options, errors and exit codes."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest
from commandline import SRC, start

from runstone import errors
from runstone.cli import exits
from runstone.cli.main import COMMANDS, command_line, main

CODES = {
    "error": 1,
    "missing": 3,
    "gone": 3,
    "denied": 4,
    "gated": 4,
    "unknown_path": 3,
    "unauthenticated": 4,
    "cross_origin": 4,
    "conflict": 5,
    "exists": 5,
    "alias_moved": 5,
    "offset_mismatch": 5,
    "corrupt": 6,
    "quarantined": 6,
    "invalid": 7,
    "malformed": 7,
    "method_not_allowed": 7,
    "not_acceptable": 7,
    "request_timeout": 7,
    "unsupported_media": 7,
    "expectation_failed": 7,
    "misdirected": 7,
    "digest_mismatch": 7,
    "too_large": 7,
    "address_too_long": 7,
    "header_too_large": 7,
    "range_unsatisfiable": 7,
    "try_again": 8,
    "overloaded": 8,
    "too_many_failures": 8,
    "busy": 8,
    "storage_full": 8,
    "storage_failed": 8,
    "unreachable": 8,
    "broken_answer": 8,
}


def test_every_error_has_the_exit_code_that_is_documented():
    ours = {code: kind for code, kind in errors.by_code().items() if kind.__module__ == "runstone.errors"}
    assert {code: exits.code_of(kind("x")) for code, kind in ours.items()} == CODES


def test_help_lists_every_command_and_what_it_does(run):
    ran = run("--help")
    assert ran.code == 0
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(entry.help)}$", ran.out, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_what_the_table_says(name, run):
    command = command_line().get_command(click.Context(command_line()), name)
    assert command.name == name
    assert command.get_short_help_str(limit=1000) == COMMANDS[name].help
    ran = run(name, "--help")
    assert ran.code == 0
    for option in ("--store", "--key", "--json"):
        assert option in ran.out


def test_no_arguments_show_help(run):
    ran = run()
    assert ran.code == 2
    assert ran.out.startswith("Usage: runstone")
    assert ran.err == ""


def test_version(run):
    import runstone

    assert run("--version").out == f"runstone {runstone.__version__}\n"


def test_the_entry_points():
    project = tomllib.loads((SRC.parent / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["runstone"].partition(":")
    assert getattr(import_module(module), name) is main
    done = subprocess.run(
        [sys.executable, "-m", "runstone", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"runstone {project['version']}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("ls", "--frobnicate"),
        ("alias", "set", "p/m"),
        ("alias", "set", "p/m", "prod", "--expect", "-1"),
        ("alias", "at", "p/m", "prod"),
        ("lineage", "add", "a/b:v1", "likes", "run:r"),
        ("up", "--port", "65536"),
        ("put", "folder"),
        ("put", "p/m", "--reference", "a=s3://b/c,notanumber,etag"),
        ("gc", "--grace", "soon"),
        ("proof", "check", "proof.json"),
        ("completion", "tcsh"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_code_2(run, directory, arguments):
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("runstone: ")
    assert ran.err.count("\n") == 1
    ran = run(*arguments, "--json") if "--frobnicate" not in arguments else run("--json", *arguments)
    assert ran.code == 2
    assert ran.problem["code"] == "invalid"
    assert not directory.exists()


def test_options_before_and_after_the_command(run, data, folder):
    assert run("--store", data, "put", folder, "p/m").code == 0
    before = run("--json", "--store", data, "alias", "ls", "p/m")
    after = run("alias", "ls", "p/m", "--json", "--store", data)
    between = run("alias", f"--store={data}", "--json", "ls", "p/m")
    assert before == after == between
    assert before.json == []


def test_the_store_is_the_option_or_else_the_environment(run, ok, monkeypatch, tmp_path, folder):
    stores = {name: tmp_path / name for name in ("option", "store", "data", "home/.local/share/runstone")}
    for name, path in stores.items():
        ok("put", folder, f"p/{Path(name).name}", "--store", path)
    assert run("ls", "p").out == "local/p/runstone\n"
    monkeypatch.setenv("RUNSTONE_DATA", str(stores["data"]))
    assert run("ls", "p").out == "local/p/data\n"
    monkeypatch.setenv("RUNSTONE_URL", "http://127.0.0.1:1")
    assert run("rebuild").code == exits.INVALID
    monkeypatch.setenv("RUNSTONE_STORE", str(stores["store"]))
    assert run("ls", "p").out == "local/p/store\n"
    assert run("ls", "p", "--store", stores["option"]).out == "local/p/option\n"


@pytest.mark.parametrize("command", ["ls", "verify", "gc", "rebuild", "backup", "show"])
def test_a_store_that_is_not_there_is_not_made(run, directory, command):
    ran = run(*{"backup": ("backup", "b"), "show": ("show", "p/m")}.get(command, (command,)))
    assert ran.code == exits.MISSING
    assert "there is no store at" in ran.err
    assert not directory.exists()


def test_a_foreign_directory_is_refused_and_left_alone(run, tmp_path, folder):
    ran = run("put", folder, "p/m", "--store", folder)
    assert ran.code == exits.INVALID
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "empty",
        "model.safetensors",
        "tokenizer",
    ]


@pytest.mark.parametrize("arguments", [("rebuild",), ("backup", "b")])
def test_what_needs_a_directory_says_so(run, arguments):
    ran = run(*arguments, "--store", "http://127.0.0.1:1")
    assert ran.code == exits.INVALID
    assert "works on a directory and not over HTTP" in ran.err


@pytest.mark.parametrize("command", [("backup",), ("restore", "saved")])
def test_a_backup_is_not_made_at_a_url(run, tmp_path, monkeypatch, directory, folder, command):
    """It would become a directory of that name here."""
    monkeypatch.chdir(tmp_path)
    run("put", folder, "p/m")
    (tmp_path / "saved").mkdir()
    ran = run(*command, "http://127.0.0.1:1/store")
    assert ran.code == exits.INVALID
    assert "a backup is a directory" in ran.err
    assert not (tmp_path / "http:").exists()


def test_errors_are_problem_documents_on_request(run, directory, folder):
    run("put", folder, "p/m")
    ran = run("--json", "show", "p/other:v1")
    assert (ran.code, ran.out) == (exits.MISSING, "")
    assert ran.problem["type"] == "urn:runstone:error:missing"
    assert ran.problem["status"] == 404
    assert ran.problem["detail"] == "collection local/p/other does not exist"


def test_an_unexpected_error_is_one_line_and_a_traceback_on_request(run, monkeypatch):
    from runstone.cli.session import Session

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(Session, "open", fail)
    ran = run("ls")
    assert (ran.code, ran.out) == (exits.FAILED, "")
    assert (
        ran.err
        == "runstone: unexpected error, please report it: ZeroDivisionError: a b (RUNSTONE_DEBUG=1 shows where)\n"
    )
    monkeypatch.setenv("RUNSTONE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run("ls")


def test_an_error_of_the_system_names_the_file(run, directory, folder):
    ran = run("put", folder, "p/m", "--metadata", "@nowhere.json")
    assert ran.code == exits.FAILED
    assert ran.err == "runstone: nowhere.json: No such file or directory\n"
    assert not directory.exists()


def test_a_reader_that_leaves_is_no_error(ok, directory, folder):
    for number in range(40):
        (folder / f"{'long' * 40}-{number}").write_bytes(b"x")
    ok("put", folder, "p/m")
    reading, writing = os.pipe()
    os.close(reading)
    ran = start("ls", "p/m@v1", stdout=writing)
    os.close(writing)
    _, err = ran.communicate(timeout=60)
    assert (ran.returncode, err) == (exits.BROKEN_PIPE, "")


def test_an_interrupt_is_quiet(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # A shell without job control starts what it puts in the background with SIGINT ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ran = start("put", "p/m", "--metadata", f"@{fifo}", "--reference", "a=s3://b/c,1,e")
    finally:
        signal.signal(signal.SIGINT, before)
    with fifo.open("wb"):  # it reads now, and waits
        ran.send_signal(signal.SIGINT)
        out, err = ran.communicate(timeout=60)
    assert (ran.returncode, out, err.strip()) == (exits.INTERRUPTED, "", "runstone: interrupted")


HEAVY = {"rich", "numpy", "aiohttp", "uvloop", "cryptography", "cedarpy", "asyncio"}


def loaded(*arguments: object) -> set[str]:
    code = f"""
import sys
from runstone.cli.main import main
code = main({list(map(str, arguments))})
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_help_loads_no_command_and_no_store():
    modules = loaded("--help")
    assert "click" in modules
    assert not modules & HEAVY
    assert not {name for name in modules if name.startswith("runstone.")} - {
        "runstone.cli",
        "runstone.cli.command",
        "runstone.cli.exits",
        "runstone.cli.main",
        "runstone.cli.output",
        "runstone.cli.session",
        "runstone.cli.text",
        "runstone.errors",
    }


def test_get_and_put_load_nothing_heavy(directory, folder):
    assert not loaded("put", folder, "p/m") & HEAVY
    modules = loaded("get", "p/m", "out")
    assert "runstone.library" in modules
    assert not modules & HEAVY
    assert not modules & {"lmdb.tool", "tarfile"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [("runstone al", "alias"), ("runstone alias hi", "history"), ("runstone put --meta", "--metadata")],
)
def test_completion_of_commands_and_options(words, expected, monkeypatch, capfd):
    monkeypatch.setenv("_RUNSTONE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert main([]) == 0
    assert capfd.readouterr().out == f"plain,{expected}\n"


@pytest.mark.parametrize(
    ("shell", "sign"),
    [("bash", "complete -o nosort"), ("zsh", "#compdef runstone"), ("fish", "complete --no-files")],
)
def test_completion_scripts(ok, shell, sign):
    script = ok("completion", shell)
    assert sign in script.out
    assert ok("completion", shell, "--json").json == {"shell": shell, "script": script.out.rstrip("\n")}


def test_bash_takes_the_completion_script(ok, tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "runstone"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m runstone "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(ok("completion", "bash").out)
    session = "source ./script; COMP_WORDS=(runstone scr); COMP_CWORD=1; _runstone_completion runstone; echo ${COMPREPLY[@]}"
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", session], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "scrub\n"
