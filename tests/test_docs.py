"""The docs against the program: commands, options, settings, exit codes and links."""

import re
from pathlib import Path

import click
import msgspec
import pytest

from runstone.cli import exits
from runstone.cli.command import common_options
from runstone.cli.main import command_line
from runstone.config import PREFIX, ServerOptions

ROOT = Path(__file__).parents[1]
CLI = (ROOT / "docs" / "cli.md").read_text()
SETTING = re.compile(r"\bRUNSTONE_[A-Z_]*[A-Z]\b")
#: Of builds, tests and benches: not settings of the program.
NOT_OURS = re.compile(r"RUNSTONE_(DEBUG_KERNELS|COMPLETE|TEST_|BENCH_|SCHEMA_|FAULTS_)")
COMMON = {name for option in common_options() for name in option.opts}


def commands() -> dict[str, click.Command]:
    """Every command that does something, by what one writes to call it."""
    cli = command_line()
    found = {}
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            found |= {f"runstone {name} {below}": one for below, one in command.commands.items()}
        else:
            found[f"runstone {name}"] = command
    return found


def sections() -> dict[str, str]:
    """The text below each heading, up to the next one of any level."""
    parts = re.split(r"^#+ (.+)$", CLI, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


COMMANDS = commands()


def options(command: click.Command) -> set[str]:
    own = [param for param in command.params if isinstance(param, click.Option) and param.expose_value]
    return {name for option in own for name in (*option.opts, *option.secondary_opts)}


def documented_options(section: str) -> set[str]:
    rows = re.findall(r"^\| (`-.*?) \|", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"(?<!\w)(-{1,2}[a-z][a-z-]*)", row)}


@pytest.mark.parametrize("call", COMMANDS)
def test_a_command_is_documented_with_its_options_and_no_others(call):
    section = sections()[call]
    assert documented_options(section) == options(COMMANDS[call])
    assert f"`{call}" in section


def test_no_command_is_documented_that_is_not_there():
    groups = {call.rsplit(" ", 1)[0] for call in COMMANDS if call.count(" ") == 2}
    assert {head for head in sections() if head.startswith("runstone ")} == set(COMMANDS) | groups


@pytest.mark.parametrize("call", COMMANDS)
def test_the_arguments_of_a_command_are_documented_in_their_order(call):
    arguments = [param for param in COMMANDS[call].params if isinstance(param, click.Argument)]
    words = " ".join(param.metavar or str(param.name).upper() for param in arguments)
    shapes = [shape.removeprefix(call) for shape in re.findall(rf"`({call}(?: [^`]*)?)`", sections()[call])]
    named = [re.findall(r"\b[A-Z]+\b", re.sub(r"\[--.*?\]", "", shape)) for shape in shapes]
    assert re.findall("[A-Z]+", words) == max(named, key=len)


def test_the_common_options_are_documented():
    assert documented_options(sections()["The store"]) == COMMON


def test_every_exit_code_is_documented():
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", sections()["Exit codes"], re.MULTILINE))
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for code in rows} == codes


def test_every_setting_is_documented():
    used = set()
    for path in (ROOT / "src").rglob("*.py"):
        used |= {name for name in SETTING.findall(path.read_text()) if not NOT_OURS.match(name)}
    used |= {PREFIX + field.name.upper() for field in msgspec.structs.fields(ServerOptions)}
    assert {"RUNSTONE_STORE", "RUNSTONE_DEBUG", "RUNSTONE_PORT"} <= used
    rows = set(re.findall(r"^\| `(RUNSTONE_\w+)` \|", sections()["Settings"], re.MULTILINE))
    assert rows == used


def test_the_defaults_of_a_server_are_the_documented_ones():
    rows = dict(re.findall(r"^\| `RUNSTONE_(\w+)` \|([^|]*)\|[^|]*\|$", sections()["Settings"], re.MULTILINE))
    for field in msgspec.structs.fields(ServerOptions):
        if field.default is not msgspec.NODEFAULT:
            value = field.default
            shown = (
                str(value).lower() if isinstance(value, bool) else str(value) if value not in ("", ()) else ""
            )
            assert rows[field.name.upper()].strip().strip("`") == shown, field.name


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, (
                target
            )


def test_commands_in_the_docs_exist():
    known = {call.split(" ")[1] for call in COMMANDS}
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")):
        for name in re.findall(r"`runstone ([a-z]+)", page.read_text()):
            assert name in known, f"{page.name}: runstone {name}"
