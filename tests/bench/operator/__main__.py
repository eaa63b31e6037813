"""How soon a burst is acted on, and what a settled cluster costs.

Prints two tables: the time from the creation of each of N CustomModels to its import request at
Together, and the requests of an idle operator with M ready objects over several resyncs.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import httpx

from tests.support.cluster import ThrowawayCluster
from tests.support.environment import (
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    stopping,
    until,
)

REPO = "sentence-transformers/all-MiniLM-L6-v2"
PLURAL = "custommodels"
RESYNC = 5.0


def manifest(name: str) -> dict[str, object]:
    """A CustomModel that Together fetches by itself."""
    return {
        "apiVersion": "together.ai/v1alpha1",
        "kind": "CustomModel",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "Embedding", "source": {"huggingFace": {"repo": REPO}}},
    }


def apply(cluster: ThrowawayCluster, names: list[str]) -> None:
    """`kubectl apply` all of them from one file, as a person or a pipeline would."""
    every = {"apiVersion": "v1", "kind": "List", "items": [manifest(name) for name in names]}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(every))


def creations(cluster: ThrowawayCluster) -> dict[str, float]:
    """When each CustomModel was created, in seconds of the epoch, from the API server's audit."""
    return {
        entry.name: datetime.fromisoformat(entry.raw["requestReceivedTimestamp"]).timestamp()
        for entry in cluster.audit()
        if entry.verb == "create" and entry.resource == PLURAL and entry.code == 201
    }


def ready(cluster: ThrowawayCluster) -> int:
    """How many CustomModels are Ready."""
    path = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
    return cluster.kubectl("get", PLURAL, "-o", f"jsonpath={path}").split().count("True")


def imports(simulators: Simulators) -> dict[str, float]:
    """When each import was asked for, in seconds of the epoch, by the model's bare name."""
    return {
        entry["name"]: entry["time"]
        for entry in simulators.audit()
        if entry["method"] == "POST" and entry["resource"] == "import"
    }


def burst(cluster: ThrowawayCluster, simulators: Simulators, count: int) -> None:
    """Print how long it takes from creation to the import request."""
    names = [f"burst-{number}" for number in range(count)]
    apply(cluster, names)
    until(lambda: ready(cluster) >= count, 120, f"{count} CustomModels are Ready")
    begun, asked = imports(simulators), creations(cluster)
    waits = sorted(begun[f"default-{name}"] - asked[name] for name in names)
    p95 = waits[int(len(waits) * 0.95) - 1]
    print(f"\n| {count} CustomModels at once | seconds |\n|---|---|")
    print(f"| creation to import request, p50 | {statistics.median(waits):.2f} |")
    print(f"| creation to import request, p95 | {p95:.2f} |")
    print(f"| creation to import request, last | {waits[-1]:.2f} |", flush=True)


def calls(operator: OperatorProcess) -> Counter[str]:
    """Calls to Together so far, by method and resource, from the operator's metrics."""
    text = httpx.get(f"http://127.0.0.1:{operator.http_port()}/metrics").text
    found: Counter[str] = Counter()
    for line in text.splitlines():
        match = re.match(r"together_operator_api_calls_total\{(.*)\} (.*)", line)
        if match:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
            found[f"{labels['method']} {labels['resource']}"] += int(float(match[2]))
    return found


def kubernetes_requests(cluster: ThrowawayCluster) -> Counter[str]:
    """The operator's requests to Kubernetes so far, by verb and resource."""
    return Counter(
        f"{entry.verb} {entry.resource}" for entry in cluster.audit() if entry.user == "operator"
    )


def cpu_seconds(operator: OperatorProcess) -> float:
    """CPU seconds that the process has used."""
    assert operator.process is not None
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def idle(
    cluster: ThrowawayCluster, simulators: Simulators, operator: OperatorProcess, count: int
) -> None:
    """Print what an operator does whose objects are all settled."""
    have = ready(cluster)
    apply(cluster, [f"idle-{number}" for number in range(count - have)])
    until(lambda: ready(cluster) >= count, 300, f"{count} CustomModels are Ready")
    time.sleep(2 * RESYNC)
    before = calls(operator), kubernetes_requests(cluster), cpu_seconds(operator)
    seconds = 4 * RESYNC
    time.sleep(seconds)
    together = calls(operator) - before[0]
    kubernetes = kubernetes_requests(cluster) - before[1]
    cpu = cpu_seconds(operator) - before[2]
    print(f"\n| idle with {count} ready objects, {seconds:.0f} s, resync {RESYNC:.0f} s | count |")
    print("|---|---|")
    for name, number in sorted(together.items()):
        print(f"| Together: {name} | {number} |")
    for name, number in sorted(kubernetes.items()):
        print(f"| Kubernetes: {name} | {number} |")
    print(f"| CPU, % of a core | {100 * cpu / seconds:.1f} |", flush=True)


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--burst", type=int, default=100)
    parser.add_argument("--idle", type=int, default=1000)
    options = parser.parse_args()
    simulators = Simulators.start(time_scale=1000)
    with (
        tempfile.TemporaryDirectory(prefix="together-bench-") as folder,
        stopping(simulators),
        ThrowawayCluster.start("bench") as cluster,
    ):
        install(cluster)
        environment = operator_environment(
            cluster, simulators, poll_seconds="1", resync_seconds=str(RESYNC)
        )
        operator = OperatorProcess(environment, Path(folder) / "operator.log")
        operator.start()
        with stopping(operator):
            operator.wait_ready()
            burst(cluster, simulators, options.burst)
            idle(cluster, simulators, operator, options.idle)


if __name__ == "__main__":
    main()
