"""What kstatus's own library, a small Go program around it, takes objects for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.go_module import GoModule

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULE = GoModule(
    Path(__file__).parents[2] / "hack" / "kstatus",
    "kstatus",
    {"kstatus": "."},
    "about a minute",
    {},
)


def compute(objects: Sequence[dict[str, Any]]) -> list[str]:
    """Current, InProgress, Failed or Terminating (and the like) for each object.

    Raises:
        BuildError: the program can't be built.
    """
    program = MODULE.find(["kstatus"])["kstatus"]
    lines = "".join(f"{json.dumps(found)}\n" for found in objects)
    run = subprocess.run([str(program)], input=lines, capture_output=True, text=True, check=True)
    return run.stdout.split()


def expected(found: dict[str, Any]) -> str:
    """What our conditions are meant to say, in kstatus's words."""
    status = found.get("status", {})
    conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
    if "deletionTimestamp" in found["metadata"]:
        return "Terminating"
    if status.get("observedGeneration") != found["metadata"]["generation"]:
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "Current" if conditions.get("Ready") == "True" else "InProgress"
