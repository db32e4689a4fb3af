"""Says at the end of a run what every siege measured, and all of them in one line."""

import pytest

from hostile.figures import FIGURES, in_one_line
from hostile.siege import PEERS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """See `pytest.hookspec`."""
    if FIGURES:
        terminalreporter.section("hostile peers")
        for figures in FIGURES:
            terminalreporter.write_line(figures.line())
        terminalreporter.write_line(in_one_line(FIGURES, PEERS))
