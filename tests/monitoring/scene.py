"""A cluster with a model that serves and a Prometheus that watches its operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.cluster import ThrowawayCluster
from tests.support.cluster.component import free_ports
from tests.support.environment import (
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    stopping,
)
from tests.support.manifests import custom_model, hugging_face, model_deployment
from tests.support.prometheus import Prometheus, scraping
from tests.support.simulators.tiny_models import write_model

DASHBOARD = Path(__file__).parents[2] / "charts/together-operator/files/dashboard.json"
INTERVAL = "15s"
"""What Grafana makes of `$__rate_interval` where a target is scraped every second or so."""

_NAMES = ("chat", "code", "search")


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions(panel: dict[str, Any]) -> list[str]:
    """What a panel asks Prometheus for."""
    return [t["expr"].replace("$__rate_interval", INTERVAL) for t in panel["targets"]]


@contextmanager
def scene(folder: Path) -> Iterator[Prometheus]:
    """Three models and three deployments that are ready, one model that never will be."""
    with ExitStack() as stack:
        simulators = Simulators.start(time_scale=60)
        stack.enter_context(stopping(simulators))
        cluster = stack.enter_context(ThrowawayCluster.start("monitoring"))
        install(cluster)
        for number, name in enumerate(_NAMES):
            model = write_model(folder / name, seed=number)
            simulators.add_repository(f"acme/{name}", model)
        environment = operator_environment(
            cluster, simulators, poll_seconds="1", orphans_seconds="5"
        )
        operator = OperatorProcess(environment, folder / "operator.log")
        stack.enter_context(stopping(operator))
        operator.start()
        operator.wait_ready()
        [port] = free_ports(1)
        target = f"127.0.0.1:{operator.http_port()}"
        prometheus = stack.enter_context(scraping(target, folder, port))
        _serve(cluster, *_NAMES)
        yield prometheus


def _serve(cluster: ThrowawayCluster, *names: str) -> None:
    items = [custom_model(n, hugging_face(f"acme/{n}")) for n in (*names, "nothing")]
    items += [model_deployment(name, name, replicas=1) for name in names]
    every = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("apply", "-f", "-", input=every)
    cluster.kubectl(
        "wait", "--for=condition=Ready", "--timeout=120s", *(f"modeldeployment/{n}" for n in names)
    )
    # The finalizer removed by force while the endpoint is stopped: it is left behind.
    last = f"modeldeployment/{names[-1]}"
    cluster.kubectl("delete", "--wait=false", last)
    patch = json.dumps({"metadata": {"finalizers": None}})
    cluster.kubectl("patch", last, "--type=merge", "-p", patch)
