"""From a container's spec to a process that can be started."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.cluster.process_node.environment import (
    command_line,
    container_environment,
    expand,
)
from tests.support.cluster.process_node.paths import PathMap
from tests.support.cluster.process_node.process import CONTAINER_MARK, Launch
from tests.support.cluster.process_node.references import References

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.cluster.process_node.api import KubeAPI, Object
    from tests.support.cluster.process_node.container import Container


@dataclass(frozen=True)
class Surroundings:
    """What all pods of a node share."""

    api: KubeAPI
    folder: Path
    """The pods' folders are in here."""
    environment: Mapping[str, str]
    """What every container has in its environment before its own."""
    entrypoint: Sequence[str]
    """Stands for the entry point of every image."""


async def prepare(
    container: Container, pod: Object, surroundings: Surroundings, volumes: Mapping[str, Path]
) -> Launch:
    """Return how to start ``container``; its folder is there from then on, and not before.

    :param volumes: the real path of each of the pod's volumes.
    :raises ReferenceMissingError: when its environment refers to what isn't there.
    """
    metadata = pod["metadata"]
    home, temporary = container.folder / "home", container.folder / "tmp"
    message = container.folder / "termination-message"
    paths = _paths(container.spec, volumes, message)
    base = {
        **surroundings.environment,
        "HOSTNAME": metadata["name"],
        "HOME": str(home),
        "TMPDIR": str(paths.lookup("/tmp") or temporary),
        "TERMINATION_MESSAGE_PATH": str(message),
    }
    references = References(surroundings.api, pod)
    environment = await container_environment(container.spec, base, references, paths)
    programs = Path(sys.executable).parent
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    environment[CONTAINER_MARK] = f"{metadata['uid']}/{container.name}"
    directory = home
    if "workingDir" in container.spec:
        directory = Path(expand(paths.translate(container.spec["workingDir"]), environment))
    for folder in (home, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    message.write_bytes(b"")
    words = command_line(container.spec, surroundings.entrypoint, environment, paths)
    return Launch(words, environment, directory, message)


def _paths(spec: Object, volumes: Mapping[str, Path], message: Path) -> PathMap:
    paths = PathMap()
    for mount in spec.get("volumeMounts", []):
        real = volumes[mount["name"]] / mount.get("subPath", "")
        if not real.exists():
            real.mkdir(parents=True)
        paths.add(mount["mountPath"], real)
    paths.add(spec.get("terminationMessagePath", "/dev/termination-log"), message)
    return paths
