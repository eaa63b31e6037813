"""What belongs to an object: not what a forged, wiped or restored status says by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import ANOTHER, CATALOG, FOUND, HUB, MODEL, NOW, PROCESS
from together_operator.api.v1alpha1 import (
    EndpointStatus,
    ModelDeployment,
    ModelDeploymentStatus,
)
from together_operator.domain import glance
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import DeleteModel
from together_operator.domain.deployment import decide as decide_deployment
from together_operator.domain.deployment.actions import ScaleDeployment
from together_operator.domain.deployment.observed import Fact, Observed, name_prefix, wanted_facts
from together_operator.domain.plan import FINALIZER, RemoveFinalizer, with_own_status
from together_operator.domain.together import Deployment, DeploymentState, Endpoint


def test_a_status_that_was_written_for_another_object_counts_for_nothing() -> None:
    restored = s.given(s.registered(), object_uid="uid-of-long-ago")
    assert with_own_status(restored).status.model is None
    assert with_own_status(restored).status.observed_generation == -1


@pytest.mark.parametrize(("uid", "settled"), [("uid-1", True), ("uid-of-long-ago", False)])
def test_a_restored_object_is_not_settled_at_a_glance(uid: str, settled: bool) -> None:
    body = {
        "metadata": {"uid": "uid-1", "generation": 1, "finalizers": [FINALIZER]},
        "status": {
            "observedGeneration": 1,
            "phase": "Ready",
            "model": {"id": "ml_1"},
            "objectUID": uid,
        },
    }
    assert glance.is_settled(body) is settled


@pytest.mark.parametrize("uid", [None, "uid-1"])
def test_a_status_of_its_own_or_of_before_uids_were_kept_counts(uid: str | None) -> None:
    mine = s.given(s.registered(), object_uid=uid)
    assert with_own_status(mine) is mine


def test_an_id_of_a_record_with_another_name_is_void_and_said_to_be() -> None:
    plan = decide(s.look(s.registered(), stranger="acme/theirs"), NOW)
    assert plan.action is None
    assert plan.status.model is None
    assert "acme/theirs" in s.message(plan.status)


def test_deleting_an_object_with_an_id_of_another_ones_record_deletes_nothing() -> None:
    plan = decide(s.look(s.registered(deleted=True), stranger="acme/theirs"), NOW)
    assert plan.action == RemoveFinalizer()


CLAIMED = replace(
    s.look(s.model_announced(ANOTHER), model=MODEL), claimed_by="team/other", base_models=CATALOG
)


def test_a_model_that_another_object_has_is_not_taken() -> None:
    plan = decide(CLAIMED, NOW)
    assert s.told(plan.status) == ("stalled", "NameTaken", "Registered")
    assert "CustomModel team/other" in s.message(plan.status)
    assert plan.status.intent is None


def test_a_model_that_another_object_has_is_not_adopted() -> None:
    adopting = s.look(s.found({**HUB, "adoptionPolicy": "Adopt"}), model=MODEL, source=FOUND)
    plan = decide(replace(adopting, claimed_by="team/other"), NOW)
    assert s.told(plan.status) == ("stalled", "NameTaken", "Registered")


def test_a_model_that_another_object_has_is_not_deleted() -> None:
    deleted = s.look(s.model_announced(ANOTHER, ago=1000, deleted=True), model=MODEL)
    assert isinstance(decide(deleted, NOW).action, DeleteModel)
    plan = decide(replace(deleted, claimed_by="team/other"), NOW)
    assert not isinstance(plan.action, DeleteModel)


# Deployments: the name of what serves tells whose it is.


def deployment(*, deleted: bool, status: ModelDeploymentStatus | None = None) -> ModelDeployment:
    """A ModelDeployment with our finalizer."""
    metadata = {
        "name": "serve",
        "namespace": "team",
        "uid": "uid-1",
        "generation": 1,
        "finalizers": [FINALIZER],
    }
    if deleted:
        metadata["deletionTimestamp"] = NOW
    return ModelDeployment.model_validate(
        {
            "metadata": metadata,
            "spec": {"modelRef": {"name": "m"}},
            "status": status or ModelDeploymentStatus(),
        }
    )


ENDPOINT = Endpoint("ep_1", "acme/team-serve", "proj_1", "etag-1")


def seen(md: ModelDeployment, *, ours: bool) -> Observed:
    """The endpoint of the object's name is there, with one deployment."""
    name = f"{name_prefix(md, PROCESS.cluster_id)}-abc" if ours else "serve-serve-other-abc"
    running = Deployment(
        "dep_1",
        f"acme/team-serve/{name}",
        "ep_1",
        DeploymentState.READY,
        min_replicas=1,
        max_replicas=1,
    )
    return Observed(md, PROCESS, endpoint=ENDPOINT, deployments=(running,) if ours else ())


def test_what_a_wiped_object_runs_is_looked_for_when_it_is_deleted() -> None:
    assert Fact.ENDPOINT in wanted_facts(deployment(deleted=True))
    failed_to_look = ModelDeploymentStatus(observed_generation=1)
    assert Fact.ENDPOINT in wanted_facts(deployment(deleted=True, status=failed_to_look))
    uid = deployment(deleted=True).metadata.uid
    looked_at = ModelDeploymentStatus(observed_generation=1, object_uid=uid)
    assert wanted_facts(deployment(deleted=True, status=looked_at)) == frozenset()


def test_what_a_wiped_object_runs_is_taken_down_and_remembered() -> None:
    plan = decide_deployment(seen(deployment(deleted=True), ours=True), NOW)
    assert plan.action == ScaleDeployment("ep_1", "dep_1", 0)
    assert plan.status.endpoint == EndpointStatus(id="ep_1", name="acme/team-serve")


def test_an_endpoint_that_only_has_the_name_is_left_alone() -> None:
    plan = decide_deployment(seen(deployment(deleted=True), ours=False), NOW)
    assert plan.action == RemoveFinalizer()


def test_an_endpoint_of_another_name_is_void_and_said_to_be() -> None:
    forged = ModelDeploymentStatus(endpoint=EndpointStatus(id="ep_9", name="acme/theirs"))
    md = deployment(deleted=True, status=forged)
    observed = replace(seen(md, ours=True), stranger="acme/theirs")
    assert decide_deployment(observed, NOW).action == ScaleDeployment("ep_1", "dep_1", 0)
