"""The watch goes silent or away: the operator hears again, or ends so that it is started anew."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.environment import ROOT, install

if TYPE_CHECKING:
    from tests.integration.resilience.world import World
    from tests.support.environment import OperatorProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
LONG = "60"
"""Seconds. The Lease outlasts the outage: the process has to go on, and is not simply replaced."""


def restarted_when_ended(operator: OperatorProcess) -> None:
    """What the kubelet does."""
    if operator.has_ended():
        operator.stop()
        operator.start()
        operator.wait_ready()


def lists(world: World) -> int:
    """How often kopf has listed CustomModels; the operator's own client lists them, too."""
    return sum(
        entry.user == "operator"
        and entry.verb == "list"
        and entry.resource == "custommodels"
        and not entry.raw["userAgent"].startswith("OpenAPI-Generator")
        for entry in world.cluster.audit()
    )


def test_a_watch_that_goes_silent_is_opened_anew(world: World) -> None:
    operator = world.start("a", relayed=True, watch_idle_seconds="4", lease_seconds=LONG)
    operator.wait_ready()
    world.apply(*world.pair("m"))
    world.ready(["m"])
    heard = 'together_operator_last_watch_event_timestamp_seconds{kind="custommodels"}'
    before = operator.metrics()[heard]

    world.api.mute()
    world.describe("m", "after the silence")

    world.described("m", "after the silence")
    assert not operator.has_ended()
    assert operator.metrics()[heard] > before


def test_after_a_410_everything_is_listed_again_and_what_vanished_is_forgotten(
    world: World,
) -> None:
    operator = world.start("a", relayed=True, lease_seconds=LONG)
    operator.wait_ready()
    world.apply(*world.pair("m"), *world.pair("gone"))
    world.ready(["m", "gone"])
    known = 'together_operator_objects{kind="custommodels"}'
    assert operator.metrics()[known] == 2

    world.api.refuse()
    before = lists(world)
    world.describe("m", "unheard")
    for kind in ("modeldeployment", "custommodel"):
        world.kubectl("delete", f"{kind}/gone", "--wait=false")
        patch = '--patch={"metadata":{"finalizers":null}}'
        world.kubectl("patch", f"{kind}s.together.ai/gone", "--type=merge", patch)
    # A new API server's watch cache begins now: where the old watch ended is too old for it.
    world.cluster.api_server.restart()
    world.cluster.recover()
    world.api.restore()

    world.described("m", "unheard")
    assert not operator.has_ended()
    # The operator's own look at everything may be before it.
    world.until(lambda: lists(world) > before, "the 410 makes kopf list anew")
    world.until(lambda: operator.metrics()[known] == 1, "the object that vanished is forgotten")
    swept = world.simulators.state()
    for endpoint in [e for e in swept["endpoints"] if e["name"].endswith("-gone")]:
        sweep(world, endpoint["name"])
    sweep(world, f"{world.namespace}-gone")


def sweep(world: World, name: str) -> None:
    """Remove by hand what lost its object in this test."""
    environment = world.operators[0].environment
    command = [sys.executable, "-m", "together_operator", "orphans", "--sweep", "--yes"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name}: {done.stderr}"


def test_a_crd_that_was_deleted_and_made_again_is_served_again(world: World) -> None:
    operator = world.start("a")
    operator.wait_ready()
    world.apply(*world.pair("before"))
    world.ready(["before"])

    world.cluster.kubectl(
        *("delete", "crd", "modeldeployments.together.ai", "custommodels.together.ai"),
        "--timeout=120s",
    )
    assert world.models() == {}, "the objects went with their CRD, and what they stood for as well"
    install(world.cluster)
    restarted_when_ended(operator)

    world.apply(*world.pair("after"))
    world.ready(["after"])


def test_rights_that_are_taken_away_and_given_back(world: World) -> None:
    operator = world.start("a", lease_seconds="6")
    operator.wait_ready()
    world.apply(*world.pair("m"))
    world.ready(["m"])

    bindings = [
        json.loads(world.cluster.kubectl("get", *which, "-o", "json"))
        for which in (
            ("clusterrolebinding", "together-operator"),
            ("rolebinding", "together-operator-lease", "--namespace=default"),
        )
    ]
    every = {"apiVersion": "v1", "kind": "List", "items": bindings}
    world.cluster.kubectl("delete", "-f", "-", input=json.dumps(every))
    world.until(operator.has_ended, "the operator ends: it can't hold its Lease")
    assert any(e["status"] == 403 for e in world.logged(operator, "the Lease can't be had"))
    world.describe("m", "while it had no rights")
    for binding in bindings:
        for assigned in ("uid", "resourceVersion", "creationTimestamp"):
            binding["metadata"].pop(assigned)
    world.cluster.kubectl("apply", "-f", "-", input=json.dumps(every))
    restarted_when_ended(operator)

    world.described("m", "while it had no rights")


def test_rights_to_watch_alone_are_missed_and_found_again(world: World) -> None:
    """The Lease is held all the time, so that only the watch tells that something is wrong."""
    operator = world.start("a", lease_seconds=LONG)
    operator.wait_ready()
    world.apply(*world.pair("m"))
    world.ready(["m"])
    role = (ROOT / "deploy" / "clusterrole.yaml").read_text()

    lame = role.replace("verbs: [get, list, watch, patch]", "verbs: [get, patch]")
    assert lame != role
    world.cluster.kubectl("apply", "-f", "-", input=lame)
    # Rights count when a watch is opened: the API server's end cuts the one that there is.
    world.cluster.api_server.restart()
    world.cluster.recover()
    world.describe("m", "while it was deaf")
    time.sleep(5)
    world.cluster.kubectl("apply", "-f", "-", input=role)

    def noticed() -> bool:
        restarted_when_ended(operator)
        return world.description("m") == "while it was deaf"

    world.until(noticed, "it hears again")


def test_a_token_that_was_rotated_is_read_anew(world: World) -> None:
    operator = world.start("a", lease_seconds="6")
    operator.wait_ready()
    world.apply(*world.pair("m"))
    world.ready(["m"])

    world.cluster.rotate_token("operator")

    world.describe("m", "with the new token")

    def noticed() -> bool:
        restarted_when_ended(operator)
        return world.description("m") == "with the new token"

    world.until(noticed, "it goes on with the new token")
