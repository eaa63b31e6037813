"""Each right of deploy/clusterrole.yaml: without it, a request that is needed is refused."""

from __future__ import annotations

import copy
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hack import rights
from tests.integration.rights.life import CHAT, Life
from tests.support.environment import (
    ROOT,
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    stopping,
    upload,
)
from tests.support.simulators.tiny_models import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import ThrowawayCluster

pytestmark = pytest.mark.integration

FILE = ROOT / "deploy/clusterrole.yaml"
PATIENCE_SECONDS = 90.0
AT_THE_START = {"namespaces", "customresourcedefinitions", "leases"}


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource, which may have a subresource."""

    role: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def roles() -> list[dict[str, Any]]:
    return [role for role in yaml.safe_load_all(FILE.read_text()) if role]


RIGHTS = sorted(
    Right(role["kind"], resource, verb)
    for role in roles()
    for rule in role["rules"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
)


def without(right: Right) -> list[dict[str, Any]]:
    """The roles, one verb fewer."""
    changed = copy.deepcopy(roles())
    for role in changed:
        rules = []
        for rule in role["rules"]:
            if role["kind"] == right.role and right.resource in rule["resources"]:
                rest = [verb for verb in rule["verbs"] if verb != right.verb]
                others = [r for r in rule["resources"] if r != right.resource]
                rules += [{**rule, "resources": others}] if others else []
                rules += [{**rule, "resources": [right.resource], "verbs": rest}] if rest else []
            else:
                rules.append(rule)
        role["rules"] = rules
    return changed


@dataclass
class World:
    """A cluster with an operator, whose rights can be changed."""

    cluster: ThrowawayCluster
    simulators: Simulators
    operator: OperatorProcess

    def grant(self, wanted: list[dict[str, Any]]) -> None:
        """Make the roles what is wanted."""
        for role in wanted:
            self.cluster.kubectl("replace", "-f", "-", input=json.dumps(role))

    def requests(self) -> int:
        """How many requests the API server has answered."""
        return sum(1 for _ in self.cluster.audit())

    def refused(self, since: int, namespace: str) -> set[tuple[str, str]]:
        """What the operator was refused, as (resource, verb).

        In other namespaces, which end, nothing may be created any more.
        """
        return {
            (f"{e.resource}/{e.subresource}" if e.subresource else e.resource, e.verb)
            for e in self.cluster.audit(since)
            if e.user == "operator" and e.code == 403
            if e.namespace in {namespace, "default", "kube-system", ""}
        }


@pytest.fixture(scope="module")
def world(cluster: ThrowawayCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("rights")
    simulators = Simulators.start(time_scale=400)
    with ExitStack() as stack:
        stack.enter_context(stopping(simulators))
        model = write_model(folder / "chat")
        simulators.add_repository(CHAT, model)
        upload(simulators, model, "shared/chat/")
        install(cluster)
        environment = operator_environment(
            cluster,
            simulators,
            identity="rights",
            lease_name="together-operator",
            poll_seconds="0.3",
            settle_seconds="1",
            retry_max_seconds="2",
            resync_seconds="3",
            lease_seconds="6",
        )
        operator = OperatorProcess(environment, folder / "operator.log")
        stack.enter_context(stopping(operator))
        world = World(cluster, simulators, operator)
        operator.start()
        operator.wait_ready()
        yield world
        world.grant(roles())


def test_with_all_of_them_nothing_is_refused(world: World) -> None:
    before = world.requests()
    with world.cluster.new_namespace("rights") as namespace:
        life = Life(world.cluster, world.simulators, namespace)
        life.begin()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not life.step():
            assert time.monotonic() < deadline, world.operator.tail()
            time.sleep(0.3)
        life.end()
        while not life.is_over():
            assert time.monotonic() < deadline, world.operator.tail()
            time.sleep(0.3)

    assert world.refused(before, namespace) == set()


@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_without_this_right_a_request_is_refused(world: World, right: Right) -> None:
    before = world.requests()
    wanted = (right.resource, right.verb)
    at_start = right.resource in AT_THE_START or right.verb in {"list", "watch"}
    world.grant(without(right))
    try:
        with world.cluster.new_namespace("rights") as namespace:
            if right == Right("Role", "leases", "create"):
                world.operator.stop()
                world.cluster.kubectl("delete", "lease/together-operator", "--ignore-not-found")
                world.operator.start()
            elif at_start and right.resource not in {"jobs", "pods"}:
                world.operator.stop()
                world.operator.start()
            life = Life(world.cluster, world.simulators, namespace)
            life.begin()
            deadline = time.monotonic() + PATIENCE_SECONDS
            while wanted not in (refused := world.refused(before, namespace)):
                assert time.monotonic() < deadline, (refused, world.operator.tail())
                life.step()
                time.sleep(0.3)
            life.end()
    finally:
        world.grant(roles())
        if world.operator.has_ended():
            world.operator.start()
        world.operator.wait_ready()

    assert refused == {wanted}, "and nothing else is"


def test_the_page_on_rights_has_what_kubectl_tells(cluster: ThrowawayCluster) -> None:
    install(cluster)

    assert rights.block(rights.PAGE.read_text()) == rights.listed(cluster)
