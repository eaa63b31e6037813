"""What belongs to an object: not what a forged, wiped or restored status says by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import ANOTHER, CATALOG, FOUND, HUB, MODEL, NOW, PROCESS
from together_operator.api.v1alpha1 import (
    CustomModel,
    EndpointStatus,
    ModelDeployment,
    ModelDeploymentStatus,
)
from together_operator.domain import glance
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import DeleteModel
from together_operator.domain.deployment import decide as decide_deployment
from together_operator.domain.deployment.actions import DeleteEndpoint, ScaleDeployment
from together_operator.domain.deployment.observed import (
    Fact,
    Observed,
    is_told_empty,
    name_prefix,
    wanted_facts,
)
from together_operator.domain.deployment.status import with_endpoint, with_endpoint_name
from together_operator.domain.plan import FINALIZER, RemoveFinalizer, is_deleting, with_own_status
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


def test_what_a_deleted_object_runs_is_looked_for_whatever_its_status_says() -> None:
    uid = deployment(deleted=True).metadata.uid
    failed_to_look = ModelDeploymentStatus(observed_generation=1)
    # A status of before anything was made may come out of a backup of etcd.
    looked_at = ModelDeploymentStatus(observed_generation=1, object_uid=uid)
    for status, told_empty in ((None, False), (failed_to_look, False), (looked_at, True)):
        md = deployment(deleted=True, status=status)
        assert Fact.ENDPOINT in wanted_facts(md)
        assert is_told_empty(md) == told_empty


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


def test_an_endpoint_with_others_deployments_stays_and_says_who_holds_it() -> None:
    known = ModelDeploymentStatus(endpoint=EndpointStatus(id="ep_1", name="acme/team-serve"))
    md = deployment(deleted=True, status=known)
    theirs = tuple(
        Deployment(f"dep_{n}", f"acme/team-serve/by-hand-{n}", "ep_1", DeploymentState.STOPPED)
        for n in range(7)
    )
    plan = decide_deployment(replace(seen(md, ours=False), strangers=theirs), NOW)
    assert plan.action is None
    assert s.told(plan.status)[:2] == ("stalled", "InUse")
    for words in ("by-hand-0", "and 2 more", "deletionPolicy to Retain"):
        assert words in s.message(plan.status)

    still_ours = decide_deployment(replace(seen(md, ours=True), strangers=theirs), NOW)
    assert still_ours.action == ScaleDeployment("ep_1", "dep_1", 0), "first what is its own"

    nobody = decide_deployment(seen(md, ours=False), NOW)
    assert nobody.action == DeleteEndpoint("ep_1")


# Which project: what another key could see is not gone.

OF_ACME = ModelDeploymentStatus(
    object_uid="uid-1", endpoint=EndpointStatus(id="ep_1", name="acme/team-serve")
)


@pytest.mark.parametrize(
    ("project", "endpoint", "stalls"),
    [
        pytest.param("other", None, True, id="another project: not seen is not gone"),
        pytest.param("other", replace(ENDPOINT, name="other/team-serve"), False, id="renamed"),
        pytest.param("acme", None, False, id="the same project: gone"),
    ],
)
@pytest.mark.parametrize("deleted", [False, True])
def test_absence_counts_only_where_the_endpoint_could_be_seen(
    project: str, endpoint: Endpoint | None, stalls: bool, deleted: bool
) -> None:
    md = deployment(deleted=deleted, status=OF_ACME)

    plan = decide_deployment(Observed(md, PROCESS, endpoint=endpoint, project=project), NOW)

    if not stalls:
        assert "KeyOfAnotherProject" not in {c.reason for c in plan.status.conditions}
        return
    assert plan.action is None
    assert s.told(plan.status)[:2] == ("stalled", "KeyOfAnotherProject")
    assert plan.status.endpoint == OF_ACME.endpoint
    for word in ("acme/team-serve", "works in other", "spec.apiKeySecretRef"):
        assert word in s.message(plan.status)
    assert ("together.ai/release=true" in s.message(plan.status)) is deleted


OF_V1 = EndpointStatus(id="team-serve", name="devuser/acme/m-a32b82a1")
"""In v1 the name of an endpoint is made up, and begins with no project's slug."""

PLACEHOLDER = Endpoint("ep_1", "ep_1", "proj_1", known_as="ep_1", placeholder=True)
"""What v1 shows for an endpoint that is not there."""


@pytest.mark.parametrize(
    ("recorded", "project", "stalls"),
    [(None, "acme", False), ("acme", "acme", False), ("acme", "other", True)],
    ids=["as an earlier release recorded it", "gone", "another project: not seen is not gone"],
)
@pytest.mark.parametrize("deleted", [False, True])
def test_in_v1_absence_counts_where_the_endpoint_could_be_seen_whatever_its_name(
    recorded: str | None, project: str, stalls: bool, deleted: bool
) -> None:
    record = OF_V1.model_copy(update={"project": recorded})
    md = deployment(deleted=deleted, status=OF_ACME.model_copy(update={"endpoint": record}))
    gone = Endpoint("team-serve", "team-serve", "proj_1", known_as="team-serve", placeholder=True)

    plan = decide_deployment(Observed(md, PROCESS, endpoint=gone, project=project), NOW)

    told = {c.reason for c in plan.status.conditions}
    assert ("KeyOfAnotherProject" in told) is stalls
    assert (plan.action == RemoveFinalizer()) is (deleted and not stalls)


@pytest.mark.parametrize(
    ("record", "endpoint", "version"),
    [
        pytest.param(OF_V1.model_copy(update={"project": "acme"}), None, "v1", id="v1, then v2"),
        pytest.param(OF_ACME.endpoint, PLACEHOLDER, "v2", id="v2, then v1"),
    ],
)
@pytest.mark.parametrize("deleted", [False, True])
def test_what_another_version_of_the_api_has_made_is_not_gone(
    record: EndpointStatus, endpoint: Endpoint | None, version: str, deleted: bool
) -> None:
    md = deployment(deleted=deleted, status=OF_ACME.model_copy(update={"endpoint": record}))

    plan = decide_deployment(Observed(md, PROCESS, endpoint=endpoint, project="acme"), NOW)

    assert plan.action is None
    assert s.told(plan.status)[:2] == ("stalled", "UnsupportedByAPI")
    assert plan.status.endpoint == record
    assert f"TOGETHER_OPERATOR_API_VERSION={version}" in s.message(plan.status)
    assert ("together.ai/release=true" in s.message(plan.status)) is deleted


def test_what_v1_shows_is_recorded_with_its_project() -> None:
    shown = replace(ENDPOINT, name="devuser/acme/m-a32b82a1", project="acme")
    assert with_endpoint(ModelDeploymentStatus(), shown).endpoint == EndpointStatus(
        id="ep_1", name=shown.name, project="acme"
    )
    known = with_endpoint_name(OF_ACME, shown)
    assert known.endpoint is not None
    assert known.endpoint.project == "acme"


def test_an_endpoint_without_a_project_in_its_name_is_compared_with_none() -> None:
    bare = OF_ACME.model_copy(update={"endpoint": EndpointStatus(id="ep_1", name="team-serve")})
    md = deployment(deleted=True, status=bare)
    assert decide_deployment(Observed(md, PROCESS, project="other"), NOW).action == (
        RemoveFinalizer()
    )


@pytest.mark.parametrize(("project", "stalls"), [("other", True), ("acme", False), ("", False)])
@pytest.mark.parametrize(
    "cm", [s.registered(), s.imported(), s.importing(), s.imported(deleted=True)]
)
def test_a_model_is_gone_only_where_it_could_be_seen(
    cm: CustomModel, project: str, stalls: bool
) -> None:
    plan = decide(s.look(cm, project=project), NOW)

    told = {c.reason for c in plan.status.conditions}
    assert ("KeyOfAnotherProject" in told) is stalls
    if stalls:
        assert plan.action is None
        assert s.told(plan.status)[0] == "stalled"
        assert plan.status.model == cm.status.model
        assert "acme/team-model" in s.message(plan.status)
        assert ("together.ai/release=true" in s.message(plan.status)) is is_deleting(cm)
