"""The API's models, as the reconcilers use them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from together_operator.api.v1alpha1 import (
    ArchiveDestination,
    ArchiveFormat,
    Condition,
    ConditionStatus,
    CustomModel,
    CustomModelPhase,
    CustomModelStatus,
    ImportStatus,
    JobSettings,
    ModelDeployment,
    ModelType,
    Retry,
    S3Source,
)

LIVE: dict[str, Any] = {
    "apiVersion": "together.ai/v1alpha1",
    "kind": "CustomModel",
    "metadata": {
        "name": "model",
        "namespace": "team",
        "uid": "1-2-3",
        "generation": 4,
        "resourceVersion": "77",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "deletionTimestamp": "2026-01-03T03:04:05Z",
        "finalizers": ["together.ai/model"],
        "labels": {"a": "b"},
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {
        "type": "Adapter",
        "source": {
            "s3": {
                "uri": "s3://bucket/prefix/",
                "endpointURL": "http://localhost:9000",
                "credentialsSecretRef": {"name": "s3"},
                "inventedLater": True,
            }
        },
        "archive": {"format": "zip", "destination": {"uri": "s3://bucket/archives"}},
        "inventedLater": {"a": 1},
    },
    "status": {
        "observedGeneration": 3,
        "phase": "Importing",
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Importing",
                "message": "",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
                "observedGeneration": 3,
            }
        ],
        "import": {"jobID": "job_1", "startedAt": "2026-01-02T03:04:05Z"},
    },
}


def test_a_live_object_is_read_with_types() -> None:
    model = CustomModel.model_validate(LIVE)

    assert model.key == "team/model"
    assert model.metadata.generation == 4
    assert model.metadata.deletion_timestamp == datetime(2026, 1, 3, 3, 4, 5, tzinfo=UTC)
    assert model.metadata.finalizers == ("together.ai/model",)
    assert model.spec.type is ModelType.ADAPTER
    assert model.spec.source.s3 is not None
    assert model.spec.source.s3.endpoint_url == "http://localhost:9000"
    assert model.spec.archive is not None
    assert model.spec.archive.format is ArchiveFormat.ZIP
    assert model.status.phase is CustomModelPhase.IMPORTING
    assert model.status.conditions[0].status is ConditionStatus.FALSE
    assert model.status.import_ is not None
    assert model.status.import_.job_id == "job_1"


def test_a_status_is_dumped_as_it_was_read() -> None:
    assert CustomModel.model_validate(LIVE).status.to_body() == LIVE["status"]


def test_an_object_without_status_has_not_been_looked_at() -> None:
    body = {key: value for key, value in LIVE.items() if key != "status"}

    assert CustomModel.model_validate(body).status.observed_generation == -1


def test_a_job_has_its_defaults_whether_it_is_given_or_not() -> None:
    given_empty = LIVE | {"spec": LIVE["spec"] | {"job": {}}}

    for body in (LIVE, given_empty):
        assert CustomModel.model_validate(body).spec.job == JobSettings(
            active_deadline_seconds=86400, ttl_seconds_after_finished=3600
        )


def test_quantities_are_text_however_they_were_written() -> None:
    job = JobSettings.model_validate({"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}})

    assert job.resources is not None
    assert job.resources.limits == {"cpu": "2", "memory": "1Gi"}


def test_what_is_read_cannot_be_changed_in_place() -> None:
    model = CustomModel.model_validate(LIVE)

    with pytest.raises(ValidationError, match="frozen"):
        model.status.phase = CustomModelPhase.READY  # type: ignore[misc]


def test_a_kind_is_not_read_as_another() -> None:
    with pytest.raises(ValidationError, match="kind"):
        ModelDeployment.model_validate(LIVE)


def test_a_body_has_no_nulls() -> None:
    status = CustomModelStatus(
        observed_generation=1, import_=ImportStatus(job_id="job_1"), retry=Retry(failures=2)
    )

    assert status.to_body() == {
        "observedGeneration": 1,
        "conditions": [],
        "import": {"jobID": "job_1"},
        "retry": {"failures": 2},
    }


@given(
    st.datetimes(
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
        max_value=datetime(2100, 1, 1),  # noqa: DTZ001
        timezones=st.integers(-720, 840).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_a_timestamp_is_rfc_3339_in_utc_with_whole_seconds(moment: datetime) -> None:
    retry = Retry(next_attempt_time=moment)
    dumped = retry.to_body()["nextAttemptTime"]

    assert datetime.strptime(dumped, "%Y-%m-%dT%H:%M:%S%z") == moment.replace(microsecond=0)
    assert dumped.endswith("Z")
    assert Retry.model_validate(retry.to_body()) == retry


def test_a_timestamp_that_skipped_validation_is_dumped_alike() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 999999, tzinfo=timezone(timedelta(hours=1)))

    copied = Retry().model_copy(update={"next_attempt_time": moment})

    assert copied.to_body()["nextAttemptTime"] == "2026-01-02T02:04:05Z"


def test_a_timestamp_without_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        Retry(next_attempt_time=datetime(2026, 1, 2))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("uri", "is_archive", "bucket", "key"),
    [
        ("s3://bucket/a/model.zip", True, "bucket", "a/model.zip"),
        ("s3://bucket/model.tar", True, "bucket", "model.tar"),
        ("s3://bucket/model.v1.tar.gz", True, "bucket", "model.v1.tar.gz"),
        ("s3://bucket/model.zip/", False, "bucket", "model.zip/"),
        ("s3://bucket/a/b", False, "bucket", "a/b/"),
        ("s3://bucket/a/b/", False, "bucket", "a/b/"),
        ("s3://bucket/zip", False, "bucket", "zip/"),
        ("s3://bucket/", False, "bucket", ""),
        ("s3://bucket", False, "bucket", ""),
    ],
)
def test_an_s3_source_is_an_archive_or_a_prefix(
    uri: str, is_archive: bool, bucket: str, key: str
) -> None:
    source = S3Source(uri=uri)

    assert (source.is_archive, source.bucket, source.key) == (is_archive, bucket, key)


@pytest.mark.parametrize(
    ("uri", "prefix"),
    [("s3://b/a", "a/"), ("s3://b/a/", "a/"), ("s3://b", ""), ("s3://b/", "")],
)
def test_a_destination_is_a_prefix(uri: str, prefix: str) -> None:
    destination = ArchiveDestination(uri=uri)

    assert (destination.bucket, destination.prefix) == ("b", prefix)


def test_conditions_compare_by_value() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def ready(at: datetime) -> Condition:
        return Condition(
            type="Ready",
            status=ConditionStatus.TRUE,
            reason="Imported",
            message="",
            last_transition_time=at,
        )

    assert ready(moment) == ready(moment + timedelta(milliseconds=999))
    assert ready(moment) != ready(moment + timedelta(seconds=1))


def test_the_operator_does_not_load_the_generator() -> None:
    program = (
        "import sys, together_operator.api.v1alpha1\n"
        "print({'yaml', 'click', 'together_operator.api.crd'} & sys.modules.keys())"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert loaded.stdout == "set()\n"
