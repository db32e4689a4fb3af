"""`docs/client.md`: every example runs, in the order of the page, against one real broker, and prints what it says."""

import ast
import inspect
import os
import re
import sys
from collections.abc import Awaitable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple, cast

import pytest
import trio

import roost
from roost_broker.config import Config, PasswordConfig

PAGE = Path(__file__).parents[2] / "docs" / "client.md"


class Example(NamedTuple):
    """A block of Python, the line it begins on, and what it prints (None: the page does not say)."""

    line: int
    code: str
    output: str | None


def examples(page: str) -> list[Example]:
    """The blocks of Python of a page, each with the block of text that follows it at once."""
    found: list[Example] = []
    for match in re.finditer(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", page, re.MULTILINE | re.DOTALL):
        found.append(Example(page.count("\n", 0, match.start()) + 2, match[1], match[2]))
    return found


EXAMPLES = examples(PAGE.read_text("utf-8"))


def test_the_page_has_no_other_code() -> None:
    assert PAGE.read_text("utf-8").count("```python") == len(EXAMPLES) > 5
    assert PAGE.read_text("utf-8").count("```text") == sum(example.output is not None for example in EXAMPLES)


async def test_every_example_prints_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config(data="data", listen="127.0.0.1:0", passwords=PasswordConfig(memory_kib=8, passes=1))
    async with roost.Broker(config) as broker:
        for user in ("alice", "bob", "carol"):
            await broker.create_user(user, "correct horse")
        for example in EXAMPLES:
            with trio.fail_after(20):
                if "trio.run(" in example.code:
                    printed = await _run_program(example, broker.addresses[0])
                else:
                    printed = await _run_part(example, broker.addresses[0])
            assert printed == (example.output or ""), f"{PAGE.name}, line {example.line}"


async def _run_program(example: Example, address: str) -> str:
    """A whole program, in a process of its own."""
    code = example.code.replace("localhost:7300", address)
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = await trio.run_process([sys.executable, "-c", code], capture_stdout=True, env=environment)
    return done.stdout.decode()


async def _run_part(example: Example, address: str) -> str:
    """The inside of an async function."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (example.line - 1) + example.code, str(PAGE), "exec", flags=flags)
    with redirect_stdout(StringIO()) as printed:
        ran: object = eval(code, {"roost": roost, "trio": trio, "address": address})  # noqa: S307 - our own page
        assert inspect.isawaitable(ran)
        await cast(Awaitable[None], ran)
    return printed.getvalue()
