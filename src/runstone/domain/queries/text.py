"""runstone's own filter text, one line that reads aloud: ``config.lr < 0.01 and (summary.loss < 0.5 or not tags.baseline exists)``.

::

    filter  = any of: all ("or" all)*              all   = one ("and" one)*
    one     = "not" one | "(" filter ")" | "true" | "false" | test
            | "all(" filter, ... ")" | "any(" filter, ... ")" | "rows(" number, ... ")"
    test    = what ("=" | "!=" | "<" | "<=" | ">" | ">=") value
            | what ["not"] "in" "(" value, ... ")"
            | what (["not"] ("contains" | "~" | "like" | "ilike") | "!~") "text"
            | field "exists" | field "is" ["not"] "null"
    what    = field | "text(" field ")"            a scalar by its text
    value   = "text" | 'text' | number | nan | inf | true | false | null | 2026-01-31 | 2026-01-31T12:00:00Z
    order   = field ["asc" | "desc"], ...

Words are recognised in any case. A field with odd characters stands in backticks, whole or after its root (``config.`a b` ``); a whole
name in backticks is taken as it is. Times of attributes may be quoted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from typing import NamedTuple, NoReturn, TypeVar

from runstone.domain.queries import attributes, bounds
from runstone.domain.queries.text_printer import BARE, WORDS, condition_text, orders_text
from runstone.errors import Invalid, TooLarge
from runstone.query import (
    MAX_DEPTH,
    And,
    Compare,
    Condition,
    Exists,
    Ids,
    In,
    IsNull,
    Match,
    Not,
    Or,
    Order,
    Scalar,
)

__all__ = ["condition", "condition_text", "orders", "orders_text"]

_TOKENS = re.compile(
    rf"""
      (?P<space>\s+)
    | (?P<time>\d{{4}}-\d\d-\d\d(?:T\d\d:\d\d[\d:.]*(?:Z|[+-]\d\d:\d\d)?)?(?![\w.]))
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?![\w.])|[+-]inf\b)
    | (?P<string>"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')
    | (?P<field>(?:[^\W\d]\w*\.)?`(?:[^`]|``)+`|{BARE})
    | (?P<operator><=|>=|!=|!~|==|[=<>~(),])
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_PATTERNS = {"contains": "contains", "~": "regex", "like": "like", "ilike": "ilike"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_Part = TypeVar("_Part")
_LITERALS: dict[str, Scalar] = {"true": True, "false": False, "null": None, "nan": math.nan, "inf": math.inf}
_TESTS = "a test: = != < <= > >= in, contains, like, ilike, ~, exists or is null"


class _Token(NamedTuple):
    kind: str
    text: str
    column: int

    @property
    def word(self) -> str:
        """The token as a keyword or operator; empty for values and quoted names."""
        return (
            self.text.lower()
            if self.kind == "operator" or (self.kind == "field" and self.text.lower() in WORDS)
            else ""
        )


class _Subject(NamedTuple):
    field: str
    text: bool
    is_time: bool
    column: int


def condition(source: str, known: Collection[str] | None = attributes.RUN.keys()) -> Condition:
    """The condition of a filter text; an empty one finds all. Invalid names the column, what was expected and what was found.

    ``known`` are the attributes that may stand without a root; None takes every name.
    """
    parser = _Parser(bounds.text(source, "the filter"), known)
    if parser.now.kind == "end":
        return And(())
    found = parser.filter(1)
    parser.expect_end("'and', 'or' or the end")
    return bounds.checked(found)


def orders(source: str, known: Collection[str] | None = attributes.RUN.keys()) -> tuple[Order, ...]:
    """The orders of ``summary.loss desc, created``; an empty text has none."""
    parser = _Parser(bounds.text(source, "the order"), known)
    if parser.now.kind == "end":
        return ()
    found = []
    while True:
        field, _ = parser.field()
        found.append(Order(field, parser.now.word == "desc"))
        if parser.now.word in ("asc", "desc"):
            parser.step()
        if not parser.take(","):
            break
    parser.expect_end("',', 'asc', 'desc' or the end")
    if len(found) > 16:
        raise TooLarge("the order names more than 16 fields")
    return tuple(found)


class _Parser:
    """A recursive descent over the tokens of one text."""

    def __init__(self, source: str, known: Collection[str] | None) -> None:
        self.source, self.known = source, known
        self.tokens = _tokens(source)
        self.at = 0

    @property
    def now(self) -> _Token:
        return self.tokens[self.at]

    def step(self) -> _Token:
        token = self.now
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def take(self, word: str) -> bool:
        if self.now.word == word:
            self.step()
            return True
        return False

    def expect(self, word: str, expected: str) -> None:
        if not self.take(word):
            raise self.refused(expected)

    def expect_end(self, expected: str) -> None:
        if self.now.kind != "end":
            raise self.refused(expected)

    def refused(self, expected: str) -> Invalid:
        token = self.now
        found = "the end" if token.kind == "end" else repr(token.text[:40])
        return Invalid(f"column {token.column}: expected {expected}, found {found}", column=token.column)

    def filter(self, depth: int) -> Condition:
        return self._joined("or", Or, lambda: self._joined("and", And, lambda: self.one(depth)))

    def _joined(self, word: str, node: type[And] | type[Or], part: Callable[[], Condition]) -> Condition:
        parts = [part()]
        while self.take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else node(tuple(parts))

    def one(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise TooLarge(
                f"column {self.now.column}: the filter nests deeper than {MAX_DEPTH}", column=self.now.column
            )
        word = self.now.word
        if word == "not":
            self.step()
            return Not(self.one(depth + 1))
        if word == "(":
            self.step()
            found = self.filter(depth + 1)
            self.expect(")", "'and', 'or' or ')'")
            return found
        if word in ("true", "false"):
            self.step()
            return And(()) if word == "true" else Or(())
        if word in ("all", "any"):
            self.step()
            of = self.listed(lambda: self.filter(depth + 1))
            return And(tuple(of)) if word == "all" else Or(tuple(of))
        if word == "rows":
            self.step()
            return Ids(tuple(self.listed(self.row)))
        return self.test()

    def test(self) -> Condition:
        subject = self.subject()
        turned = self.take("not")
        word = self.now.word
        if word in _COMPARISONS and not turned:
            self.step()
            return Compare(subject.field, word, self.value(subject), subject.text)  # type: ignore[arg-type]
        if word == "==":
            raise self.refused("'=' (one is enough)")
        if word == "in":
            self.step()
            return _turned(
                turned, In(subject.field, tuple(self.listed(lambda: self.value(subject))), subject.text)
            )
        if word in _PATTERNS or (word == "!~" and not turned):
            self.step()
            how = _PATTERNS.get(word, "regex")
            return _turned(turned or word == "!~", Match(subject.field, how, self.string(), subject.text))  # type: ignore[arg-type]
        if turned:
            raise self.refused("in, like, ilike or contains after not")
        if subject.text:
            raise self.refused("= != < <= > >= in, contains, like, ilike or ~ after text(...)")
        if self.take("exists"):
            return Exists(subject.field)
        if self.take("is"):
            turned = self.take("not")
            self.expect("null", "null")
            return _turned(turned, IsNull(subject.field))
        raise self.refused(_TESTS)

    def subject(self) -> _Subject:
        column = self.now.column
        if self.now.word == "text":
            self.step()
            self.expect("(", "'(' and a field after text")
            field, _ = self.field()
            self.expect(")", "')'")
            return _Subject(field, True, False, column)
        field, quoted = self.field()
        return _Subject(field, False, not quoted and attributes.RUN.get(field) == "time", column)

    def field(self) -> tuple[str, bool]:
        """A field, and whether all of it was quoted."""
        token = self.now
        if token.kind != "field" or token.word:
            raise self.refused("a field, such as config.lr, summary.loss, tags.baseline or state")
        self.step()
        root, tick, quoted = token.text.partition("`")
        if tick:
            name = root + quoted[:-1].replace("``", "`")
            if not root:
                return name, True
        else:
            name = token.text
        self._known(name, token)
        return name, False

    def _known(self, name: str, token: _Token) -> None:
        if (
            self.known is None
            or name in self.known
            or name in attributes.LINEAGE
            or (name.partition(".")[0] in attributes.ROOTS and name.partition(".")[2])
        ):
            return
        raise Invalid(
            f"column {token.column}: {name[:80]!r} is not a field; write config.{name[:40]}, summary.{name[:40]} or tags.{name[:40]}, "
            f"or one of {', '.join(self.known)}",
            column=token.column,
        )

    def value(self, subject: _Subject) -> Scalar:
        token = self.now
        word = token.word
        if token.kind == "time":
            self.step()
            return bounds.instant(token.text, f"column {token.column}")
        if token.kind == "string":
            self.step()
            text = _unescaped(token)
            return (
                bounds.instant(text, f"column {token.column}: {subject.field}") if subject.is_time else text
            )
        if token.kind == "number":
            self.step()
            return bounds.number(token.text)
        if word in _LITERALS:
            self.step()
            return _LITERALS[word]
        raise self.refused("a value: text in quotes, a number, true, false, null or a time")

    def string(self) -> str:
        if self.now.kind != "string":
            raise self.refused("text in quotes")
        return _unescaped(self.step())

    def row(self) -> int:
        if self.now.kind != "number" or not self.now.text.isdecimal() or len(self.now.text) > 19:
            raise self.refused("a row's number")
        return int(self.step().text)

    def listed(self, part: Callable[[], _Part]) -> list[_Part]:
        """``(a, b, ...)``; may be empty."""
        self.expect("(", "'('")
        found: list[_Part] = []
        if self.take(")"):
            return found
        while True:
            found.append(part())
            if not self.take(","):
                break
        self.expect(")", "',' or ')'")
        return found


def _turned(turned: bool, found: Condition) -> Condition:
    return Not(found) if turned else found


def _tokens(source: str) -> list[_Token]:
    found, at = [], 0
    while at < len(source):
        match = _TOKENS.match(source, at)
        if match is None:
            _refuse_character(source, at)
        if match.lastgroup != "space":
            found.append(_Token(str(match.lastgroup), match.group(), at + 1))
        at = match.end()
    found.append(_Token("end", "", len(source) + 1))
    return found


def _refuse_character(source: str, at: int) -> NoReturn:
    character = source[at]
    hint = {
        '"': "the text that begins here has no closing quote",
        "'": "the text that begins here has no closing quote",
        "`": "the name that begins here has no closing backtick, or is empty",
        "&": "write 'and'",
        "|": "write 'or'",
        "!": "write 'not', or != for unequal",
    }.get(
        character, f"{source[at : at + 20]!r} cannot be read; put odd names in backticks and text in quotes"
    )
    raise Invalid(f"column {at + 1}: {hint}", column=at + 1)


def _unescaped(token: _Token) -> str:
    def one(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) > 1:
            number = int(code[1:], 16)
            if number < 0x110000:
                return chr(number)
        elif code in _ESCAPES:
            return _ESCAPES[code]
        column = token.column + 1 + match.start()
        raise Invalid(
            f"column {column}: {match.group()!r} is not an escape; write \\\\ for a backslash", column=column
        )

    return _ESCAPE.sub(one, token.text[1:-1])
