"""What the operator under test lives with, for all tests of this folder: built once."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.integration.operator.recorder import Recorder
from tests.support.environment import (
    BUCKET,
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    s3_client,
    stopping,
)
from tests.support.relay import Relay
from tests.support.simulators.hosting import InThread
from tests.support.simulators.tiny_models import write_adapter, write_archive, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cluster import ThrowawayCluster

TIME_SCALE = 400.0
TIMING = {"import_restart": 400.0}
"""A restarted import stays in ERROR for a second, so that it is seen."""

SETTINGS = {
    "poll_seconds": "0.2",
    "settle_seconds": "1",
    "retry_max_seconds": "2",
    "resync_seconds": "3",
    "source_seconds": "2",
    "lease_seconds": "8",
}
RETRY_MAX_SECONDS = 2.0
CHAT, OTHER_CHAT, EMBEDDING = "tiny/chat", "tiny/other-chat", "tiny/embedding"
ADAPTER, PRIVATE = "tiny/adapter", "tiny/private"


@dataclass
class Surroundings:
    """Cluster, simulators, and the operator between them.

    `together` and `store` are relays: the operator reaches Together, and Jobs reach S3, through
    them.
    """

    cluster: ThrowawayCluster
    simulators: Simulators
    recorder: Recorder
    operator: OperatorProcess
    together: Relay
    store: Relay
    folder: Path

    def all_is_well(self) -> None:
        """End every fault, and start the operator if a test has ended it."""
        self.simulators.clear_faults()
        self.simulators.behave_well()
        self.together.restore()
        self.store.restore()
        if self.operator.has_ended():
            self.operator.start()
            self.operator.wait_ready()

    def another_operator(self, identity: str, **settings: str) -> OperatorProcess:
        """One more operator, not started, with a log of its own."""
        return operator_process(
            self.cluster, self.simulators, self.together, self.folder, identity, **settings
        )

    def logged(self, event: str, operator: OperatorProcess | None = None) -> list[dict[str, Any]]:
        """Entries of an operator's log with this event, oldest first."""
        lines = (operator or self.operator).log.read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry.get("event") == event]


@contextmanager
def running(cluster: ThrowawayCluster, folder: Path) -> Iterator[Surroundings]:
    """All of it in a cluster that has nothing of ours yet."""
    simulators = Simulators.start(time_scale=TIME_SCALE, timing=TIMING)
    with ExitStack() as stack:
        stack.enter_context(stopping(simulators))
        together = stack.enter_context(InThread(Relay(simulators.together)))
        store = stack.enter_context(InThread(Relay(simulators.urls["s3"]["url"])))
        stock(simulators, folder)
        install(cluster)
        recorder = Recorder(cluster.kubeconfig())
        recorder.start()
        stack.callback(recorder.stop)
        operator = operator_process(cluster, simulators, together, folder, "operator-a")
        stack.enter_context(stopping(operator))
        operator.start()
        operator.wait_ready()
        yield Surroundings(cluster, simulators, recorder, operator, together, store, folder)


def operator_process(
    cluster: ThrowawayCluster,
    simulators: Simulators,
    together: Relay,
    folder: Path,
    identity: str,
    **settings: str,
) -> OperatorProcess:
    """An operator that acts as the RBAC user `operator` and reaches Together by the relay."""
    environment = operator_environment(
        cluster, simulators, identity=identity, **{**SETTINGS, **settings}
    )
    environment["TOGETHER_BASE_URL"] = together.url
    return OperatorProcess(environment, folder / f"{identity}.log")


def stock(simulators: Simulators, folder: Path) -> None:
    """Put small models onto the hub and into the bucket."""
    chat = write_model(folder / "chat")
    adapter = write_adapter(folder / "adapter")
    simulators.add_repository(CHAT, chat)
    simulators.add_repository(OTHER_CHAT, write_model(folder / "other-chat", seed=1))
    simulators.add_repository(EMBEDDING, write_model(folder / "bert", architecture="BertModel"))
    simulators.add_repository(ADAPTER, adapter)
    simulators.add_repository(PRIVATE, chat, private=True)
    archives = [
        write_archive(chat, folder / "chat.zip"),
        write_archive(chat, folder / "chat.tar.gz"),
        write_archive(adapter, folder / "adapter.tar.gz"),
        write_archive(chat, folder / "wrapped.zip", wrap="chat/"),
    ]
    client = s3_client(simulators)
    for archive in archives:
        client.upload_file(str(archive), BUCKET, f"shared/{archive.name}")
    for path in chat.iterdir():
        client.upload_file(str(path), BUCKET, f"shared/chat/{path.name}")
