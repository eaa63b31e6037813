"""What a newcomer is told to type leads to something that runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hack.demo.__main__ import path_with

ROOT = Path(__file__).parents[3]
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = [
    ROOT / "README.md",
    ROOT / "docs/quickstart.md",
    ROOT / "charts/together-operator/README.md",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_an_install_names_an_image_that_was_built_and_pushed(page: Path) -> None:
    [install] = re.findall(r"^helm install (?:.*\\\n)*.*\n", page.read_text(), re.MULTILINE)
    [repository] = re.findall(r"--set image\.repository=(\S+)", install)
    before = page.read_text().partition(install)[0]

    assert re.search(rf"^docker build -t {re.escape(repository)}:\S+ \.$", before, re.MULTILINE)
    assert re.search(rf"^docker push {re.escape(repository)}:\S+$", before, re.MULTILINE)


def test_make_help_tells_of_every_target_that_has_a_line() -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    targets = re.findall(r"^(\S+):.*## ", MAKEFILE, re.MULTILINE)

    assert "e2e" in targets
    assert re.findall(r"^  make (\S+)", told, re.MULTILINE) == targets


def test_a_shell_finds_the_programs_of_the_demo(tmp_path: Path) -> None:
    folders = [tmp_path / "one's", tmp_path / "two"]
    programs = [folder / f"program-{n}" for n, folder in enumerate(folders)]
    for program in programs:
        program.parent.mkdir()
        program.touch(mode=0o755)
    line = path_with(*programs)

    path = subprocess.run(
        ["/bin/sh", "-c", f'{line}; echo "$PATH"'], capture_output=True, text=True, check=True
    ).stdout.strip()

    assert [shutil.which(program.name, path=path) for program in programs] == [
        str(program) for program in programs
    ]
    assert path.endswith(os.environ["PATH"])
