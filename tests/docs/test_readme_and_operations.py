"""`README.md` and `docs/operations.md`: what they show is so."""

import os
import re
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
import trio
from click import Context, Group

import roost
from docs.site import site_in
from docs.test_operations import everybody_comes, play
from docs.transcript import Ids, steps
from roost_admin.main import root
from roost_broker.config import Config, PasswordConfig
from roost_broker.reload import AT_ONCE, NEW_CONNECTIONS
from roost_broker.settings import load
from roost_protocol.limits import Limits

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


async def test_the_program_of_the_readme_runs(tmp_path: Path) -> None:
    (program,) = blocks(README, "python")
    config = Config(data=str(tmp_path / "data"), listen="127.0.0.1:0", passwords=PasswordConfig(memory_kib=8, passes=1))
    async with roost.Broker(config) as broker:
        for user in ("alice", "bob"):
            await broker.create_user(user, "correct horse")
        assert "localhost:7300" in program
        command = [sys.executable, "-c", program.replace("localhost:7300", broker.addresses[0])]
        with trio.fail_after(30):
            done = await trio.run_process(command, capture_stdout=True, env={**os.environ, "PYTHONWARNINGS": "error"})
    first, second = done.stdout.decode().splitlines()
    assert first.startswith("Connected(")
    assert "own=True" in second
    assert "'hello'" in second


@pytest.mark.process
async def test_the_administration_of_the_readme_is_so(tmp_path: Path) -> None:
    typed = list(steps(README[README.index("## Administration") :].partition("\n## ")[0]))
    assert len(typed) > 3
    ids = Ids()
    async with site_in(tmp_path) as site:
        await trio.to_thread.run_sync(site.start)
        await site.create_users("alice", "bob")
        await everybody_comes(site)
        for step in typed:
            status, printed = await play(site, step, ids)
            assert status == step.wanted_status, printed
            assert ids.match(step.printed or [], printed), printed


def test_make_has_what_the_pages_name() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    pages = README + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"\$ make ([a-z0-9-]+)", pages)) | set(re.findall(r"`make ([a-z0-9-]+)`", pages))
    assert {"demo", "test"} <= named <= targets


def test_every_command_that_is_shown_is_there() -> None:
    typed = "\n".join(blocks(README + OPERATIONS, "console"))
    shown = re.findall(r"^\$ roost ((?:[a-z-]+ ?){1,2})", typed, re.MULTILINE)
    assert len(shown) > 10
    for words in shown:
        command: object = root
        for word in words.split():
            if word.startswith("-") or not isinstance(command, Group):
                break
            _, command, _ = command.resolve_command(Context(command), [word])
            assert command is not None, f"roost {words}"


def test_the_file_of_the_operations_page_is_the_defaults(tmp_path: Path) -> None:
    text, *parts = blocks(OPERATIONS, "toml")
    file = tmp_path / "roost.toml"
    file.write_text(text)
    assert load(file) == Config()
    for part in parts:
        file.write_text(part)
        assert load(file) != Config()
    tree = tomllib.loads(text)
    for section in ("tls", "retention", "journal", "store", "passwords"):
        named = {field.name for field in msgspec.structs.fields(type(getattr(Config(), section)))}
        assert set(tree[section]) == named
    assert set(tree) == {field.name for field in msgspec.structs.fields(Config)}


def test_what_the_operations_page_says_of_a_reload_is_so() -> None:
    """The table in the page is the table in the code."""
    rows = dict(re.findall(r"^\| (at once|for connections[^|]*) \| ([^|]*) \|$", OPERATIONS, re.MULTILINE))
    for told, meant in zip(rows.values(), (AT_ONCE, NEW_CONNECTIONS), strict=True):
        own, _, limits = told.partition("of the limits")
        named = {f"limits.{name}" for name in re.findall(r"`(\w+)`", limits)}
        for name in re.findall(r"`(\w+)`", own):
            table = getattr(Config(), name)
            named |= {f"{name}.{key}" for key in msgspec.structs.asdict(table)} if name == "retention" else {name}
        assert named == meant


def test_the_limits_of_the_operations_page_are_limits() -> None:
    table = OPERATIONS[OPERATIONS.index("## Limits") :].partition("\n## ")[0]
    names = set(re.findall(r"`([a-z_]+)`", table)) - {"roost_protocol"}
    assert len(names) > 8
    assert names <= {row.name for row in Limits.table()}
