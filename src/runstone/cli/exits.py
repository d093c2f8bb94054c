"""What the exit codes of the command line mean. ``docs/cli.md`` has them for readers."""

from __future__ import annotations

from runstone.errors import (
    Conflict,
    Corrupt,
    Denied,
    Gone,
    Invalid,
    Missing,
    RangeUnsatisfiable,
    RunstoneError,
    TryAgain,
)

OK = 0
FAILED = 1
USAGE = 2
MISSING = 3
DENIED = 4
CONFLICT = 5
CORRUPT = 6
INVALID = 7
TRY_AGAIN = 8
INTERRUPTED = 130
#: As a shell sees a program that SIGPIPE ended: whoever read our output has left.
BROKEN_PIPE = 141

_CODES: tuple[tuple[type[RunstoneError], int], ...] = (
    (Missing, MISSING),
    (Gone, MISSING),
    (Denied, DENIED),
    (Conflict, CONFLICT),
    (Corrupt, CORRUPT),
    (Invalid, INVALID),
    (RangeUnsatisfiable, INVALID),
    (TryAgain, TRY_AGAIN),
)


def code_of(error: BaseException) -> int:
    """The exit code that an error ends the program with."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return FAILED
