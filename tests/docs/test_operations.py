"""`docs/operations.md`, typed line by line at a real broker: every command does what the page shows."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import pytest
import trio

from admin.running import PASSWORD, WAIT_S
from admin.test_command_tree import LEAVES
from docs.site import Site, site_in
from docs.terminal import OnTerminal, run
from docs.transcript import INTERRUPT, Ids, Step, steps

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
STEPS = list(steps(PAGE.read_text("utf-8")))

ELSEWHERE = re.compile(r"roost (bench|chat|demo|sim|verify-history)\b")
"""Commands that other pages and tests are about."""

ASKS = re.compile(r"roost (users (add|passwd|remove)|erase|groups delete)\b(?!.*(--yes|--password-fd))")
"""Commands that ask a person: they need a terminal."""

SYSTEMCTL = re.compile(r"systemctl (start|stop|restart) roost")


# --- what happens between the lines -------------------------------------------------------------------------------


async def everybody_comes(site: Site) -> None:
    """The users of the page, and their devices; carol's phone has been there, and is off."""
    await site.create_users("carol", "dave", "erin", "frank", "monitor", "backup", "mallory")
    for user, terminal in (
        ("alice", "phone"),
        ("alice", "pc"),
        ("bob", "phone"),
        ("carol", "phone"),
        ("erin", "web"),
        ("frank", "phone"),
    ):
        await site.connect(user, terminal, want_token=terminal == "phone")
    await site.publish("bob", "phone", "user/carol", "Are you coming?")
    await site.publish("alice", "pc", "user/bob", "The report is ready.")
    await site.publish("erin", "web", "user/bob", "Please forget this.", "And this.")
    await site.wait_until(lambda: site.acknowledged("carol", 1))
    await site.leave("carol", "phone")
    await site.leave("erin", "web")
    await site.leave("frank", "phone")
    await site.publish("bob", "phone", "user/carol", "We begin at nine.", "Bring the keys.")
    await site.wait_until(lambda: site.acknowledged("bob", 6))


async def they_are_back(site: Site) -> None:
    """After a kick, and after their accounts were changed."""
    await site.connect("alice", "pc")
    await site.connect("alice", "phone")
    await site.connect("bob", "phone")


async def they_have_come_back(site: Site) -> None:
    """By themselves, after the broker was restarted."""
    await site.wait_until(lambda: site.online("alice") == {"pc", "phone"})


BEFORE: dict[str, Callable[[Site], Awaitable[None]]] = {
    "roost status": everybody_comes,
    "roost tokens list": they_are_back,
    "roost --context prod sessions list --user alice": they_have_come_back,
}
"""What happens before a line that is typed for the first time."""


async def dave_looks_in(site: Site) -> None:
    """Something for everybody who looks on: a session that ends, another, and a message in it."""
    await site.leave("dave", "pad")
    await site.connect("dave", "pad")
    await site.publish("dave", "pad", "user/mallory", "I am here.")


LOOK_S = 1.0
"""For so long a view is looked at before something is caused once more."""


# --- typing -------------------------------------------------------------------------------------------------------


async def play(site: Site, step: Step, ids: Ids) -> tuple[int, str]:
    """Type it; the exit status, and what is printed."""
    service = SYSTEMCTL.fullmatch(step.command)
    if service:
        if service[1] != "start":
            await trio.to_thread.run_sync(site.stop)
        if service[1] != "stop":
            await trio.to_thread.run_sync(site.start)
        return 0, ""
    line = site.typed(ids.typed(step.command))
    if step.live:
        return await watch(site, line, step, ids)
    if ASKS.search(step.command):
        return await trio.to_thread.run_sync(answer, site, line, step.command)
    status, printed = await trio.to_thread.run_sync(run, line, site.home, site.env)
    return status, site.shown(printed)


def answer(site: Site, line: str, command: str) -> tuple[int, str]:
    """Type a line and the answers to what it asks."""
    asked = [PASSWORD, PASSWORD] if re.search(r"add|passwd", command) else [command.rsplit(maxsplit=1)[-1]]
    terminal = OnTerminal(line, site.home, site.env)
    try:
        terminal.answer(asked)
        status = terminal.end()
    finally:
        terminal.close()
    return status, site.shown(terminal.text)


async def watch(site: Site, line: str, step: Step, ids: Ids) -> tuple[int, str]:
    """Start something that goes on, cause what it shows, and press Ctrl-C when the page's lines are there."""
    assert step.printed is not None
    wanted = step.printed[:-1]

    def is_there(text: str) -> bool:
        return ids.match([*wanted, "…"], site.shown(text.rpartition("\n")[0]))

    terminal = OnTerminal(line, site.home, site.env)
    try:
        with trio.move_on_after(WAIT_S) as limit:
            # Nobody can see from outside when it has begun to look: so dave comes until he was seen.
            while not await trio.to_thread.run_sync(terminal.wait, is_there, LOOK_S):
                if "serve" not in step.command:
                    await dave_looks_in(site)
        assert not limit.cancelled_caught, f"{PAGE.name}, line {step.line}: it shows {site.shown(terminal.text)!r}"
        status = await trio.to_thread.run_sync(terminal.end, "\x03")
        if "serve" not in step.command:
            await site.leave("dave", "pad")
    finally:
        terminal.close()
    return status, site.shown(terminal.text)


@pytest.mark.process
@pytest.mark.timeout(900)
async def test_every_line_of_the_page_does_what_it_shows(tmp_path: Path) -> None:
    ids = Ids()
    met: set[str] = set()
    wrong: list[str] = []
    async with site_in(tmp_path) as site:
        for step in STEPS:
            if ELSEWHERE.search(step.command):
                continue
            if step.command in BEFORE and step.command not in met:
                await BEFORE[step.command](site)
            met.add(step.command)
            status, printed = await play(site, step, ids)
            same = step.printed is None or step.live or ids.match(step.printed, printed)
            if status != step.wanted_status or not same:
                wrong.append(f"{PAGE.name}, line {step.line}: $ {step.typed}   status {status}\n{printed}")
    assert not wrong, "\n".join(wrong)
    assert met >= BEFORE.keys()


def test_every_command_is_on_the_page() -> None:
    typed = "\n".join(step.command for step in STEPS)
    paths = [str(case.id) for case in LEAVES]
    missing = [path for path in paths if path and not re.search(rf"\b{path}\b", typed) and not ELSEWHERE.match(path)]
    assert not missing, f"docs/operations.md shows no example of: {', '.join(map(str, missing))}"


def test_every_view_that_goes_on_is_ended_on_the_page() -> None:
    live = {" ".join(step.command.split()[:2]) for step in STEPS if step.live}
    assert live == {"roost serve", "roost top", "roost events", "roost sessions", "roost inbox"}
    assert all(INTERRUPT not in (step.printed or ())[:-1] for step in STEPS)


def test_the_page_types_no_option_that_is_not_there() -> None:
    """Also in lines that are not run here."""
    commands = {case.id: case.values[1] for case in LEAVES}
    for step in STEPS:
        path = next(
            (path for path in sorted(commands, key=str, reverse=True) if f"{path} " in f"{step.command} "), None
        )
        if path is None:
            continue
        command = commands[path]
        assert isinstance(command, click.Command)
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        for option in re.findall(r" (--[a-z-]+)", step.command.partition(str(path))[2].partition("|")[0]):
            assert option in known, step
