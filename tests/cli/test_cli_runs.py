"""Runs on the command line: listed, written to files, shown, followed, deleted, and whole projects there and back."""

import csv
import io
import json
import subprocess
import threading

import pyarrow.parquet
import pytest
from commandline import running

import runstone
from runstone.cli import exits
from runstone.domain.bundle import state_of_project
from runstone.domain.runs import columns


@pytest.fixture
def filled(data):
    """Three runs, made before any server has the directory."""
    with runstone.open(data) as library:
        for number in range(3):
            name = f"p/r{number}"
            library.create_run(name, config={"lr": 10.0**-number, "opt": {"name": "adam"}}, tags=["t"])
            library.log_rows(
                name, [(step, step, {"loss": 1 / (step + 1 + number), "n": step}) for step in range(5)]
            )
            library.log_lines(name, [(1, "stdout", "", f"line {line}") for line in range(15)])
        library.update_run(
            "p/r1", summary={"bad": float("nan"), "words": ["a", "b"]}, notes="=1+1,\n\x1b[31m"
        )
        library.finish_run("p/r0")
    return data


@pytest.fixture
def opened(filled, store):
    """The same by a directory and by a server."""
    return store


def test_runs_are_listed_as_a_table(ok, run, opened):
    head, *rows = ok("runs", "p").out.splitlines()
    assert head.split() == ["NAME", "STATE", "STARTED", "DURATION", "STEPS"]
    assert [row.split()[0] for row in rows] == ["r2", "r1", "r0"]
    head, *rows = ok(
        "runs", "local/p", "--order", "summary.loss desc", "--filter", "config.lr < 0.5"
    ).out.splitlines()
    assert head.split()[-2:] == ["summary.loss", "config.lr"]
    assert [row.split()[0] for row in rows] == ["r1", "r2"]
    assert rows[0].split()[-2:] == ["0.166667", "0.1"]
    assert ok("runs", "p", "-n", "1", "--field", "config.opt.name").out.split()[-1] == "adam"
    assert [each["name"] for each in ok("runs", "p", "--json", "-n", "2").json] == ["r2", "r1"]
    assert ok("runs", "p", "--filter", "name = 'x'").out == ""
    assert ok("runs", "p", "--filter", "name = 'x'", "--json").json == []
    ran = run("runs", "p", "--filter", "config.lr <")
    assert (ran.code, ran.out) == (exits.INVALID, "")
    assert run("runs", "nothing", "--json").problem["code"] == "missing"
    assert (
        run("runs", "p", "-o", "x.doc").code
        == run("runs", "p", "-o", "x", "--format", "table").code
        == exits.USAGE
    )


def test_more_runs_than_a_page(ok, directory, monkeypatch):
    monkeypatch.setattr("runstone.cli.runs.PAGE", 2)
    with runstone.open(directory) as library:
        for number in range(5):
            library.create_run(f"p/r{number}")
    for limit, count in ((0, 5), (3, 3), (4, 4), (9, 5)):
        assert len(ok("runs", "p", "-n", limit, "--order", "name").out.splitlines()) == count + 1


def test_runs_are_written_for_other_programs(ok, opened, tmp_path):
    assert ok("runs", "p", "-o", "runs.csv", "--order", "name").out.startswith("runs.csv: ")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text(), newline="")))
    assert [(row["name"], row["config.lr"], row["summary.loss"]) for row in rows] == [
        ("r0", "1.0", "0.2"), ("r1", "0.1", repr(1 / 6)), ("r2", "0.01", repr(1 / 7))
    ]  # fmt: skip
    assert (rows[1]["summary.bad"], rows[1]["summary.words"], rows[0]["summary.bad"]) == (
        "nan",
        '["a","b"]',
        "",
    )
    table = pyarrow.parquet.read_table(
        io.BytesIO(_bytes(ok, "runs", "p", "--order", "name", tmp_path=tmp_path))
    )
    assert table["config.lr"].to_pylist() == [1.0, 0.1, 0.01]
    assert table["summary.n"].to_pylist() == [4, 4, 4] and str(table["summary.n"].type) == "int64"
    assert table["ended"].to_pylist()[1:] == [None, None]
    written = ok("runs", "p", "--format", "jsonl", "--field", "name", "--field", "summary.bad").out
    lines = [json.loads(line) for line in written.splitlines()]
    assert lines == [{"name": name, "summary.bad": None} for name in ("r2", "r1", "r0")]
    assert ok("runs", "p", "-o", "some.jsonl", "-n", "2", "--json").json["output"] == "some.jsonl"
    assert len((tmp_path / "some.jsonl").read_text().splitlines()) == 2
    batches = ok("runs", "p", "-o", "runs.arrow", "--field", "id", "--field", "summary.n:max")
    assert batches.code == 0
    with pyarrow.ipc.open_stream((tmp_path / "runs.arrow").read_bytes()) as reader:
        assert reader.read_all().to_pydict() == {"id": ["r2", "r1", "r0"], "summary.n:max": [4.0] * 3}
    assert not list(tmp_path.glob(".*part"))


def _bytes(ok, *arguments, tmp_path):
    ok(*arguments, "-o", "runs.parquet")
    return (tmp_path / "runs.parquet").read_bytes()


def test_a_run_is_shown(ok, run, opened):
    shown = ok("show", "run:p/r0").out
    for told in (
        "run       local/p/r0\n",
        "state     finished\n",
        "tags      t\n",
        '"name": "adam"',
        "logged    10 points, 15 lines, up to step 4",
    ):
        assert told in shown
    assert shown.splitlines()[-1].split() == ["n", "5", "4", "0", "4", "2"]
    answer = ok("show", "run:p/r1", "--json").json
    assert (answer["name"], [each["key"] for each in answer["keys"]]) == ("r1", ["loss", "n"])
    assert "\x1b" not in ok("show", "run:p/r1").out
    assert run("show", "run:p/none").code == exits.MISSING


def test_a_run_is_deleted_brought_back_and_purged(ok, run, opened):
    assert ok("rm", "run:p/r2").out == "removed run:local/p/r2\n"
    assert "r2" not in ok("runs", "p").out and "r2" in ok("runs", "p", "--deleted").out
    assert "deleted" in ok("show", "run:p/r2").out
    assert ok("rm", "run:p/r2", "--undo", "--json").json == {"restored": "run:local/p/r2"}
    assert "r2" in ok("runs", "p").out
    assert run("rm", "run:p/r2", "--purge").code == exits.CONFLICT
    ok("rm", "run:p/r2")
    ok("rm", "run:p/r2", "--purge")
    assert run("rm", "run:p/r2").code == exits.MISSING
    for wrong in (
        ("run:p/r1", "--undo", "--purge"),
        ("run:p/r1", "--with-aliases"),
        ("p", "--undo"),
        ("p", "--purge"),
    ):
        assert run("rm", *wrong).code == exits.USAGE


def test_tail_of_a_run_that_has_ended(ok, run, opened):
    assert ok("tail", "p/r0", "-n", "2").out.splitlines() == [
        "line 13", "line 14", "[step 4]  loss 0.2  n 4", "local/p/r0 is finished"
    ]  # fmt: skip
    assert ok("tail", "p/r1", "--no-follow", "--no-metrics", "-n", "0").out == "local/p/r1 is running\n"
    documents = [json.loads(line) for line in ok("tail", "p/r0", "-n", "1", "--json").out.splitlines()]
    assert [next(iter(each)) for each in documents] == ["line", "summary", "state"]
    assert documents[0]["line"]["text"] == "line 14" and documents[1]["summary"]["loss"] == 0.2
    assert run("tail", "p/none").code == exits.MISSING


def test_tail_follows_until_the_run_ends(opened, ok, run):
    whole = runstone.connect(opened) if opened.startswith("http") else runstone.open(opened)
    with whole as library, running("tail", "p/r1", "-n", "1", stderr=subprocess.DEVNULL) as tail:
        timer = threading.Timer(60, tail.kill)
        timer.start()
        try:
            assert tail.stdout.readline() == "line 14\n"
            assert tail.stdout.readline().startswith("[step 4]")
            library.log_lines("p/r2", [(1, "stdout", "", "of another run")])
            library.log_lines("p/r1", [(1, "stderr", "", f"new {line}\x1b[2J") for line in range(3)])
            assert [tail.stdout.readline() for _ in range(3)] == [
                f"new {line}\\x1b[2J\n" for line in range(3)
            ]
            library.log_rows("p/r1", [(9, 1, {"loss": 0.01})])
            assert tail.stdout.readline().startswith("[step 9]  loss 0.01  n 4")
            library.finish_run("p/r1", "failed")
            assert tail.stdout.readline() == "local/p/r1 is failed\n"
            assert tail.stdout.read() == "" and tail.wait(30) == 0
        finally:
            timer.cancel()


def test_a_project_goes_into_a_bundle_and_comes_back(ok, run, filled, monkeypatch, folder, tmp_path):
    monkeypatch.setenv("RUNSTONE_STORE", str(filled))
    ok("put", folder, "p/m", "--alias", "prod")
    ran = ok("export", "p", "--bundle", "out")
    assert ran.out == "local/p in out: 3 runs, 30 points, 45 lines, 1 collection, 1 version, 4 files\n"
    assert ok("export", "p", "--bundle", "again", "--json").json["counts"]["points"] == 30
    assert run("export", "p", "--bundle", "out").code == exits.INVALID
    done = ok("import", "out", "--store", "other", "--json").json
    assert (done["project"], done["outside"]) == ("local/p", 0)
    assert (
        ok("import", "out", "q", "--store", "other").out
        == "local/q from out: 3 runs, 30 points, 45 lines, 1 collection, 1 version, 4 files\n"
    )
    with runstone.open(filled) as one, runstone.open("other") as other:
        before = state_of_project(one.store, one.ctx, "p")
        assert (
            before
            == state_of_project(other.store, other.ctx, "p")
            == state_of_project(other.store, other.ctx, "q")
        )
    assert run("import", "out").code == exits.CONFLICT
    (tmp_path / "out" / "runs.jsonl").write_text("")
    ran = run("import", "out", "r", "--store", "other", "--json")
    assert (ran.code, ran.out, ran.problem["code"]) == (exits.INVALID, "", "digest_mismatch")
    assert run("import", "nowhere").code == run("export", "--bundle", "x").code == exits.USAGE
    for command in (("export", "p", "--bundle", "x"), ("import", "out")):
        assert run(*command, "--store", "http://127.0.0.1:9").code == exits.INVALID
    assert run("export", "p", "--bundle", "x", "--store", "nowhere").code == exits.MISSING
    assert not (tmp_path / "x").exists()


def test_a_question_is_asked_in_any_language(ok, run, opened, tmp_path):
    def names(*asked):
        return [each["name"] for each in ok("query", "p", *asked, "--json").json]

    assert names("config.lr < 0.5", "--order", "summary.loss") == ["r2", "r1"]
    assert names('{"config.lr": {"$lt": 0.5}}', "--order", "+summary_metrics.loss") == ["r2", "r1"]
    mlflow = ("--language", "mlflow", "--order", "metrics.loss ASC")
    assert names("params.lr = '0.1' AND metrics.n > 1", "--language", "mlflow") == ["r1"]
    assert names("metrics.loss < 0.2", *mlflow) == ["r2", "r1"]
    assert names() == ["r2", "r1", "r0"] and names("{}", "-n", "1") == ["r2"]
    assert ok("query", "p", "config.lr < 0.5", "--count").out == "2\n"
    grouped = (
        "query",
        "p",
        "--group",
        "config.opt.name",
        "--figure",
        "count()",
        "--figure",
        "max(config.lr)",
    )
    head, row = ok(*grouped).out.splitlines()
    assert (head.split(), row.split()) == (
        ["config.opt.name", "count()", "max(config.lr)"],
        ["adam", "3", "1"],
    )
    ok(*grouped, "-o", "groups.csv")
    assert (
        tmp_path / "groups.csv"
    ).read_bytes() == b"config.opt.name,count(),max(config.lr)\r\nadam,3,1.0\r\n"
    ok("query", "p", "config.lr < 0.5", "-o", "few.jsonl", "--field", "id")
    assert (tmp_path / "few.jsonl").read_text().split() == ['{"id":"r2"}', '{"id":"r1"}']
    ok("sql", "p", 'SELECT id, "config.lr" AS lr FROM runs ORDER BY lr', "-o", "sql.csv")
    assert (tmp_path / "sql.csv").read_text().split() == ["id,lr", "r2,0.01", "r1,0.1", "r0,1.0"]
    for wrong in (["config.lr <"], ['{"config.lr": {"$lt"'], ["x = 1", "--language", "mlflow"]):
        assert run("query", "p", *wrong).code in (exits.INVALID, exits.USAGE)
    assert run("query", "p", "--group", "state", "--count").code == exits.USAGE


def test_a_field_that_no_run_has_is_told_beside_the_answer(run, ok, opened):
    """An empty answer looks like a right one, and most often a name is another one elsewhere."""
    for asked, near in (
        ("summary.los < 1", "summary.loss"),
        ("metrics.loss < 1", "summary.loss"),
        ("params.lr < 1", "config.lr"),
        ("loss < 1", "summary.loss"),
    ):
        field = asked.split()[0]
        for command in ("runs", "query"):
            ran = run(command, "p", *(["--filter"] if command == "runs" else []), asked)
            assert (ran.code, ran.out) == (0, "")
            assert ran.err == f"no run of p has the field {field}; there is {near}\n"
    assert run("runs", "p", "--order", "zzz").err == "no run of p has the field zzz\n"
    for right in (
        "summary.loss < 0",
        "config.opt.name = 'x'",
        "summary.loss:min < 0",
        "notes = 'x'",
        "summary.bad < 0",
    ):
        assert run("runs", "p", "--filter", right).err == ""
    assert run("runs", "p", "--filter", "summary.los < 1", "--json").err == ""


def test_a_name_of_the_wrong_kind_is_told_what_it_is(run, ok, opened, tmp_path):
    ran = run("export", "p", "p.tar")
    assert ran.code == exits.INVALID and "runstone export p --bundle DIR" in ran.err
    assert not (tmp_path / "p.tar").exists()
    assert "is not the name of a run: use namespace/project/run" in run("tail", "p").err
    assert "a run is run:namespace/project/run" in run("show", "p/r0").err
    ran = ok("ls", "p")
    assert (ran.out, ran.err) == ("", "local/p has 3 runs: see 'runstone runs local/p'\n")
    told = run("sql", "p", "SELECT loss FROM runs").err
    assert '"loss" not found' in told and '"summary.loss"' in told and "\\n" not in told


def test_the_history_of_a_run(ok, opened):
    head, *rows = ok("history", "run:p/r1").out.splitlines()
    assert head.split() == ["ENTRY", "TIME", "CHANGE", "BY", "WHAT"]
    assert [row.split()[2] for row in rows] == ["create_run", "update_run"]
    assert 'config={"lr":0.1,' in rows[0]
    assert ok("history", "run:p/r1", "--json").json[0]["command"]["config"] == {
        "lr": 0.1,
        "opt": {"name": "adam"},
    }


def test_work_that_takes_long_is_told_once(filled, run, monkeypatch):
    monkeypatch.setattr(columns, "TELL", -1)
    told = run("--store", filled, "sql", "p", "select count(*) n from runs")
    assert (told.code, told.out) == (0, "n\n3\n")
    assert "runstone: making columns of project " in told.err
    assert told.err.count("\n") == 1
    told = run("--store", filled, "--json", "sql", "p", "select count(*) n from runs")
    assert (told.code, told.err) == (0, "")
