"""The whole tree of commands, walked: each leaf gives JSON, has help with an example, and costs little to start."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from roost_admin.main import root

NO_JSON = {
    "roost serve": "a process that goes on; --ready-fd gives a document",
    "roost chat": "a conversation",
    "roost completion": "a script for a shell",
}
"""Leaves without --json, and why."""


def walk(group: click.Group, context: click.Context) -> Iterator[tuple[click.Context, click.Command]]:
    """Every command below a group, with the groups that are loaded late."""
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None, name
        inner = click.Context(found, parent=context, info_name=name)
        yield inner, found
        if isinstance(found, click.Group):
            yield from walk(found, inner)


ALL = [
    pytest.param(context, found, id=context.command_path)
    for context, found in walk(root, click.Context(root, info_name="roost"))
]
LEAVES = [case for case in ALL if not isinstance(case.values[1], click.Group)]


def test_the_tree_is_walked_whole() -> None:
    paths = {case.id for case in LEAVES}
    assert {"roost inbox tail", "roost retention plan", "roost bench pairs", "roost users add"} <= paths
    assert NO_JSON.keys() <= paths


@pytest.mark.parametrize(("context", "leaf"), LEAVES)
def test_every_leaf_gives_json_or_has_a_reason(context: click.Context, leaf: click.Command) -> None:
    gives = [parameter for parameter in leaf.params if "--json" in parameter.opts]
    path = context.command_path
    assert bool(gives) != (path in NO_JSON), path


@pytest.mark.parametrize(("context", "command"), ALL)
def test_every_command_says_what_it_does(context: click.Context, command: click.Command) -> None:
    text = command.help or ""
    first = text.partition("\n\n")[0]
    assert first.strip().endswith((".", ":")), "it begins with a sentence"
    if not isinstance(command, click.Group):
        assert "\b\nExample:\n" in text.replace("\b\n    Example", "\b\nExample"), context.command_path
        assert context.command_path in text, "the example is of this command"
    assert command.get_short_help_str(200)


@pytest.mark.parametrize(("context", "command"), ALL)
def test_every_option_is_explained(context: click.Context, command: click.Command) -> None:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{context.command_path} {parameter.opts[0]}"
        assert parameter.get_help_record(context) is not None or isinstance(parameter, click.Argument)


@pytest.mark.parametrize(("context", "command"), [pytest.param(click.Context(root), root, id="roost"), *ALL])
def test_help_fits_a_terminal_of_80_columns(context: click.Context, command: click.Command) -> None:
    narrow = click.Context(command, info_name=context.info_name, parent=context.parent, terminal_width=80)
    lines = command.get_help(narrow).splitlines()
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("arguments", [["--help"], ["inbox", "show", "--help"], ["check", "--help"], ["--version"]])
def test_a_simple_command_loads_neither_trio_nor_rich_nor_the_broker(arguments: list[str]) -> None:
    assert loaded(arguments) & {"trio", "rich", "roost_broker", "roost_benchmarks", "lmdb", "msgspec"} == set()


def test_a_command_that_asks_the_broker_loads_no_more_than_it_needs() -> None:
    assert loaded(["--socket", "/nowhere/s", "status"]) & {"trio", "rich", "roost_broker", "roost", "lmdb"} == set()


def loaded(arguments: list[str]) -> set[str]:
    """The packages that a process of the command has loaded by its end."""
    program = (
        "import sys\nfrom roost_admin.main import main\n"
        f"try:\n    main({arguments!r})\nfinally:\n"
        "    print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    packages = set(done.stderr.splitlines()[-1].split())
    assert {"click", "roost_admin"} <= packages, done.stderr
    return packages
