"""The clauses of an mlflow filter and of its order_by, as mlflow's own parser (sqlparse) groups them.

The texts of errors are mlflow's: its users search for them.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from runstone.domain.queries import bounds
from runstone.errors import Invalid

Kind = Literal[
    "space", "and", "string", "symbol", "name", "int", "float", "operator", "list", "word", "other"
]


class Token(NamedTuple):
    """A piece of the text; ``name`` is an identifier with its dots, ``symbol`` one in double quotes, ``list`` a parenthesis."""

    kind: Kind
    text: str


class Clause(NamedTuple):
    """``left operator value``; ``IS NULL`` and ``IS NOT NULL`` have no value."""

    left: Token
    operator: str
    value: Token | None


_QUOTED = r"'(?:''|\\'|[^'])*'|\"(?:\"\"|\\\"|[^\"])*\"|`(?:``|[^`])*`"
# A part of digits alone would be the fraction of a number.
_PART = rf"(?:{_QUOTED}|(?!\d+\b)\w[$#\w]*)"
_TOKENS = re.compile(
    rf"""
      (?P<space>\s+)
    | (?P<comment>(?:--|\#\ ).*)
    | (?P<float>-?\d+(?:\.\d+)?E-?\d+ | -?(?:\d+\.\d*|\.\d+)(?![_A-Z]))
    | (?P<int>-?\d+(?![_A-Z]))
    | (?P<string>'(?:''|\\'|[^'])*')
    | (?P<operator>(?:NOT\s+)?(?:LIKE|ILIKE|RLIKE|REGEXP)\b|[<>=~!]+)
    | (?P<path>(?:`(?:``|[^`])*`|"(?:""|\\"|[^"])*"|[^\W\d]\w*)(?:\.{_PART}?)+)
    | (?P<symbol>"(?:""|\\"|[^"])*")
    | (?P<name>`(?:``|[^`])*`|\w[$\#\w]*)
    | (?P<list>\((?:'(?:\\.|[^'\\])*+'|"(?:\\.|[^"\\])*+"|[^()'"])*+\))
    | (?P<other>[\s\S])
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PYTHON_STRING = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_PLAIN = frozenset({"space", "string", "symbol", "name", "int", "float", "operator", "list"})
_OPERANDS = frozenset({"string", "symbol", "name", "int", "float", "list"})
_IDENTIFIERS = frozenset({"name", "symbol"})
_KEYWORDS = frozenset({"or", "not", "is", "in", "null", "between"})


def tokens(source: str) -> list[Token]:
    """The tokens of a text, white space left out."""
    found: list[Token] = []
    for match in _TOKENS.finditer(source):
        text, group = match.group(), match.lastgroup
        if group == "path":
            found.append(Token("name", text))
        elif group == "name" and text.lower() == "and":
            found.append(Token("and", text))
        elif group == "name" and text.lower() in _KEYWORDS:
            found.append(Token("word", text))
        elif group != "space":
            found.append(Token(group if group in _PLAIN else "other", text))  # type: ignore[arg-type]
    return found


def clauses(source: str, *, quoting: bool = True) -> list[Clause]:
    """The clauses of a filter; AND stands between them or not, as in mlflow. None of an empty text.

    ``quoting`` says whether a refusal quotes what it could not read: some of mlflow's searches do, and some do not.
    """
    if not source:
        return []
    if not bounds.text(source, "the filter").strip():
        raise Invalid(f"Invalid filter {source!r}. Could not be parsed.")
    found, rest, stray = [], tokens(source), []
    at = 0
    while at < len(rest):
        clause, used = _clause(rest[at : at + 4])
        if clause is not None:
            found.append(clause)
        elif rest[at].kind != "and":
            stray.append(rest[at].text)
        at += used
    if any(token == Token("other", ";") for token in rest[:-1]):
        raise Invalid(
            f"Search filter contained multiple expression {source!r}. Provide AND-ed expression list."
        )
    if stray:
        shown = ", ".join(f"'{each}'" if quoting else each for each in stray[:20])
        raise Invalid(f"Invalid clause(s) in filter string: {shown}")
    return found


def _clause(ahead: list[Token]) -> tuple[Clause | None, int]:
    """A clause at the head of some tokens and how many it takes; no clause takes one."""
    left = ahead[0]
    words = [token.text.lower() for token in ahead]
    kinds = [token.kind for token in ahead]
    if left.kind in _IDENTIFIERS:
        if words[1:3] == ["is", "null"]:
            return Clause(left, "IS NULL", None), 3
        if words[1:4] == ["is", "not", "null"]:
            return Clause(left, "IS NOT NULL", None), 4
        if words[1:2] == ["in"] and kinds[2:3] == ["list"]:
            return Clause(left, "IN", ahead[2]), 3
        if words[1:3] == ["not", "in"] and kinds[3:4] == ["list"]:
            return Clause(left, "NOT IN", ahead[3]), 4
    if left.kind in _OPERANDS and kinds[1:2] == ["operator"] and len(ahead) > 2 and kinds[2] in _OPERANDS:
        if left.kind not in _IDENTIFIERS:
            raise Invalid(f"Invalid comparison clause. Expected 'Identifier' found '{left.text}'")
        return Clause(left, " ".join(ahead[1].text.upper().split()), ahead[2]), 3
    return None, 1


def unquoted(text: str, quotes: str = "'\"") -> str:
    """A text without the quotes around it, if it has any. What is inside stays as it is, as in mlflow."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in quotes else text


def words(token: Token) -> tuple[str, ...]:
    """The quoted strings of a list ``('a', "b")``; strings side by side are one, as in Python, whose parser mlflow uses here."""
    found: list[str] = []
    comma = True
    for each in tokens(token.text[1:-1]):
        if each.kind in ("string", "symbol"):
            part = "".join(_literal(piece) for piece in _PYTHON_STRING.findall(each.text))
            if comma:
                found.append(part)
            else:
                found[-1] += part
            comma = False
        elif each.text == "," and not comma:
            comma = True
        elif each.kind in ("int", "float"):
            raise Invalid(
                "While parsing a list in the query, expected string value, punctuation, or whitespace, "
                f"but got different type in list: {token.text[:200]}"
            )
        else:
            raise Invalid(
                "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list."
            )
    if not found:
        raise Invalid(
            "While parsing a list in the query, expected a non-empty list of string values, but got empty list"
        )
    return tuple(found)


def _literal(piece: str) -> str:
    return re.sub(r"\\(['\"\\])", r"\1", piece[1:-1])


def order(source: str) -> tuple[str, bool]:
    """The identifier of ``metrics.loss DESC``, and whether it descends."""
    found = tokens(bounds.text(source, "order_by"))
    if not found or found[0].kind not in _IDENTIFIERS or len(found) > 2 or found[-1].kind not in _IDENTIFIERS:
        raise Invalid(f"Invalid order_by clause '{source}'. Could not be parsed.")
    if len(found) == 2 and found[1].text.lower() not in ("asc", "desc"):
        raise Invalid(f"Invalid ordering key in order_by clause '{source}'.")
    if found[0].text.lower() in ("asc", "desc"):
        raise Invalid(f"Invalid order_by clause '{source}'. Could not be parsed.")
    return found[0].text, len(found) == 2 and found[1].text.lower() == "desc"
