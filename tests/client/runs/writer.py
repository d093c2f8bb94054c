"""A training in a process of its own: logs numbers, and says on its output which of them `log` has returned from.

``python writer.py <spool> <url> <run> <first> <count> [<padding>]``; a count of 0 is without end. At the end it finishes the run.
"""

import itertools
import os
import sys
from pathlib import Path

from runstone.client.http import Http, Retries
from runstone.client.origin import parse
from runstone.client.runs.delivery import Pace
from runstone.client.runs.outbox import Options
from runstone.client.runs.remote import RemoteSink
from runstone.client.runs.run import Run
from runstone.client.runs.sink import RunSpec


def main() -> None:
    spool, url, run_id, first, count, *padding = sys.argv[1:]
    options = Options(
        connect=lambda: RemoteSink(Http(parse(url), timeout=1.0)),
        destination=url,
        spool=Path(spool),
        environment=False,
        pace=Pace(interval=0.02, retries=Retries(first=0.02, longest=0.1)),
    )
    spec = RunSpec(namespace="lab", project="demo", run=run_id, created=1)
    run = Run(spec, options, first_step=int(first))
    fill = "x" * int(padding[0]) if padding else ""
    for number in itertools.count(int(first)):
        if int(count) and number >= int(first) + int(count):
            break
        run.log({"n": number, "fill": fill} if fill else {"n": number})
        os.write(1, b"%d\n" % number)
    run.finish()


if __name__ == "__main__":
    main()
