"""A program that writes to a store until it is killed: ``python -m reliability.writer DATA LEDGER SCRATCH SEED``.

One thread for each lane. Prints ``TRY <operation>`` before each operation and ``ACK <its id and answer>`` after.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import runstone

from .embedded import Embedded
from .workload import Lane, attempts


def say(kind: str, body: Any = None) -> None:
    """Prints a line, in one call, so that the lines of several threads do not mix."""
    os.write(1, f"{kind} {json.dumps(body)}\n".encode())


def work(lane: Lane, execute: Embedded, chance: random.Random) -> None:
    """Does one operation after the other."""
    try:
        while True:
            op = lane.next_op(chance)
            lane.tried(op)
            say("TRY", op)
            result = attempts(execute, op)
            lane.done(op, result)
            say("ACK", {"lane": lane.number, "id": op["id"], "result": result})
    except BaseException:
        say("FAILED", traceback.format_exc())
        os._exit(1)


def main() -> None:
    """Opens the store, says READY, and writes."""
    data, ledger, scratch, seed = sys.argv[1:]
    lanes = [Lane.from_json(found) for found in json.loads(Path(ledger).read_text())]
    execute = Embedded(runstone.open(data), Path(scratch))
    say("READY")
    for lane in lanes:
        chance = random.Random(f"{seed} {lane.number}")
        threading.Thread(target=work, args=(lane, execute, chance)).start()


if __name__ == "__main__":
    main()
