"""`python -m tests.e2e`: builds what is needed, then runs the tests in namespaces of their own.

Those with Argo CD need none, and follow unless arguments say which tests are wanted.

A machine without root, the programs or the privileges gets a loud notice and exit code 0. With
E2E_REQUIRED, as in CI, missing programs are an error: they can be installed, privileges can't.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hack.chart.tools import tool
from hack.image import build as building
from hack.image.__main__ import source_date_epoch
from hack.image.debian import ImageError
from hack.image.processes import end_by_exception
from tests.e2e import surroundings
from tests.support import argocd, facts, kstatus
from tests.support.cluster import ClusterError, binaries
from tests.support.go_module import BuildError, say
from tests.support.node import isolation
from tests.support.node.node import BINARIES
from together_operator import __version__

FACTS = "facts.json"
IMAGE = f"together-operator:{__version__}"


def main(arguments: list[str]) -> int:
    """Run it; the exit code of the tests, or as the module says."""
    parts = (isolation, building, surroundings, argocd)
    missing = sorted({name for part in parts for name in part.lacking()})
    if missing:
        print(
            f"\n*** make e2e is SKIPPED: NOTHING WAS TESTED. This machine lacks: "
            f"{', '.join(missing)}.\n*** On Debian, as root: apt-get install "
            f"{' '.join(name for name in missing if name != 'root')}\n",
            file=sys.stderr,
        )
        return 1 if os.environ.get("E2E_REQUIRED") and "root" not in missing else 0
    obstacle = isolation.forbidden()
    if obstacle:
        print(
            "\n*** make e2e is SKIPPED: NOTHING WAS TESTED. Root may not do here what a node needs "
            f"(namespaces, mounts, cgroups, bridges, iptables):\n*** {obstacle}\n",
            file=sys.stderr,
        )
        return 0
    end_by_exception()
    folder = Path(tempfile.mkdtemp(prefix="together-e2e-"))
    try:
        with isolation.cleaned(folder):
            return _run(folder, arguments)
    except (BuildError, ClusterError, ImageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(folder: Path, arguments: list[str]) -> int:
    started = time.monotonic()
    environment = prepare(folder)
    say(f"Prepared in {time.monotonic() - started:.0f} s; running the tests on a real node")
    # The first process of the namespace: -p no:cacheprovider, since the tree is not ours.
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    node = [*command, *(arguments or ["tests/e2e"])]
    code = isolation.run_isolated(node, environment)
    if code == 0 and not arguments:
        say("Running the tests with Argo CD")
        gitops = [*command, "tests/gitops"]
        code = subprocess.run(gitops, env=environment, check=False).returncode
    _summarize(folder / FACTS, time.monotonic() - started)
    return code


def _summarize(path: Path, seconds: float) -> None:
    seen = json.loads(path.read_text()) if path.exists() else {}
    print(f"\n==> make e2e: what was seen, in {seconds / 60:.0f} minutes")
    print("\n".join(facts.lines(seen)))


def prepare(folder: Path) -> dict[str, str]:
    """Build image and programs, where the network is; the environment of the tests."""
    binaries.find(BINARIES)
    kstatus.MODULE.find(["kstatus"])
    argocd.binary()
    started = time.monotonic()
    with building.Storage.in_cache() as storage:
        say("Building the image")
        identity = building.build(storage, IMAGE, epoch=source_date_epoch())
        size = building.export(storage, IMAGE, folder / "image.tar")
        building.pause(storage, surroundings.PAUSE)
        building.export(storage, surroundings.PAUSE, folder / "pause.tar")
    say(f"Images: {time.monotonic() - started:.0f} s, on {storage.driver}")
    (folder / "node").mkdir()
    assert shutil.which("unshare")
    return os.environ | {
        "TOGETHER_E2E_FOLDER": str(folder),
        facts.VARIABLE: str(folder / FACTS),
        "TOGETHER_E2E_IMAGE": f"{IMAGE} {identity} {size}",
        "TOGETHER_E2E_HELM": tool("helm"),
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
