"""What a command prints: lines for people, or one JSON document; errors on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from runstone.cli import text
from runstone.errors import RunstoneError

Lines = Callable[[], Iterable[str]]


def lines(found: Iterable[str]) -> None:
    """Prints lines as they come."""
    for line in found:
        sys.stdout.write(line + "\n")


def document(value: Any) -> None:
    """Prints a value as one JSON document; indented where a person looks at it."""
    sys.stdout.write(encode(value, indent=2 if sys.stdout.isatty() else 0) + "\n")


def encode(value: Any, indent: int = 0) -> str:
    """A value as JSON. What UTF-8 cannot say (a file name that is not text) is escaped."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        import json

        return json.dumps(msgspec.to_builtins(value), indent=indent or None)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()


def note(message: str) -> None:
    """Says something beside the answer, on standard error."""
    sys.stderr.write(text.printable(message) + "\n")


def follow(logger: str, *, shown: bool) -> None:
    """Says, or keeps quiet about, what a logger is told from now on, such as how far long work is."""
    import logging

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(f"runstone: {record.getMessage()}")

    found = logging.getLogger(logger)
    found.setLevel(logging.INFO)
    found.handlers = [Notes()] if shown else []


def error(problem: RunstoneError, *, as_json: bool) -> None:
    """Says what went wrong in one line, or as a problem document (RFC 9457)."""
    if not as_json:
        note(f"runstone: {problem.message}")
        return
    members: dict[str, Any] = {
        "type": f"urn:runstone:error:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.message,
        "code": problem.code,
    }
    sys.stderr.write(encode(members | {name: known(value) for name, value in problem.details.items()}) + "\n")


def known(value: Any) -> Any:
    """A value as JSON can say it, with bytes as hexadecimal text and what else there is as its text."""
    return msgspec.to_builtins(value, enc_hook=str) if not isinstance(value, bytes) else value.hex()


def silence() -> None:
    """Drops what could not be printed because its reader has left, so that the interpreter does not complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
