"""Names of the fields that runs have, and keys that numbers were logged under, in sections by what stands before their first slash.

Every call looks at a bounded number of names, whatever number a project has: an answer may have fewer than were asked for, or none, and
says where to go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from runstone.domain.context import Context
from runstone.domain.runs import questions
from runstone.domain.runs.columns import tables
from runstone.domain.store import Store
from runstone.types import FieldInfo, SectionInfo

if TYPE_CHECKING:
    from runstone.storage.columns.table import ColumnTable

#: ``plain``: without the statistics of keys (``summary.loss:min``); ``numbers``: keys that numbers were logged under.
Kind = Literal["all", "plain", "numbers"]
#: What every key of numbers has, and nothing else of the summary.
_MEAN = ":mean"
_SUMMARY = "summary."
_STATISTIC = re.compile(r"summary\..*:(min|max|mean|count|step|best)\Z", re.DOTALL)
#: Keys that clients log for themselves.
_OWN = re.compile(r"(^|/)_")
#: How often one call seeks past a section.
_SEEKS = 100
#: Names that are looked at within each of many sections.
_WITHIN = 2000
#: Behind all that begins with what it is put to.
_END = "\U0010ffff"


def listed(
    store: Store,
    ctx: Context,
    project: str,
    *,
    prefix: str = "",
    contains: str = "",
    kind: Kind = "all",
    after: str = "",
    limit: int = 1000,
) -> tuple[list[FieldInfo], str]:
    """Fields by name with how many runs have each, and where to go on: those with a prefix, and with every word of ``contains`` in their names.

    Case is ignored in words, and ``config.``, ``summary.`` or ``tags.`` before a name is not searched.
    """
    matches, having = _asked(contains, kind)
    ending = _MEAN if kind == "numbers" else ""
    table, visible = _table(store, ctx, project)
    piece = table.fields(prefix, after, limit, lambda name: matches(name) and visible(name), having)
    return _infos(piece.found, ending), piece.next


def frequent(
    store: Store, ctx: Context, project: str, *, prefix: str, kind: Kind = "all", limit: int = 100
) -> list[FieldInfo]:
    """The fields with a prefix that most runs have, up to 1,000."""
    matches, _ = _asked("", kind)
    table, visible = _table(store, ctx, project)
    found = table.frequent(prefix, limit, lambda name: matches(name) and visible(name))
    # With what is behind each name, ``m10`` came before ``m1``.
    infos = _infos(found, _MEAN if kind == "numbers" else "")
    return sorted(infos, key=lambda info: (-info.runs, info.field))


def sections(
    store: Store,
    ctx: Context,
    project: str,
    *,
    contains: str = "",
    after: str = "",
    limit: int = 50,
    keys: int = 100,
) -> tuple[list[SectionInfo], str]:
    """Sections by name, each with the first of its keys, and where to go on; before the first that of the keys without one, if there are any.

    A key's section is what stands before its first slash. Keys that begin with ``_``, also behind a slash, are left out. Keys that are found
    by words are ``keys`` in all, in sections that are told again by the next call if they have more of them.
    """
    wanted, having = _asked(contains, "numbers")
    table, visible = _table(store, ctx, project)

    def matches(name: str) -> bool:
        return wanted(name) and not _OWN.search(_key(name)) and visible(name)

    if having:
        piece = table.fields(_SUMMARY, after, keys, matches, having)
        held: dict[str, list[str]] = {}
        for name, _ in piece.found:
            held.setdefault(_section(name), []).append(_key(name))
        return [SectionInfo(name=name, keys=tuple(those)) for name, those in held.items()], piece.next
    found: list[SectionInfo] = []
    if not after:
        loose, rest = section_keys(store, ctx, project, "", limit=keys)
        if loose:
            found.append(SectionInfo(name="", keys=tuple(loose), next=rest))
    place = after
    for _ in range(limit):
        first = table.fields(_SUMMARY, place, 1, lambda name: bool(_section(name)) and matches(name), b"/")
        if not first.found:
            return found, first.next
        section = _section(first.found[0][0])
        piece = table.fields(f"{_SUMMARY}{section}/", "", keys, matches, most=_WITHIN)
        there = tuple(_key(name) for name, _ in piece.found)
        found.append(SectionInfo(name=section, keys=there, next=piece.next))
        place = f"{_SUMMARY}{section}/{_END}"
    return found, place


def section_keys(
    store: Store,
    ctx: Context,
    project: str,
    section: str,
    *,
    after: str = "",
    limit: int = 100,
) -> tuple[list[str], str]:
    """The keys of a section by name, and where to go on; of none, those without one."""
    wanted, _ = _asked("", "numbers")
    table, visible = _table(store, ctx, project)

    def matches(name: str) -> bool:
        return wanted(name) and not _OWN.search(_key(name)) and visible(name)

    if section:
        piece = table.fields(f"{_SUMMARY}{section}/", after, limit, matches)
        return [_key(name) for name, _ in piece.found], piece.next
    found: list[str] = []
    place, several = after, 1
    for _ in range(_SEEKS):
        piece = table.fields(_SUMMARY, place, min(several, limit - len(found)), matches)
        place, several = piece.next, several * 4
        for name, _ in piece.found:
            if inner := _section(name):
                place, several = f"{_SUMMARY}{inner}/{_END}", 1
                break
            found.append(_key(name))
        if not place or len(found) >= limit or not piece.found:
            break
    return found, place


def _asked(contains: str, kind: Kind) -> tuple[Callable[[str], bool], bytes]:
    """Whether a name is of a kind and has all words, and bytes that every such name has in lower case."""
    words = contains.lower().split()
    plain = max((run for word in words for run in re.findall(r"[\x00-\x7f]+", word)), key=len, default="")
    having = plain.encode()

    def matches(name: str) -> bool:
        if kind == "numbers" and not (name.startswith(_SUMMARY) and name.endswith(_MEAN)):
            return False
        if kind == "plain" and _STATISTIC.match(name):
            return False
        if not words:
            return True
        shown = (_key(name) if kind == "numbers" else name.partition(".")[2] or name).lower()
        # Letters of other scripts may have one of ASCII as their lower case: they are none of it here.
        return all(word in shown for word in words) and plain in name.translate(_ASCII_LOWER)

    return matches, having


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _key(name: str) -> str:
    return name.removeprefix(_SUMMARY).removesuffix(_MEAN)


def _section(name: str) -> str:
    """What stands before the first slash of a key, given as a name of its mean; nothing for ``/x``."""
    before, slash, _ = _key(name).partition("/")
    return before if slash else ""


def _infos(found: Sequence[tuple[str, int]], ending: str) -> list[FieldInfo]:
    return [FieldInfo(field=field.removesuffix(ending), runs=count) for field, count in found]


def _table(store: Store, ctx: Context, project: str) -> tuple[ColumnTable, Callable[[str], bool]]:
    place, hidden = questions.place_of(store, ctx, project)
    return tables(store).of(place.project.id), questions.visible(hidden)
