"""`python -m tests.e2e`: builds what is needed, then runs the tests in namespaces of their own.

A machine without root or the programs gets a loud notice and exit code 0, or 1 when E2E_REQUIRED is
set, as it is in CI.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from hack.chart.tools import tool
from hack.image import build as building
from hack.image.__main__ import source_date_epoch
from hack.image.debian import ImageError

from tests.e2e import surroundings
from tests.support.cluster import ClusterError, binaries
from tests.support.go_module import BuildError, say
from tests.support.node import isolation
from tests.support.node.node import BINARIES
from together_operator import __version__

IMAGE = f"together-operator:{__version__}"


def main(arguments: list[str]) -> int:
    """Run it; the exit code of the tests, or as the module says."""
    missing = sorted({*isolation.lacking(), *building.lacking(), *surroundings.lacking()})
    if missing:
        print(
            f"\n*** make e2e is SKIPPED: NOTHING WAS TESTED. This machine lacks: "
            f"{', '.join(missing)}.\n*** On Debian, as root: apt-get install "
            f"{' '.join(name for name in missing if name != 'root')}\n",
            file=sys.stderr,
        )
        return 1 if os.environ.get("E2E_REQUIRED") else 0
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="together-e2e-"))
    try:
        environment = prepare(folder)
        say(f"Prepared in {time.monotonic() - started:.0f} s; running the tests on a real node")
        # The first process of the namespace: -p no:cacheprovider, since the tree is not ours.
        command = [sys.executable, "-m", "pytest", "tests/e2e", "-p", "no:cacheprovider"]
        return isolation.run_isolated([*command, *arguments], environment, folder)
    except (BuildError, ClusterError, ImageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        isolation.clean(folder)


def prepare(folder: Path) -> dict[str, str]:
    """Build image and programs, where the network is; the environment of the tests."""
    binaries.find(BINARIES)
    storage = building.Storage.in_cache()
    say("Building the image")
    identity = building.build(storage, IMAGE, epoch=source_date_epoch())
    size = building.export(storage, IMAGE, folder / "image.tar")
    building.pause(storage, surroundings.PAUSE)
    building.export(storage, surroundings.PAUSE, folder / "pause.tar")
    (folder / "node").mkdir()
    assert shutil.which("unshare")
    return os.environ | {
        "TOGETHER_E2E_FOLDER": str(folder),
        "TOGETHER_E2E_IMAGE": f"{IMAGE} {identity} {size}",
        "TOGETHER_E2E_HELM": tool("helm"),
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
