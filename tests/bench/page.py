"""`docs/benchmarks.md`: what a measurement keeps there, and on which machine it was made."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import date
from pathlib import Path

PAGE = Path("docs/benchmarks.md")


def machine() -> str:
    """What the figures are worth comparing with."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return (
        f"{len(os.sched_getaffinity(0))} processors ({models[0] if models else 'unknown'}), "
        f"{memory} GiB, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the end"
    )


def put(section: str, text: str) -> None:
    """Put `text` between the markers of a section, with how it was made; the rest stays.

    A section is named as its benchmark; how that was called is taken from the command line.

    Raises:
        ValueError: the page has no such section.
    """
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    page = PAGE.read_text()
    if begin not in page or end not in page:
        raise ValueError(f"{PAGE} has no section {section}")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    command = f"make bench ONLY={section} ARGS='{shlex.join(sys.argv[1:])}'"
    made = f"Made by `{command}` on {date.today():%Y-%m-%d}: {machine()}."  # noqa: DTZ011
    PAGE.write_text(f"{before}{begin}\n{made}\n\n{text}\n{end}{after}")
