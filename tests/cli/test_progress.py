import os
import pty
import subprocess
import sys
import time

import pytest

from runstone.cli import progress
from runstone.cli.progress import Progress


@pytest.fixture
def terminal(monkeypatch):
    """Makes standard error a terminal when called; a second call answers what was written to it."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        os.set_blocking(ours, False)
        written = []

        def use() -> str:
            monkeypatch.setattr(sys, "stderr", stream)
            stream.flush()
            while True:
                try:
                    written.append(os.read(ours, 1 << 16))
                except BlockingIOError:
                    return b"".join(written).decode()

        yield use
    os.close(ours)


def test_long_work_shows_how_far_it_is_and_how_fast(terminal, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0)
    terminal()
    with Progress("fetching") as told:
        for done in (0, 20_000_000, 45_000_000):  # a rate takes samples at different times
            told(done, 90_000_000)
            time.sleep(0.02)
        told._bar.refresh()
        shown = terminal()
    assert "fetching" in shown
    assert "45.0/90.0 MB" in shown
    assert "/s" in shown
    assert ":" in shown.rpartition("/s")[2]  # the time that is left


def test_entries_are_counted(terminal, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0)
    terminal()
    with Progress("verifying", "entries") as told:
        told(10, 40)
        told._bar.refresh()
        assert "10/40" in terminal()


def test_short_work_shows_nothing(terminal):
    terminal()
    with Progress("fetching") as told:
        told(1, 2)
        told(2, 2)
    assert terminal() == ""


def test_no_bar_and_no_library_for_it_where_there_is_no_terminal():
    code = """
import sys
from runstone.cli import progress
progress.PATIENCE = 0
with progress.Progress("fetching") as told:
    told(1, 2)
print("rich" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
