"""What the tests of logging share: how fast a delivery goes on in them, and how a run is described."""

from runstone.client.http import Http, Retries
from runstone.client.origin import parse
from runstone.client.runs.delivery import Pace
from runstone.client.runs.outbox import Options
from runstone.client.runs.remote import RemoteSink
from runstone.client.runs.sink import RunSpec

#: Fast enough for tests, and slow enough that nothing is tried a thousand times.
PACE = Pace(
    interval=0.05, retries=Retries(first=0.02, longest=0.1, patience=5.0), denied=0.1, beat=30.0, sweep=30.0
)


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
