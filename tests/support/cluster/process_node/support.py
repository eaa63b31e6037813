"""Which pods a process node can run.

What a container gets from its image, kernel and runtime is ignored, since there are none: image,
pull policy, security contexts, resource limits, ports, host namespaces. Everything else is done or
refused: a pod is never run as if a field of it weren't there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster.process_node.api import Object

VOLUMES = frozenset(
    {
        "configMap",
        "downwardAPI",
        "emptyDir",
        "hostPath",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
CONTAINER_FIELDS = (
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "restartPolicy",
    "restartPolicyRules",
    "volumeDevices",
)


def unsupported(pod: Object) -> list[str]:
    """Return the fields of a pod that a process node doesn't do, as paths."""
    return [*_volumes(pod["spec"]), *_containers(pod["spec"])]


def _volumes(spec: Object) -> Iterator[str]:
    for volume in spec.get("volumes", []):
        for kind in volume:
            if kind != "name" and kind not in VOLUMES:
                yield f"spec.volumes[{volume['name']}].{kind}"


def _containers(spec: Object) -> Iterator[str]:
    for field in ("initContainers", "containers"):
        for container in spec.get(field, []):
            path = f"spec.{field}[{container['name']}]"
            yield from (f"{path}.{name}" for name in CONTAINER_FIELDS if name in container)
            for mount in container.get("volumeMounts", []):
                if "subPathExpr" in mount:
                    yield f"{path}.volumeMounts[{mount['name']}].subPathExpr"
