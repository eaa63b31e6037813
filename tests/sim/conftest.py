"""The numbers of the simulation, printed at the end of a test run."""

from __future__ import annotations

import pytest

from tests.sim.sweep import SCENARIOS
from tests.sim.tally import TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many runs were made."""
    if TALLY.made:
        terminalreporter.section(f"simulation: {len(SCENARIOS)} scenarios")
        for line in TALLY.lines():
            terminalreporter.write_line(line)
