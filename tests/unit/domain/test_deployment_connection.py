"""The ConfigMap that says where the endpoint is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain.serving_situations import (
    ENDPOINT,
    SERVING,
    after,
    message,
    model_deployment,
    ready,
    seen,
    serving,
    stopped,
)
from tests.unit.domain.situations import NOW
from together_operator.api.v1alpha1 import Connection
from together_operator.domain import errors
from together_operator.domain.deployment.actions import Publish, ScaleDeployment, Unpublish
from together_operator.domain.deployment.connection import (
    inference_url,
    manifest,
    names_to_look_at,
)
from together_operator.domain.deployment.observed import Observed, PublishedMap

SPEC = {"connection": {"configMapName": "where"}}
DATA = {"baseURL": "https://api-inference.together.ai/v1", "model": ENDPOINT.name}
WRITTEN = Connection(config_map_name="where")


def given(
    spec: dict[str, Any] | None = None, known: Connection | None = None, **maps: PublishedMap
) -> Observed:
    """A deployment that answers, and these ConfigMaps."""
    return replace(serving(SPEC if spec is None else spec, connection=known), config_maps=maps)


def test_it_is_written_when_the_endpoint_answers() -> None:
    plan = after(given())

    assert plan.action == Publish("where", DATA)
    assert plan.status.connection == WRITTEN
    assert ready(plan) == ("False", "Publishing")
    assert [c.type for c in plan.status.conditions][-1] == "Published"


def test_one_that_is_true_is_left_alone() -> None:
    plan = after(given(known=WRITTEN, where=PublishedMap(DATA, is_ours=True)))

    assert plan.action is None
    assert ready(plan) == ("True", "Ready")


@pytest.mark.parametrize("data", [{}, {**DATA, "model": "acme/other"}, {**DATA, "key": "x"}])
def test_one_that_is_not_true_is_written_again(data: dict[str, str]) -> None:
    plan = after(given(known=WRITTEN, where=PublishedMap(data, is_ours=True)))

    assert plan.action == Publish("where", DATA)


def test_one_that_is_somebody_elses_is_never_touched() -> None:
    plan = after(given(where=PublishedMap(DATA, is_ours=False)))

    assert plan.action is None
    assert ready(plan) == ("False", "ConfigMapTaken")
    assert "spec.connection.configMapName" in message(plan)
    statuses = {c.type: c.status.value for c in plan.status.conditions}
    assert (statuses["Routed"], statuses["Published"]) == ("True", "False")


@pytest.mark.parametrize("spec", [{}, {"connection": {"configMapName": "other"}}])
def test_one_that_is_not_wanted_any_more_is_deleted_first(spec: dict[str, Any]) -> None:
    ours = PublishedMap(DATA, is_ours=True)

    plan = after(given(spec, WRITTEN, where=ours))

    assert plan.action == Unpublish("where")
    assert plan.status.connection == WRITTEN, "it is known until it is gone"


def test_one_that_is_gone_is_forgotten() -> None:
    plan = after(given({}, WRITTEN))

    assert plan.action is None
    assert plan.status.connection is None


def test_a_stopped_endpoint_keeps_its_address() -> None:
    observed = serving({**SPEC, "replicas": 0}, stopped())

    assert after(observed).action == Publish("where", DATA)


def test_a_map_that_can_not_be_read_keeps_nothing_from_being_stopped() -> None:
    error = errors.Forbidden("Kubernetes: configmaps is forbidden", status=403)

    stops = after(replace(serving({**SPEC, "replicas": 0}), config_map_error=error))
    told = after(replace(serving(SPEC), config_map_error=error))

    assert isinstance(stops.action, ScaleDeployment)
    assert ready(told) == ("False", "Forbidden")
    statuses = {c.type: c.status.value for c in told.status.conditions}
    assert (statuses["Routed"], statuses["Published"]) == ("True", "False")


def test_only_maps_that_are_or_were_wanted_are_looked_at() -> None:
    both = model_deployment(
        {"connection": {"configMapName": "other"}},
        SERVING.model_copy(update={"connection": WRITTEN}),
    )

    assert set(names_to_look_at(both)) == {"where", "other"}
    assert names_to_look_at(model_deployment()) == ()
    assert names_to_look_at(model_deployment(SPEC, deleted=True)) == ()


@pytest.mark.parametrize(
    ("base", "embedding", "url"),
    [
        ("https://api.together.ai", False, "https://api-inference.together.ai/v1"),
        ("https://api.together.ai/", False, "https://api-inference.together.ai/v1"),
        ("https://api.together.ai", True, "https://api.together.ai/v1"),
        ("http://proxy:8080", False, "http://proxy:8080/v1"),
    ],
)
def test_the_base_url_is_that_of_the_kind_of_model(base: str, embedding: bool, url: str) -> None:
    assert inference_url(base, is_embedding=embedding) == url


def test_the_manifest_has_its_owner_and_no_key() -> None:
    found = manifest(model_deployment(), "where", DATA)

    [owner] = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (
        "ModelDeployment",
        "uid-serve",
        True,
    )
    assert found["data"] == DATA


def test_an_observation_without_an_endpoint_publishes_nothing() -> None:
    md = model_deployment({**SPEC, "replicas": 0}, SERVING.model_copy(update={"endpoint": None}))

    assert not isinstance(after(seen(md, None), NOW).action, Publish)
