"""``runstone import``, and the half of ``runstone export`` that writes a whole project as an open bundle."""

from __future__ import annotations

from pathlib import Path

import click

from runstone.cli import text
from runstone.cli.command import Command
from runstone.cli.progress import Progress
from runstone.cli.session import Session

_SHOWN = {
    "runs": "run", "points": "point", "lines": "line", "collections": "collection", "versions": "version", "files": "file"
}  # fmt: skip


def export_bundle(session: Session, project: str, target: Path) -> None:
    """Writes a project into an empty directory."""
    import runstone

    data = session.existing("the export of a project")
    with runstone.open(data, create=False) as store, Progress("exporting", "entries") as progress:
        manifest = store.export_project(project, target, progress=progress)
    answer = {
        "project": f"{manifest['namespace']}/{manifest['project']}",
        "output": str(target),
        "counts": manifest["counts"],
        "log_size": manifest["log_size"],
    }
    line = f"{answer['project']} in {target}: {_counted(manifest['counts'])}"
    session.answer(answer, lambda: [text.printable(line)])


@click.command("import", cls=Command)
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("project", required=False, default="")
@click.pass_obj
def import_command(session: Session, bundle: Path, project: str) -> None:
    """Make a project of an open bundle.

    BUNDLE is what 'runstone export PROJECT --bundle' wrote. All of it is checked before anything is made. An import that broke off goes on
    where it was when it is run again. Works on a directory.
    """
    import runstone

    data = session.directory("the import of a project")
    with runstone.open(data) as store, Progress("importing", "entries") as progress:
        done = store.import_project(bundle, project, progress=progress)
    outside = done["outside"]

    def lines() -> list[str]:
        found = [text.printable(f"{done['project']} from {bundle}: {_counted(done['counts'])}")]
        if outside:
            found.append(f"left out: {text.count(outside, 'lineage edge')} to other projects")
        found += [
            f"left out: {text.printable(each)}, whose id the store has for another"
            for each in done["left_out"]
        ]
        return found

    session.answer(done, lines)


def _counted(counts: dict[str, int]) -> str:
    found = [text.count(counts[kind], noun) for kind, noun in _SHOWN.items() if counts.get(kind)]
    return ", ".join(found) or "nothing"
