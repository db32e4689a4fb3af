"""What happened, for a person: of a run that went wrong, the lines that matter."""

import re
from collections.abc import Iterator

from roost.simulation.play import Outcome
from roost.simulation.trace import Line

LINES_MAX = 70
"""Lines of one story; past it the middle is left out."""

LAST_LINES = 50
"""Of those, the ones before the end."""

ALWAYS = ("fault", "broker", "network")
"""Whose lines always matter."""


def story(outcome: Outcome) -> list[str]:
    """The lines that have to do with what went wrong, in order."""
    lines = [_told(line) for line in _that_matter(outcome)]
    if len(lines) <= LINES_MAX:
        return lines
    first = lines[: LINES_MAX - LAST_LINES]
    return [*first, f"… {len(lines) - LINES_MAX} lines are left out …", *lines[-LAST_LINES:]]


def trace(outcome: Outcome) -> list[str]:
    """Every line."""
    return [_told(line) for line in outcome.lines]


def _that_matter(outcome: Outcome) -> Iterator[Line]:
    words = {word for fault in outcome.faults for word in re.findall(r"[\w-]+", fault)}
    devices = {line.who for line in outcome.lines} & words
    ids = {word for word in words if re.fullmatch(r"[0-9a-f]{16}", word)}
    last = max((violation.index or 0 for violation in outcome.verdict.violations), default=None)
    for line in outcome.lines:
        failed = line.who == "store" and ("refused" in line.text or "unknown" in line.text)
        named = line.who in devices or any(id_ in line.text for id_ in ids)
        if (line.who in ALWAYS and not line.text.startswith("Enrolled")) or failed or (named and _is_news(line)):
            yield line
        if line.event is not None and line.event == last and not outcome.complaints:
            return


def _is_news(line: Line) -> bool:
    return not line.text.endswith(("Ping", "Pong"))


def _told(line: Line) -> str:
    return f"{line.at_s:10.4f} s  {line.who:12} {line.text}"
