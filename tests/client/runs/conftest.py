"""A server of runs, a spool, and a run that logs to the one through the other."""

import logging

import pytest
from runserver import RunServer

from runstone.client.http import Http, Retries
from runstone.client.origin import parse
from runstone.client.runs.delivery import Pace
from runstone.client.runs.outbox import Options
from runstone.client.runs.remote import RemoteSink
from runstone.client.runs.run import Run
from runstone.client.runs.sink import RunSpec

#: Fast enough for tests, and slow enough that nothing is tried a thousand times.
PACE = Pace(
    interval=0.05, retries=Retries(first=0.02, longest=0.1, patience=5.0), denied=0.1, beat=30.0, sweep=30.0
)


@pytest.fixture
def server():
    with RunServer() as running:
        yield running


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


def spec_of(run="r1", **fields):
    return RunSpec(namespace="lab", project="demo", run=run, created=1, **fields)


def options_for(url, spool, **changes):
    given = {
        "connect": lambda: RemoteSink(Http(parse(url), timeout=0.5)),
        "destination": url,
        "spool": spool,
        "environment": False,
        "pace": PACE,
    }
    return Options(**(given | changes))


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
    return lambda: sorted({path.parent for path in spool.glob("v1/*/*.segment")})
