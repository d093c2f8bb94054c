"""Patterns over text: what a match must have in it, and the matcher itself.

A pattern is matched against the distinct texts of a column. What it must have in it (a literal, a prefix) is looked for first, by a
scan over all of them; RE2, whose time is linear in the text whatever the pattern, sees only what is left.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runstone.errors import Invalid
from runstone.query import Match
from runstone.storage.columns import scalars

#: Bytes of a pattern, and of the automaton that RE2 may make of it.
MAX_PATTERN = 4096
MAX_AUTOMATON = 1 << 21
#: How many needles are looked for before RE2 is asked.
NEEDLES = 3

#: ASCII letters that simple case folding joins with letters outside ASCII: the Kelvin sign and the long s.
FOLDED_BEYOND_ASCII = {"k": "\u212a", "s": "\u017f"}

_LITERAL = re.compile(r"\^?[\w /:=@,-]+")
_REPEAT = re.compile(r"\{\d+(?:,\d*)?\}")


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern.

    Every match has all ``needles`` in it (in any ASCII case if ``fold``) and begins with ``prefix``. With ``exact``, all that has the needle
    matches, but that with ``fold`` texts with a character of ``beyond`` are matched one by one; with ``whole``, all that has the prefix.
    """

    search: Callable[[bytes], bool]
    #: The regular expression that :attr:`search` is, if it is one.
    expression: str = ""
    needles: tuple[bytes, ...] = ()
    fold: bool = False
    exact: bool = False
    beyond: tuple[bytes, ...] = ()
    prefix: bytes = b""
    whole: bool = False


def compile_match(match: Match) -> Pattern:
    """The pattern of a condition; :class:`Invalid` when it is too long or is no regular expression."""
    return _compile(match.how, match.pattern)


@functools.lru_cache(maxsize=64)
def _compile(how: str, text: str) -> Pattern:
    try:
        encoded = scalars.encode(text)
        if how == "contains":
            if len(encoded) > MAX_PATTERN:
                raise Invalid(f"a pattern has at most {MAX_PATTERN} bytes, this one has {len(encoded)}")
            return Pattern(lambda entry: encoded in entry, needles=(encoded,), exact=True)
        text.encode()
    except UnicodeEncodeError as error:
        raise Invalid("a pattern must be valid Unicode; this one has half of a surrogate pair") from error
    if len(encoded) > MAX_PATTERN:
        raise Invalid(f"a pattern has at most {MAX_PATTERN} bytes, this one has {len(encoded)}")
    if how == "regex":
        if _LITERAL.fullmatch(text):
            # Nothing in it is an operator: with ^ a prefix, else a substring.
            anchored = text.startswith("^")
            data = text.removeprefix("^").encode()
            begin = data if anchored else b""
            return Pattern(_searcher(text), text, (data,), exact=not anchored, prefix=begin, whole=anchored)
        runs, prefix = required(text)
        return Pattern(_searcher(text), text, _needles(runs[1:] if prefix else runs), prefix=prefix.encode())
    return _like(text) if how == "like" else _ilike(text)


def _needles(runs: Sequence[str]) -> tuple[bytes, ...]:
    """The longest runs: what is long is rare, and soon found."""
    return tuple(
        run.encode() for run in sorted({run for run in runs if run}, key=len, reverse=True)[:NEEDLES]
    )


def _like(text: str) -> Pattern:
    pieces = re.split("[%_]", text)
    prefix = pieces[0].encode()
    bare = "_" not in text
    return Pattern(
        _searcher(_like_expression(text)),
        _like_expression(text),
        _needles(pieces[1:] if pieces[0] else pieces),
        exact=bare and len(pieces) == 3 and not pieces[0] and not pieces[2],
        prefix=prefix,
        whole=bare and len(pieces) == 2 and not pieces[1],
    )


def _ilike(text: str) -> Pattern:
    pieces = re.split("[%_]", text)
    expression = "(?i)" + _like_expression(text)
    search = _searcher(expression)
    if "_" not in text and len(pieces) == 3 and not pieces[0] and not pieces[2] and pieces[1].isascii():
        needle = pieces[1].lower()
        beyond = tuple(other.encode() for letter, other in FOLDED_BEYOND_ASCII.items() if letter in needle)
        return Pattern(search, expression, (needle.encode(),), fold=True, exact=True, beyond=beyond)
    runs = re.split("[%_kKsS]|[^\x00-\x7f]", text)
    return Pattern(search, expression, _needles([run.lower() for run in runs]), fold=True)


def _like_expression(text: str) -> str:
    found = "".join({"%": "(?s:.*)", "_": "(?s:.)"}.get(char) or _quoted(char) for char in text)
    return rf"\A{found}\z"


def _quoted(char: str) -> str:
    return char if char.isalnum() or not char.isascii() else f"\\x{ord(char):02x}"


def _searcher(expression: str) -> Callable[[bytes], bool]:
    import re2

    options = re2.Options()
    options.max_mem = MAX_AUTOMATON
    options.log_errors = False
    options.never_capture = True
    try:
        # The wrapper's own match objects cost more than the search: what lies under it answers with spans.
        compiled: Any = re2.compile(expression.encode(), options)._regexp
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise Invalid(f"the regular expression is not one that RE2 accepts: {reason}") from error
    anchor = re2._Anchor.UNANCHORED
    return lambda entry: compiled.Match(anchor, entry, 0, len(entry))[0][0] >= 0


def required(expression: str) -> tuple[list[str], str]:
    """Texts that every match of a regular expression has in it, and one that it begins with, which is the first of them if there is one.

    Only the outermost concatenation is looked at: groups, classes and everything repeated say nothing, an alternative at this level
    or a flag makes all of it uncertain.
    """
    runs: list[str] = []
    run = ""
    at, anchored, prefix = 0, False, ""
    size = len(expression)

    def close(keep: str) -> None:
        nonlocal run, prefix
        if anchored and not runs:
            prefix = keep
        runs.append(keep)
        run = ""

    while at < size:
        char = expression[at]
        after = expression[at + 1 : at + 2]
        if char == "|":
            return [], ""
        if char == "\\":
            if not after or after in "QExpPC" or after.isdigit():
                return [], ""
            if after.isalnum():
                if after == "A" and at == 0:
                    anchored = True
                else:
                    close(run)
            else:
                run += after
            at += 2
        elif char == "(":
            end = _group_end(expression, at)
            if end < 0 or re.match(r"\(\?[a-zA-Z-]*\)", expression[at:]):
                return [], ""
            close(run)
            at = end
        elif char == "[":
            end = _class_end(expression, at)
            if end < 0:
                return [], ""
            close(run)
            at = end
        elif char in "*?" or (char == "{" and _REPEAT.match(expression, at)):
            repeat = _REPEAT.match(expression, at)
            close(run[:-1])
            at = repeat.end() if repeat else at + 1
        elif char == "+":
            close(run)
            at += 1
        elif char in ".^$":
            if char == "^" and at == 0:
                anchored = True
            else:
                close(run)
            at += 1
        else:
            run += char
            at += 1
    close(run)
    return runs, prefix


def _group_end(expression: str, at: int) -> int:
    """The place behind the group that opens at ``at``, or -1."""
    depth = 0
    while at < len(expression):
        char = expression[at]
        if char == "\\":
            if expression[at + 1 : at + 2] == "Q":
                return -1
            at += 2
            continue
        if char == "[":
            at = _class_end(expression, at)
            if at < 0:
                return -1
            continue
        depth += (char == "(") - (char == ")")
        at += 1
        if not depth:
            return at
    return -1


def _class_end(expression: str, at: int) -> int:
    """The place behind the character class that opens at ``at``, or -1."""
    at += 2 if expression[at + 1 : at + 2] == "^" else 1
    first = True
    while at < len(expression):
        char = expression[at]
        if char == "]" and not first:
            return at + 1
        if char == "\\":
            at += 2
        elif expression.startswith("[:", at):
            end = expression.find(":]", at)
            at = end + 2 if end >= 0 else at + 1
        else:
            at += 1
        first = False
    return -1
