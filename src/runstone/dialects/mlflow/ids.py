"""mlflow's names of things: integers for experiments, 32 hexadecimal digits for runs, any text for experiments and models.

An experiment's id is its project's number in the store; experiment 0 is the project ``Default`` of the workspace. A run that mlflow makes
has a name that begins with its project's number; any other run is known to mlflow by its own number.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets

from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.routing import Call
from runstone.domain import described, names, projects
from runstone.domain.described import DescribedProject
from runstone.domain.runs import browsing, lifecycle
from runstone.domain.runs.browsing import RunHead
from runstone.errors import Exists, Missing
from runstone.types import RunInfo

DEFAULT = "Default"
TITLE = "title"
#: Holds what mlflow registers.
REGISTRY = "models"
#: What a logged model is in its project: a run of this job type, which is not shown as a run.
LOGGED = "logged model"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}\Z")
_HEX = re.compile(r"[0-9a-f]{32}\Z")
_NUMBERED = 10


def workspace(call: Call) -> str:
    """The namespace that a request is about: the principal's own, or the one that the workspace header names."""
    asked = call.headers.get("X-MLFLOW-WORKSPACE", "")
    return asked if asked not in ("", "default") else own_workspace(call)


def own_workspace(call: Call) -> str:
    """The namespace that is the principal's own, and its default workspace."""
    return names.own_namespace(call.ctx)


def plain_name(title: str) -> str:
    """The name of the project or collection that has a title of any text: the title itself where that can be a name."""
    if _PLAIN.match(title) and ".." not in title and not title.endswith(".git"):
        return title
    slug = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")[:60] or "x"
    return f"{slug}-{hashlib.sha256(title.encode()).hexdigest()[:20]}"


def title_of(name: str, properties: dict[str, str]) -> str:
    """The title that belongs to a name; one that was given before a rename by other means is not shown any more."""
    title = properties.get(TITLE, "")
    return title if title and plain_name(title) == name else name


def experiment_id(call: Call, project: DescribedProject) -> str:
    """The id of a project's experiment."""
    default = project.info.name == DEFAULT and project.info.namespace == workspace(call)
    return "0" if default else str(project.id)


def experiment(call: Call, text: str) -> DescribedProject:
    """The project of an experiment's id."""
    try:
        number = int(text)
    except ValueError:
        raise invalid(f"Invalid experiment ID '{text}'. Experiment ID must be a valid integer.") from None
    try:
        return default(call) if number == 0 else described.project_numbered(call.store, call.ctx, number)
    except Missing:
        raise missing(f"No Experiment with id={text} exists") from None


def active_experiment(call: Call, text: str) -> DescribedProject:
    """The project of an experiment that may be written."""
    found = experiment(call, text)
    if found.deleted:
        raise invalid(f"The experiment {text} must be in the 'active' state. Current state is deleted.")
    return found


def active_experiments(call: Call, texts: list[str] | None = None) -> list[DescribedProject]:
    """The projects of some experiments, or of all of the workspace's, that may be written and seen; by their ids."""
    if texts is None:
        default(call)
        found = described.list_projects(call.store, call.ctx, workspace(call))
    else:
        found = []
        for text in dict.fromkeys(texts):
            with contextlib.suppress(Missing):
                found.append(experiment(call, text))
    return sorted(
        (each for each in found if not each.deleted), key=lambda each: int(experiment_id(call, each))
    )


def default(call: Call) -> DescribedProject:
    """The project of experiment 0, which is always there."""
    name = f"{workspace(call)}/{DEFAULT}"
    try:
        return described.project(call.store, call.ctx, name)
    except Missing:
        projects.create(call.store, call.ctx.without_id(), name, exist_ok=True)
        return described.project(call.store, call.ctx, name)


def new_run(project: DescribedProject) -> str:
    """A name for a new run of a project."""
    return f"{project.id:0{_NUMBERED}x}{secrets.token_hex((32 - _NUMBERED) // 2)}"


def run_id(project: int, run: int, name: str) -> str:
    """The id of a run by the numbers of its project and its own, and its name."""
    return name if _HEX.match(name) and int(name[:_NUMBERED], 16) == project else f"{run:032x}"


def run_name(call: Call, text: str) -> str:
    """The full name of a run by its id; empty when there is none."""
    if not _HEX.match(text):
        return ""
    number = int(text[:_NUMBERED], 16)
    if not number:
        return browsing.by_number(call.store, call.ctx, int(text, 16))
    try:
        return f"{described.project_numbered(call.store, call.ctx, number).info.path}/{text}"
    except Missing:
        return ""


def run(call: Call, text: str) -> RunInfo:
    """A run by its id, also one that was deleted."""
    return lifecycle.get(call.store, call.ctx, head(call, text).path, deleted=True)


def head(call: Call, text: str) -> RunHead:
    """The head of a run by its id, also of one that was deleted."""
    name = run_name(call, text)
    try:
        if name:
            found = browsing.head(call.store, call.ctx, name)
            if found.job_type != LOGGED:
                return found
    except Missing:
        pass
    raise missing(f"Run with id={text} not found")


def active_head(call: Call, text: str) -> RunHead:
    """The head of a run that may be written."""
    found = head(call, text)
    if found.deleted:
        raise invalid(f"The run {text} must be in the 'active' state. Current state is deleted.")
    return found


def active_run(call: Call, text: str) -> RunInfo:
    """A run that may be written."""
    return lifecycle.get(call.store, call.ctx, active_head(call, text).path, deleted=True)


def registry(call: Call) -> str:
    """The project that holds registered models; it is made when it is needed."""
    return f"{workspace(call)}/{REGISTRY}"


def registries(call: Call) -> list[str]:
    """The names of all registries of the workspace, :data:`REGISTRY` first."""
    found = described.list_registries(call.store, call.ctx, workspace(call))
    return [REGISTRY, *(name for name in found if name != REGISTRY)]


def make_registry(call: Call) -> str:
    """:func:`registry`, which is there when this returns."""
    name = registry(call)
    try:
        projects.get(call.store, call.ctx, name)
    except Missing:
        with contextlib.suppress(Exists):
            projects.create(call.store, call.ctx.without_id(), name, kind="registry")
    return name
