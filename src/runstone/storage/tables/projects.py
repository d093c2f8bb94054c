"""Projects, and what belongs to one as a whole: the classes of its fields, and its documents."""

from __future__ import annotations

from runstone.storage.tables.table import Record, state_table


class Project(Record, frozen=True):
    """A project, or a registry: a project that holds only collections. ``deleted`` is a time or 0."""

    id: int
    namespace: int
    name: str
    kind: str
    created: int
    by: str
    updated: int = 0
    description: str = ""
    tags: tuple[str, ...] = ()
    visibility: str = "private"
    deleted: int = 0


class FieldClass(Record, frozen=True):
    """The class byte of a field name, and who set it."""

    value: int
    by: str
    time: int


class Document(Record, frozen=True):
    """A stored JSON document of a project: a saved view, a report. ``spec`` is MessagePack; a ``private`` one is its maker's alone."""

    id: int
    project: int
    kind: str
    name: str
    created: int
    by: str
    title: str = ""
    description: str = ""
    spec: bytes = b"\x80"
    private: bool = False
    revision: int = 1
    updated: int = 0
    updated_by: str = ""


PROJECTS = state_table(32, "projects", "id:u64", Project)
PROJECT_NAMES = state_table(33, "project_names", "namespace:u64 name:text", int)
LABELS = state_table(50, "labels", "subject:u64 kind:text key:text", str)
FIELD_CLASSES = state_table(46, "field_classes", "project:u64 field:text", FieldClass)
DOCUMENTS = state_table(175, "documents", "id:u64", Document)
DOCUMENT_NAMES = state_table(176, "document_names", "project:u64 kind:text name:text", int)
