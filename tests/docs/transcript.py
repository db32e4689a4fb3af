"""Transcripts in pages: what a `console` block has somebody type, and what it says comes of it.

A line that begins with `$ ` is typed; what follows, up to the next such line, is what is printed. If nothing follows,
the page does not say what is printed. `# status 64` at the end of a typed line is the exit status, 0 where there is
none. `^C` as the last line is Ctrl-C, in a view that goes on until then.

What varies from run to run is compared by its form: times, durations, sizes, numbers of ports, sessions and processes,
ids. An id that was seen once stands for the same thing in all that follows, also where it is typed. `…` stands for
anything in a line, and alone on a line for any lines at all.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

INTERRUPT = "^C"

_FORMS = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\\\.\d{3}"), r"\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3}"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), r"\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\\\.\d{3}"), r"\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}"),
    (re.compile(r"\b\d\d:\d\d:\d\d\\\.\d{3}"), r"\\d\\d:\\d\\d:\\d\\d\\.\\d{3}"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), r"\\d\\d:\\d\\d:\\d\\d"),
    (re.compile(r"127\\\.0\\\.0\\\.1:[3-6]\d{4}"), r"127\\.0\\.0\\.1:\\d{5}"),
    (re.compile(r"\b\d{13}\b"), r"\\d{13}"),
    (re.compile(r"\bprocess \d+"), r"process \\d+"),
    (re.compile(r"\b(?:\d+ min )?\d+(?:\\\.\d+)? m?s\b"), r"(?:\\d+ min )?\\d+(?:\\.\\d+)? m?s"),
    (re.compile(r"\b\d+(?:\\\.\d)? (?:[KMGT]i)?B\b"), r"\\d+(?:\\.\\d)? (?:[KMGT]i)?B"),
    (re.compile(r"…"), r"[^\n]*?"),
    (re.compile(r" {2,}"), r"  +"),
)
"""What stands on the page, escaped for a pattern, and the pattern of what may stand there."""

_ID = re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{16}\b|\bbefore-restore-\d{8}T\d{6}Z\b")
"""Ids of messages, which are bound to what they were in this run; the time in the name of a folder is one, too."""


class Step(NamedTuple):
    """Something typed, the line it stands on, and what comes of it (None: the page does not say)."""

    line: int
    typed: str
    printed: list[str] | None
    status: int

    @property
    def command(self) -> str:
        """What is typed, without the comment."""
        return re.sub(r"\s+# .*$", "", self.typed)

    @property
    def live(self) -> bool:
        """Whether it goes on until Ctrl-C."""
        return self.printed is not None and self.printed[-1] == INTERRUPT

    @property
    def wanted_status(self) -> int:
        """The exit status that the page says."""
        if self.status or not self.live:
            return self.status
        return 0 if re.match(r"roost serve", self.typed) else 130


def steps(page: str) -> Iterator[Step]:
    """Everything that is typed in the `console` blocks of a page, in its order. Raises ValueError."""
    for block in re.finditer(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        first = page.count("\n", 0, block.start()) + 2
        lines = block[1].splitlines()
        starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
        if not starts or starts[0] != 0:
            raise ValueError(f"line {first}: a console block begins with what is typed")
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            printed = lines[start + 1 : end]
            while printed and not printed[-1]:
                printed.pop()
            typed = lines[start].removeprefix("$ ")
            status = re.search(r"# (?:.*\W)?status (\d+)$", typed)
            yield Step(first + start, typed, printed or None, int(status[1]) if status else 0)


class Ids:
    """What the ids of a page are in this run."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def typed(self, text: str) -> str:
        """What is typed on the page, as it has to be typed in this run."""
        return _ID.sub(lambda found: self._known.get(found[0], found[0]), text)

    def match(self, page: list[str], printed: str) -> bool:
        """Whether what was printed is what the page says; new ids are bound if so."""
        names: dict[str, str] = {}
        found = re.fullmatch(self._pattern(page, names), _without_ends(printed))
        if found is None:
            return False
        self._known |= {name: found[group] for name, group in names.items()}
        return True

    def _pattern(self, page: list[str], names: dict[str, str]) -> str:
        pattern = ""
        for line in page:
            if line.strip() == "…":
                pattern += r"(?:[^\n]*\n)*?"
            else:
                pattern += self._line(line.rstrip(), names) + r"\n"
        return pattern

    def _line(self, line: str, names: dict[str, str]) -> str:
        pattern = ""
        at = 0
        for found in _ID.finditer(line):
            pattern += _form(line[at : found.start()])
            if found[0] in self._known:
                pattern += re.escape(self._known[found[0]])
            elif found[0] in names:
                pattern += f"(?P={names[found[0]]})"
            else:
                names[found[0]] = f"id{len(names)}"
                pattern += f"(?P<{names[found[0]]}>{_kind(found[0])})"
            at = found.end()
        return pattern + _form(line[at:])


def _form(text: str) -> str:
    pattern = re.escape(text).replace(r"\ ", " ").replace(r"\-", "-")
    for known, form in _FORMS:
        pattern = known.sub(form, pattern)
    return pattern


def _kind(known: str) -> str:
    return r"before-restore-\d{8}T\d{6}Z" if known.startswith("before") else "[0-9a-f]{16}"


def _without_ends(printed: str) -> str:
    lines = [line.rstrip() for line in printed.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return "".join(f"{line}\n" for line in lines)
