"""How soon a burst is acted on, and what a settled cluster costs.

Prints two tables, and keeps them in `docs/benchmarks.md` with `--write`: the time from the
creation of each of N CustomModels to its import request at Together, and the requests of an idle
operator with M ready objects over several resyncs. The model is tiny: what the simulator does to
import a large one would take the operator's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx

from tests.bench import page
from tests.bench.operator.floor import Floor
from tests.support.cluster import ThrowawayCluster
from tests.support.environment import (
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    stopping,
    until,
)
from tests.support.manifests import custom_model, hugging_face
from tests.support.simulators.tiny_models import write_model

REPO = "tiny/model"
PLURAL = "custommodels"
RESYNC = 5.0
POLL = 10.0


def apply(cluster: ThrowawayCluster, names: list[str]) -> None:
    """`kubectl apply` all of them from one file, as a person or a pipeline would."""
    items = [custom_model(name, hugging_face(REPO)) for name in names]
    every = {"apiVersion": "v1", "kind": "List", "items": items}
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


def burst(
    cluster: ThrowawayCluster, simulators: Simulators, operator: OperatorProcess, count: int
) -> list[str]:
    """How long it takes from creation to the import request, and what the API takes of it.

    The first object after a start has its own line: for it, connections are made and lists read.
    `all` is from the first creation to the last request: `kubectl apply` creates one object after
    the other, and more slowly where the API server has more to do. The operator rests while the
    floor is measured, and the other way round.
    """
    apply(cluster, ["first"])
    until(lambda: "default-first" in imports(simulators), 60, "the first import", pause=0.1)
    [first, *_] = _waits(cluster, ["first"], imports(simulators), "default-")
    time.sleep(POLL)
    names = [f"burst-{number}" for number in range(count)]
    apply(cluster, names)
    until(lambda: ready(cluster) >= count, 180, f"{count} CustomModels are Ready", pause=2.0)
    waits = _waits(cluster, names, imports(simulators), "default-")
    operator.stop()
    floor = _floor(cluster, simulators, count)
    operator.start()
    operator.wait_ready()
    above = [mine - its for mine, its in zip(waits, floor, strict=True)]
    rows = (("operator", waits), ("the API's calls alone", floor), ("operator above them", above))
    return [
        f"The first CustomModel after the start: {first:.2f} s to its import request.",
        "",
        f"| {count} CustomModels: creation to import request, s | p50 | p95 | last | all |",
        "|---|---|---|---|---|",
        *(f"| {what} | {' | '.join(f'{n:.2f}' for n in numbers)} |" for what, numbers in rows),
    ]


def _waits(
    cluster: ThrowawayCluster, names: list[str], begun: dict[str, float], prefix: str = ""
) -> tuple[float, float, float, float]:
    """Median, 95th percentile and longest, and the whole burst."""
    asked = creations(cluster)
    waits = sorted(begun[prefix + name] - asked[name] for name in names)
    whole = max(begun[prefix + name] for name in names) - min(asked[name] for name in names)
    return statistics.median(waits), waits[int(len(waits) * 0.95) - 1], waits[-1], whole


def _floor(
    cluster: ThrowawayCluster, simulators: Simulators, count: int
) -> tuple[float, float, float, float]:
    names = [f"floor-{number}" for number in range(count)]
    status = json.loads(cluster.kubectl("get", PLURAL, "burst-0", "-o", "json"))["status"]
    floor = Floor(
        cluster.kubeconfig("operator"),
        (simulators.together, simulators.key),
        status,
        f"https://huggingface.co/{REPO}",
    )
    watching = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, floor.run(count, watching.set))
        assert watching.wait(30), running.exception(1)
        apply(cluster, names)
        running.result(120)
    waits = _waits(cluster, names, floor.sent)
    every = {"metadata": {"finalizers": None}}
    for name in names:
        cluster.kubectl("patch", PLURAL, name, "--type=merge", "-p", json.dumps(every))
    cluster.kubectl("delete", PLURAL, *names)
    return waits


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


def _is_quiet(cluster: ThrowawayCluster) -> bool:
    """Whether no event comes for two resyncs: those of a burst are told after it, bit by bit."""
    told = kubernetes_requests(cluster)["create events"]
    time.sleep(2 * RESYNC)
    return kubernetes_requests(cluster)["create events"] == told


def idle(
    cluster: ThrowawayCluster, simulators: Simulators, operator: OperatorProcess, count: int
) -> list[str]:
    """A table of what an operator does whose objects are all settled."""
    have = ready(cluster)
    apply(cluster, [f"idle-{number}" for number in range(count - have)])
    until(lambda: ready(cluster) >= count, 300, f"{count} CustomModels are Ready", pause=2.0)
    until(lambda: _is_quiet(cluster), 300, "the events of the burst are told")
    before = calls(operator), kubernetes_requests(cluster), cpu_seconds(operator)
    seconds = 4 * RESYNC
    time.sleep(seconds)
    together = calls(operator) - before[0]
    kubernetes = kubernetes_requests(cluster) - before[1]
    cpu = cpu_seconds(operator) - before[2]
    return [
        f"| idle with {count} ready objects, {seconds:.0f} s, resync {RESYNC:.0f} s | count |",
        "|---|---|",
        *(f"| Together: {name} | {number} |" for name, number in sorted(together.items())),
        *(f"| Kubernetes: {name} | {number} |" for name, number in sorted(kubernetes.items())),
        f"| CPU, % of a core | {100 * cpu / seconds:.1f} |",
    ]


def main() -> None:
    """Run both, print the tables, and keep them if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--burst", type=int, default=100)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help=f"keep the tables in {page.PAGE}")
    options = parser.parse_args()
    # Imports end after the burst, as Together's do.
    timing = {"import_queue": 1.0, "import_fixed": 20.0, "import_per_megabyte": 0.0}
    simulators = Simulators.start(time_scale=1, timing=timing)
    with (
        tempfile.TemporaryDirectory(prefix="together-bench-") as folder,
        stopping(simulators),
        ThrowawayCluster.start("bench") as cluster,
    ):
        simulators.add_repository(REPO, write_model(Path(folder) / "model"))
        install(cluster)
        environment = operator_environment(
            cluster, simulators, poll_seconds=str(POLL), resync_seconds=str(RESYNC)
        )
        operator = OperatorProcess(environment, Path(folder) / "operator.log")
        operator.start()
        with stopping(operator):
            operator.wait_ready()
            lines = burst(cluster, simulators, operator, options.burst)
            print("\n".join(lines), flush=True)
            idled = idle(cluster, simulators, operator, options.idle)
            print("\n".join(idled))
    text = "\n".join([*lines, "", *idled])
    if options.write:
        page.put("operator", text)


if __name__ == "__main__":
    main()
