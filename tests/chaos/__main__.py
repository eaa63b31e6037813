"""The storm: users work on pairs of objects while everything around them fails.

The API server and etcd are real, the operator is a process and is killed with SIGKILL again and
again, Together is the simulator: it shows what was created late, commits requests late, and loses
answers. In the end what its own log says is counted. Exits with 1 unless all is well.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.users import KINDS, NAMESPACE, Users
from tests.chaos.verdict import duplicates, is_converged, left, untrue
from tests.support.cluster import ThrowawayCluster
from tests.support.cluster.errors import KubectlError
from tests.support.environment import (
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    stopping,
)
from tests.support.relay import Relay, kubeconfig_through
from tests.support.simulators.hosting import InThread
from tests.support.simulators.tiny_models import write_model

SETTINGS = {
    "poll_seconds": "0.5",
    "settle_seconds": "4",
    "retry_max_seconds": "3",
    "resync_seconds": "10",
    "lease_seconds": "5",
    # A container that is restarted in its pod keeps the pod's name.
    "identity": "operator-0",
}
LAG_SECONDS = 1.0
"""Lists at Together are as old as this, and late requests commit so much later."""

WORK_SECONDS = 100.0
"""Over which users spread their work."""

CREATES = r"/(models|uploads|endpoints|deployments)$"
Object = dict[str, Any]


@dataclass
class Storm:
    """Everything that takes part, and what was done to it."""

    cluster: ThrowawayCluster
    simulators: Simulators
    api: Relay
    together: Relay
    operator: OperatorProcess
    rng: random.Random
    kills: int = 0
    exits: int = 0
    disasters: dict[str, int] = field(default_factory=dict)

    def rage(self, kills: int, users: Users) -> None:
        """Kill the operator `kills` times, spread over the users' work, with disasters between."""
        every: list[Callable[[], None]] = [
            self.api_server_dies,
            self.together_is_away,
            self.watch_goes_silent,
            self.etcd_dies,
            self.api_server_restarts,
            self.api_server_hangs,
        ]
        while self.kills < kills or users.is_alive():
            self._lose_answers()
            # Most kills hit one that works, and some hit one that is just starting.
            if self.kills % 5:
                self._run_until_it_works(60)
            self._run_for(self.rng.uniform(0.1, 4.0))
            if self.kills < kills:
                self.operator.kill()
                self.kills += 1
                self.operator.start()
                if self.kills % 4 == 3 and every:
                    every.pop(0)()
                print(f"    {self.kills} kills, {users.done} objects by users", flush=True)
        for disaster in every:
            disaster()
        self.watch_goes_silent()
        if users.error is not None:
            raise users.error

    def _run_for(self, seconds: float) -> None:
        """Let the operator work, and start it again when it ended by itself."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.supervise()
            time.sleep(0.1)

    def _run_until_it_works(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.operator.is_ready():
            self.supervise()
            time.sleep(0.1)

    def supervise(self) -> None:
        """What the kubelet does for a container that ended."""
        if self.operator.has_ended():
            self.exits += 1
            self.operator.stop()
            self.operator.start()

    def _lose_answers(self) -> None:
        for effect, more in (
            ("drop_after_commit", {}),
            ("late_commit", {"seconds": LAG_SECONDS}),
            ("drop_before_commit", {}),
            ("status", {"status": 503}),
        ):
            self.simulators.fault(
                effect,
                method="POST",
                path=CREATES,
                skip=self.rng.randrange(5),
                count=self.rng.randrange(3),
                **more,
            )
        self.simulators.fault("status", status=429, retry_after=0.5, count=self.rng.randrange(3))
        self.simulators.fault("drop_after_commit", method="DELETE|PATCH", count=1)

    def api_server_dies(self) -> None:
        """SIGKILL."""
        self._note("API server killed")
        self.cluster.api_server.kill()
        time.sleep(1)
        self.cluster.api_server.start()

    def api_server_restarts(self) -> None:
        """As in an upgrade."""
        self._note("API server restarted")
        self.cluster.api_server.restart()

    def api_server_hangs(self) -> None:
        """Connections stay open and nothing comes."""
        self._note("API server hung")
        self.api.hold()
        self._run_for(8)
        self.api.restore()

    def etcd_dies(self) -> None:
        """SIGKILL, and back with the same data."""
        self._note("etcd killed")
        self.cluster.etcd.kill()
        time.sleep(1)
        self.cluster.etcd.start()
        self.cluster.recover()

    def watch_goes_silent(self) -> None:
        """A firewall forgets every open connection to the API server."""
        self._note("watch cut silently")
        self.api.mute()

    def together_is_away(self) -> None:
        """Connections are refused."""
        self._note("Together down")
        self.together.refuse()
        self._run_for(6)
        self.together.restore()

    def _note(self, what: str) -> None:
        self.disasters[what] = self.disasters.get(what, 0) + 1
        print(f"    {what}", flush=True)

    def objects(self) -> list[Object]:
        """All of them; an empty list is never an answer of an API server that is away."""
        answer = self.cluster.kubectl("get", KINDS, f"--namespace={NAMESPACE}", "-o", "json")
        found: list[Object] = json.loads(answer)["items"]
        return found

    def wait(self, holds: Callable[[list[Object]], bool], seconds: float) -> list[Object]:
        """The objects once something holds of them, or as they are when the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            self.supervise()
            found = None
            try:
                found = self.objects()
            except KubectlError:
                if time.monotonic() > deadline:
                    raise
            if found is not None and (holds(found) or time.monotonic() > deadline):
                return found
            time.sleep(2)  # a look at all of them takes half a second of CPU


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=300, help="CustomModel + ModelDeployment")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=240, help="seconds to converge")
    parser.add_argument("--log", type=Path, help="keep the operator's log here")
    options = parser.parse_args()
    print(f"==> Storm over {options.pairs} pairs, {options.kills} kills (up to 10 minutes)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="together-storm-")))
        storm, users = _prepare(stack, folder, options)
        began = time.monotonic()
        users.start()
        storm.operator.start()
        storm.rage(options.kills, users)
        print("    calm again: waiting until all have converged", flush=True)
        storm.simulators.clear_faults()
        wanted = 2 * len(users.wanted)
        found = storm.wait(
            lambda now: len(now) == wanted and all(map(is_converged, now)), options.patience
        )
        state = storm.simulators.state()
        wrong = [f"{o['kind']} {o['metadata']['name']}" for o in found if not is_converged(o)]
        lies = untrue([o for o in found if is_converged(o)], state)
        missing = wanted - len(found)
        storm.cluster.kubectl("delete", KINDS, "--all", f"--namespace={NAMESPACE}", "--wait=false")
        rest = storm.wait(lambda now: not now, options.patience)
        time.sleep(2 * LAG_SECONDS)  # a late commit would show by now
        remains = left(storm.simulators.state())
        twice = duplicates(storm.simulators.audit(), users.allowed)
        seconds = time.monotonic() - began
        crashes = storm.operator.crashes()
        if options.log is not None:
            options.log.write_bytes(storm.operator.log.read_bytes())
    converged = 100 * (len(found) - len(wrong) - len(lies)) / wanted if wanted else 0
    for title, problems in (
        ("not converged", wrong),
        ("status is not true", lies),
        ("created too often", [f"{what}: {number}" for what, number in twice.items()]),
        ("left at Together", remains),
        ("objects that do not go", [f"{o['kind']} {o['metadata']['name']}" for o in rest]),
        ("a reconcile crashed", [line[:1000] for line in crashes]),
    ):
        for problem in problems[:20]:
            print(f"{title}: {problem}")
    disasters = ", ".join(f"{what} {number}" for what, number in storm.disasters.items())
    lives = 2 * sum(users.allowed.lives.values())
    print(
        f"storm: kills {storm.kills}, own exits {storm.exits}, {disasters}; objects {lives}, "
        f"duplicates {sum(twice.values())}, left {len(remains)}, converged {converged:.0f} %, "
        f"{seconds:.0f} s"
    )
    well = not (wrong or lies or twice or remains or rest or missing or crashes)
    sys.exit(0 if well and storm.kills >= options.kills else 1)


def _prepare(stack: ExitStack, folder: Path, options: argparse.Namespace) -> tuple[Storm, Users]:
    rng = random.Random(options.seed)
    simulators = Simulators.start(time_scale=400)
    stack.enter_context(stopping(simulators))
    for number, name in enumerate(("tiny/one", "tiny/two")):
        simulators.add_repository(name, write_model(folder / str(number), seed=number))
    simulators.behave(list_lag_seconds=LAG_SECONDS)
    cluster = stack.enter_context(ThrowawayCluster.start("storm"))
    install(cluster)
    cluster.kubectl("create", "namespace", NAMESPACE)
    kubeconfig = cluster.kubeconfig("operator")
    server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    api = stack.enter_context(InThread(Relay(server)))
    together = stack.enter_context(InThread(Relay(simulators.together)))
    environment = operator_environment(cluster, simulators, **SETTINGS)
    environment["TOGETHER_BASE_URL"] = together.url
    environment["KUBECONFIG"] = str(kubeconfig_through(api, kubeconfig, folder / "kubeconfig"))
    operator = OperatorProcess(environment, folder / "operator.log")
    stack.enter_context(stopping(operator))
    users = Users(cluster, options.pairs, ("tiny/one", "tiny/two"), WORK_SECONDS, rng)
    return Storm(cluster, simulators, api, together, operator, rng), users


if __name__ == "__main__":
    main()
