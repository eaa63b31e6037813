"""The status of a pod, from the state of its containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.cluster.process_node.time import now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.cluster.process_node.api import Object
    from tests.support.cluster.process_node.container import Container

TERMINAL = ("Succeeded", "Failed")


class Conditions:
    """A pod's conditions, each with the time of its last change."""

    def __init__(self, conditions: Sequence[Object]) -> None:
        self._conditions: dict[str, Object] = {
            condition["type"]: condition for condition in conditions
        }

    def set(self, kind: str, value: bool, reason: str = "", message: str = "") -> None:
        status = str(value)
        before = self._conditions.get(kind, {})
        self._conditions[kind] = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": before["lastTransitionTime"]
            if before.get("status") == status
            else now(),
        }

    def as_list(self) -> list[Object]:
        """The conditions that a node is responsible for; the rest are left to their owners."""
        return [condition for kind, condition in self._conditions.items() if kind != "PodScheduled"]


def container_status(container: Container) -> Object:
    """Return one entry of ``containerStatuses``."""
    running = "running" in container.state
    return {
        "name": container.name,
        "image": container.spec.get("image", ""),
        "imageID": "",
        "containerID": f"process://{container.folder.parent.parent.name}/{container.name}",
        "state": container.state,
        "lastState": container.last_state,
        "restartCount": container.restarts,
        "ready": running,
        "started": running,
    }


def init_status(container: Container) -> Object:
    """Return one entry of ``initContainerStatuses``: ready once it has succeeded."""
    return container_status(container) | {"ready": container.exit_code == 0}


def phase(init: Sequence[Container], main: Sequence[Container], policy: str) -> str:
    """Return the phase that the containers are in, by the restart policy."""
    if policy == "Never" and any(container.exit_code for container in init):
        return "Failed"
    if all("waiting" in container.state and not container.last_state for container in main):
        return "Pending"
    codes = [container.exit_code for container in main]
    if policy == "Always" or None in codes or (policy == "OnFailure" and any(codes)):
        return "Running"
    return "Failed" if any(codes) else "Succeeded"


def set_conditions(
    conditions: Conditions, current: str, init: Sequence[Container], main: Sequence[Container]
) -> None:
    """Set the conditions that follow from the containers and the phase ``current``."""
    initialized = all(container.exit_code == 0 for container in init)
    ready = bool(main) and all("running" in container.state for container in main)
    reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(current, "")
    conditions.set("PodReadyToStartContainers", current not in TERMINAL)
    not_initialized = "" if initialized else "ContainersNotInitialized"
    conditions.set("Initialized", initialized, reason if initialized else not_initialized)
    not_ready = "" if ready else reason or "ContainersNotReady"
    conditions.set("Ready", ready, not_ready)
    conditions.set("ContainersReady", ready, not_ready)


def pod_status(
    current: str,
    conditions: Conditions,
    init: Sequence[Container],
    main: Sequence[Container],
    **more: Any,
) -> Object:
    """Return the whole status; ``more`` are fields such as ``startTime`` and ``reason``."""
    return {
        "phase": current,
        "conditions": conditions.as_list(),
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "initContainerStatuses": [init_status(container) for container in init],
        "containerStatuses": [container_status(container) for container in main],
        **more,
    }
