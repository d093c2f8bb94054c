"""A server of runs, a spool, and a run that logs to the one through the other."""

import logging
from contextlib import suppress

import pytest
from runkit import options_for, spec_of
from runserver import RunServer

from runstone.client.runs.run import Run


@pytest.fixture
def server():
    with RunServer() as running:
        yield running


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def start(server, spool):
    """Starts runs against the server; those that a test leaves open are ended."""
    started = []

    def starting(run="r1", *, first_step=0, fields=None, **changes):
        made = Run(
            spec_of(run, **(fields or {})),
            options_for(server.url, **({"spool": spool} | changes)),
            first_step=first_step,
        )
        started.append(made)
        return made

    yield starting
    for run in started:
        run.finish(timeout=0.5)
        if run._outbox is not None:
            run._outbox._delivery.stop()


@pytest.fixture
def told(caplog):
    """What was said through logging."""
    caplog.set_level(logging.WARNING, logger="runstone")
    return lambda: " ".join(record.getMessage() for record in caplog.records)


@pytest.fixture
def left(spool):
    """The journals that wait in the spool."""

    def waiting():
        # A journal may be gone between the look at the spool and the look into it.
        with suppress(FileNotFoundError):
            return sorted({path.parent for path in spool.glob("v1/*/*.segment")})
        return waiting()

    return waiting
