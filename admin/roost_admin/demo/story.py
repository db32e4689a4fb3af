"""Telling the demo to a person, step by step as it happens; in colour on a terminal, as plain lines on a pipe."""

import sys
import time
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from roost_admin.cells import fitted, printable
from roost_admin.demo.reports import Device

if TYPE_CHECKING:
    from roost.oracle import Verdict
    from roost_admin.demo.document import Document

COLOURS = {"alice": "cyan", "bob": "green", "carol": "magenta"}
PIPE_COLUMNS = 120
"""Columns of what is told on a pipe, where nobody says how wide it is."""

BODY_CELLS = range(10, 35)
"""Cells that a message may take in the table."""

OTHER_CELLS = 64
"""Cells of the table beside the messages: sender, recipient and seven devices."""

Part = str | Device
"""A piece of a sentence; a device is named in the colour of its user."""


class Story:
    """Tells; or keeps quiet, for a program that only wants the document."""

    def __init__(self, *, quiet: bool) -> None:
        colour_terminal = sys.stdout.isatty()
        self._console = Console(
            quiet=quiet, highlight=False, soft_wrap=False, width=None if colour_terminal else PIPE_COLUMNS
        )
        self._began = time.monotonic()
        self._scenes = 0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def title(self, text: str) -> None:
        """What all of this is."""
        self._console.print(Text(text, style="bold"))

    def scene(self, text: str) -> None:
        """A new scene begins."""
        self._scenes += 1
        self._console.print()
        self._console.print(Text(f"{self._scenes}. {text}", style="bold yellow"))

    def tell(self, *parts: Part) -> None:
        """Something happens."""
        self._line("   ", parts)

    def good(self, *parts: Part) -> None:
        """Something came out as it should."""
        self._line(" ✓ ", parts, mark_style="bold green")

    def message(self, sender: Device, to: str, body: str) -> None:
        """Somebody says something."""
        kind, _, name = to.partition("/")
        line = self._begin("   ")
        line.append_text(_named(sender)).append(" → ")
        line.append(name if kind == "user" else f"group {name}", COLOURS.get(name, "blue"))
        line.append(": ").append(f"“{printable(body)}”", "italic")
        self._console.print(line)

    def ending(self, document: "Document", devices: tuple[Device, ...]) -> None:
        """The table of devices × messages, and the verdict."""
        self._console.print()
        self._console.print(message_table(document, devices, self._console.width))
        self._console.print(
            Text("the number in the user's inbox, → sent by this user; gap: lost to retention, and told so; · not his")
        )
        self._console.print()
        for line in verdict_text(document.verdict, document.problems):
            self._console.print(line)

    def _line(self, mark: str, parts: tuple[Part, ...], mark_style: str = "") -> None:
        line = self._begin(mark, mark_style)
        for part in parts:
            if isinstance(part, Device):
                line.append_text(_named(part))
            else:
                line.append(part)
        self._console.print(line)

    def _begin(self, mark: str, style: str = "") -> Text:
        return Text.assemble((f"{self.seconds:5.1f} s", "dim"), (mark, style), " ")


def _named(device: Device) -> Text:
    return Text(device.label, COLOURS.get(device.user, ""))


def message_table(document: "Document", devices: tuple[Device, ...], columns: int) -> Table:
    """One row for each message in the order of commit, one column for each device; in so many cells."""
    body_cells = min(max(columns - OTHER_CELLS, BODY_CELLS.start), BODY_CELLS.stop - 1)
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("from", no_wrap=True)
    table.add_column("to", no_wrap=True)
    table.add_column("message", no_wrap=True)
    for device in devices:
        kind = device.name.partition("-")[2]
        table.add_column(Text(f"{device.user}\n{kind}", COLOURS.get(device.user, "")), justify="right", no_wrap=True)
    for row in document.messages:
        cells = [_cell(document.cell(device.name, row.id)) for device in devices]
        names = Text(row.sender, COLOURS.get(row.sender, "")), Text(row.to.partition("/")[2])
        table.add_row(*names, Text(fitted(printable(row.body), body_cells)), *cells)
    return table


def _cell(shown: str) -> Text:
    style = {"gap": "bold yellow", "·": "dim", "✗": "bold red"}.get(shown, "bold" if "→" in shown else "")
    return Text(shown, style)


def verdict_text(verdict: "Verdict", problems: tuple[str, ...]) -> list[Text]:
    """The verdict in a few lines."""
    figures = verdict.figures
    lines = [
        Text(f"The oracle, which knows nothing of the broker, read {figures['events']} events:"),
        Text(
            f"{figures['messages']} messages, {figures['deliveries']} deliveries to {figures['devices']} devices, "
            f"{figures['restarts']} crash, {figures['kicks']} kicks, {figures['numbers_lost']} lost numbers"
        ),
    ]
    lines += [
        Text(f"{violation.promise} broken: {printable(violation.text)}", "red") for violation in verdict.violations
    ]
    lines += [Text(f"problem: {printable(problem)}", "red") for problem in problems]
    if verdict.passed and not problems:
        lines.append(Text("✓ verdict: pass. No device missed either side of a conversation.", "bold green"))
    else:
        lines.append(Text("✗ verdict: FAIL", "bold red"))
    return lines
