"""The scale table: restart, steady state, burst, objects that fail for ever, and memory.

Everything runs on a real API server and etcd. The restart is compared, in the same run, with a
controller-runtime controller in Go that does nothing but read its cache.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import page
from tests.bench.scale import controller_process
from tests.bench.scale.population import populate
from tests.bench.scale.usage import Usage
from tests.sim import day
from tests.support import manifests
from tests.support.cluster import ThrowawayCluster
from tests.support.conditions import is_ready
from tests.support.environment import (
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    stopping,
    until,
)
from tests.support.manifests import hugging_face, model_deployment
from tests.support.simulators.tiny_models import write_model
from together_operator.config import Config

REPO = "tiny/model"
CALLS_PER_SECOND = 100.0
"""The operator's own limit for one key (`adapters/rate_limit.py`)."""

RESYNC: float = Config.model_fields["resync_seconds"].default
FIRST_SECONDS = 60.0
MEMORY_SECONDS = 120.0
FEWEST_ROUNDS = 4
WRITES = frozenset(("create", "update", "patch", "delete"))
Row = tuple[str, str, str]


@dataclass
class Bench:
    """What the measurements share."""

    cluster: ThrowawayCluster
    simulators: Simulators
    operator: OperatorProcess
    folder: Path
    rows: list[Row]

    def row(self, what: str, measured: str, target: str = "") -> None:
        """Add a line to the table, and show it at once."""
        self.rows.append((what, measured, target))
        print(f"    {what}: {measured}{f' (at most {target})' if target else ''}", flush=True)

    @property
    def pid(self) -> int:
        """Of the operator."""
        assert self.operator.process is not None
        return self.operator.process.pid

    def apply(self, *manifests: dict[str, Any]) -> None:
        """`kubectl apply`."""
        every = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(every))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", kind, name, "-o", "json"))
        return found

    def requests(self) -> Counter[str]:
        """The operator's requests to Kubernetes so far, without those for its Lease."""
        return Counter(
            f"{entry.verb} {entry.resource}"
            for entry in self.cluster.audit()
            if entry.user == "operator" and entry.resource not in {"leases", "events"}
        )

    def calls(self) -> Counter[str]:
        """The operator's calls to Together since it was started."""
        return Counter(
            {
                name: int(value)
                for name, value in self.operator.metrics(
                    "together_operator_api_calls_total"
                ).items()
            }
        )

    def looked_at(self) -> int:
        """How many objects the operator has looked at since it was started."""
        return int(sum(self.operator.metrics("together_operator_reconciles_total").values()))


def custom_model(name: str, repo: str = REPO) -> dict[str, Any]:
    """A CustomModel that Together fetches by itself."""
    return manifests.custom_model(name, hugging_face(repo))


def is_model_ready(bench: Bench, name: str) -> bool:
    """Whether a CustomModel is Ready."""
    return is_ready(bench.get("custommodel", name))


def bring_up(bench: Bench, models: int, deployments: int) -> None:
    """Have the operator settle one pair, stop it, and make copies."""
    bench.operator.start()
    bench.operator.wait_ready()
    bench.apply(custom_model("template"), model_deployment("template", "template", replicas=1))
    until(lambda: is_ready(bench.get("modeldeployment", "template")), 120, "the template is ready")
    time.sleep(1)
    bench.operator.stop()
    model = bench.get("custommodel", "template")
    deployment = bench.get("modeldeployment", "template")
    began = time.monotonic()
    kubeconfig = str(bench.cluster.kubeconfig())
    work = populate(kubeconfig, bench.simulators, model, deployment, models, deployments)
    asyncio.run(work)
    size = len(json.dumps(model))
    print(f"    populated in {time.monotonic() - began:.0f} s, {size} bytes each", flush=True)


def restart(bench: Bench, objects: int, rounds: int) -> None:
    """Both, in turn, until all objects were looked at."""
    executable = controller_process.build()
    ours: list[tuple[Usage, float]] = []
    theirs: list[tuple[Usage, float]] = []
    before = bench.requests()
    for _ in range(rounds):
        kubeconfig = bench.cluster.kubeconfig()
        controller = controller_process.Controller.start(
            executable, kubeconfig, objects, bench.folder
        )
        try:
            seconds = controller.wait(300)
            theirs.append((Usage.of(controller.process.pid), seconds))
        finally:
            controller.stop()
        bench.operator.stop()
        began = time.monotonic()
        bench.operator.start()
        bench.operator.wait_ready()
        # Not more often: what /metrics takes counts, too.
        until(
            lambda: bench.looked_at() >= objects,
            300,
            f"{objects} objects are looked at",
            pause=1.0,
        )
        ours.append((Usage.of(bench.pid), time.monotonic() - began))
    writes = _writes(bench.requests() - before)
    cpu, rss, seconds = _medians(ours)
    go_cpu, go_rss, go_seconds = _medians(theirs)
    bench.row("restart, CPU seconds: operator", f"{cpu:.1f}")
    bench.row("restart, CPU seconds: Go controller", f"{go_cpu:.1f}")
    bench.row("restart, CPU ratio", f"{cpu / go_cpu:.2f}", "1.0")
    bench.row("restart, RSS: operator / Go, MiB", f"{rss:.0f} / {go_rss:.0f}")
    bench.row("restart, RSS ratio", f"{rss / go_rss:.2f}", "1.3")
    bench.row("restart, seconds: operator / Go", f"{seconds:.1f} / {go_seconds:.1f}")
    bench.row("restart, writes to objects", str(writes), "0")


def _writes(requests: Counter[str]) -> int:
    found = {what: n for what, n in requests.items() if what.split()[0] in WRITES}
    for what, number in sorted(found.items()):
        print(f"        {what} {number}")
    return sum(found.values())


def _medians(runs: list[tuple[Usage, float]]) -> tuple[float, float, float]:
    return (
        statistics.median(usage.cpu for usage, _ in runs),
        statistics.median(usage.rss for usage, _ in runs),
        statistics.median(seconds for _, seconds in runs),
    )


def steady(bench: Bench, seconds: float) -> None:
    """What it costs that nothing happens, after the start and its comparison for orphans.

    In the first resync period each object is decided on in full once; from then on it is compared.
    Over a whole period, since what is done once in it (the lists at Together, the roll call) falls
    into one minute and not into another.
    """
    begun = time.monotonic()
    until(lambda: _compared(bench) > 0, 120, "what is at Together was compared", pause=1.0)
    time.sleep(5)
    share = f"{100 * _used(bench, FIRST_SECONDS) / FIRST_SECONDS:.2f}"
    bench.row(f"first resync period, {FIRST_SECONDS:.0f} s of it, % of a core", share)
    time.sleep(max(0.0, begun + RESYNC - time.monotonic()))
    calls, requests = bench.calls(), bench.requests()
    share = f"{100 * _used(bench, seconds) / seconds:.2f}"
    made = bench.calls() - calls
    writes = _writes(bench.requests() - requests)
    bench.row(f"steady state for {seconds:.0f} s, % of a core", share, "1")
    bench.row("steady state, calls to Together a minute", f"{60 * made.total() / seconds:.1f}")
    bench.row("steady state, writes to Kubernetes", str(writes), "0")
    for name, number in sorted(made.items()):
        print(f"        {name} {number}")


def _used(bench: Bench, seconds: float) -> float:
    """CPU seconds that the operator takes in so many seconds."""
    before = Usage.of(bench.pid).cpu
    time.sleep(seconds)
    return Usage.of(bench.pid).cpu - before


def _compared(bench: Bench) -> float:
    name = "together_operator_last_comparison_timestamp_seconds"
    return bench.operator.metrics(name).get(name, 0.0)


def burst(bench: Bench, count: int, failing: int) -> None:
    """New objects, beside some that fail for ever."""
    bench.apply(*(custom_model(f"bad-{n:04}", "tiny/missing") for n in range(failing)))
    time.sleep(15)
    names = [f"new-{n:04}" for n in range(count)]
    calls, seen = bench.calls(), len(bench.simulators.audit())
    for start in range(0, count, 250):
        bench.apply(*map(custom_model, names[start : start + 250]))

    imports: dict[str, float] = {}
    wanted = {f"default-{name}" for name in names}

    def all_asked() -> bool:
        nonlocal seen
        news = bench.simulators.audit(seen)
        seen += len(news)
        for entry in news:
            if entry["method"] == "POST" and entry["resource"] == "import":
                imports.setdefault(entry["name"], entry["time"])
        return wanted <= imports.keys()

    until(all_asked, 300, "every new object's import was asked for", pause=1.0)
    created: dict[str, float] = {}
    first: dict[str, float] = {}
    for entry in bench.cluster.audit():
        if entry.resource != "custommodels" or entry.name not in names:
            continue
        at = dt.datetime.fromisoformat(entry.raw["requestReceivedTimestamp"]).timestamp()
        if entry.user != "operator":
            created.setdefault(entry.name, at)
        elif entry.verb in WRITES:
            first.setdefault(entry.name, at)
    waits = sorted(first[name] - created[name] for name in names)
    last = max(imports[f"default-{name}"] for name in names) - min(created.values())
    spread = max(created.values()) - min(created.values())
    made = (bench.calls() - calls).total()
    beyond = last - max(spread, made / CALLS_PER_SECOND)
    bench.row(
        f"{count} new objects beside {failing} that fail: first action, p50",
        f"{statistics.median(waits):.2f} s",
        "0.5 s",
    )
    bench.row("the same, first action, last", f"{waits[-1]:.2f} s")
    bench.row("the same, imports asked for: last, beyond the rate limit", f"{beyond:.1f} s", "20 s")


def memory(bench: Bench, rounds: int, count: int) -> None:
    """RSS while objects come and go; the first half warms up. Ends early after a while."""
    sizes: list[float] = []
    deadline = time.monotonic() + MEMORY_SECONDS
    while len(sizes) < rounds and (len(sizes) < FEWEST_ROUNDS or time.monotonic() < deadline):
        names = [f"churn-{len(sizes)}-{n}" for n in range(count)]
        bench.apply(*map(custom_model, names))
        last = names[-1]
        until(partial(is_model_ready, bench, last), 120, f"{last} is ready", pause=0.3)
        bench.cluster.kubectl("delete", "custommodel", *names, "--wait=true", "--timeout=120s")
        sizes.append(Usage.of(bench.pid).rss)
    half = len(sizes) // 2
    growth = statistics.mean(sizes[half:]) - statistics.mean(sizes[:half])
    bench.row(
        f"memory over {len(sizes)} rounds of {count} objects created and deleted, MiB",
        f"{sizes[0]:.0f} to {sizes[-1]:.0f}, second half {growth:+.1f}",
    )


def simulated_day(bench: Bench) -> None:
    """What is kept of objects that came and went, counted: a process's size hides a small leak."""
    violations, kept = day.day("1")
    assert violations == (), violations
    sums, half = [sum(hour.values()) for hour in kept], day.HOURS // 2
    objects = day.HOURS * day.ROUNDS * day.OBJECTS
    bench.row(
        f"{day.HOURS} simulated hours in which {objects} objects come and go: things kept, at most",
        f"{max(sums[:half])} in the first half, {max(sums[half:])} in the second",
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--deployments", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3, help="restarts of each")
    parser.add_argument("--steady", type=float, default=RESYNC, help="seconds of it; 0: none")
    parser.add_argument("--burst", type=int, default=1_000)
    parser.add_argument("--failing", type=int, default=500)
    parser.add_argument("--churn", type=int, default=20, help="rounds of 50 objects")
    parser.add_argument("--write", action="store_true", help=f"keep the table in {page.PAGE}")
    options = parser.parse_args()
    objects = options.models + options.deployments + 2
    print(f"==> Scale: {objects} objects on a real API server (about 30 minutes)", flush=True)
    simulators = Simulators.start(time_scale=1000)
    with (
        tempfile.TemporaryDirectory(prefix="together-scale-") as name,
        stopping(simulators),
        ThrowawayCluster.start("scale") as cluster,
    ):
        folder = Path(name)
        simulators.add_repository(REPO, write_model(folder / "model"))
        install(cluster)
        environment = operator_environment(cluster, simulators)
        operator = OperatorProcess(environment, folder / "operator.log")
        bench = Bench(cluster, simulators, operator, folder, [])
        with stopping(operator):
            bring_up(bench, options.models, options.deployments)
            restart(bench, objects, options.rounds)
            if options.steady:
                steady(bench, options.steady)
            if options.burst:
                burst(bench, options.burst, options.failing)
            if options.churn:
                memory(bench, options.churn, 50)
                simulated_day(bench)
    lines = [f"{objects} objects.", "", "| what | measured | at most |", "|---|---|---|"]
    lines += [f"| {what} | {measured} | {target} |" for what, measured, target in bench.rows]
    text = "\n".join(lines)
    print(f"\n{page.machine()}\n\n{text}")
    if options.write:
        page.put("scale", text)


if __name__ == "__main__":
    main()
