"""A source that changes after its import, and what becomes of the archive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import FOUND, HUB, NOW, OBJECT, PREFIX, SOON
from together_operator.api.v1alpha1 import JobStatus
from together_operator.domain.archive_job import job_name
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import (
    CreateJob,
    DeleteArchives,
)
from together_operator.domain.custom_model.archiving import may_delete_archives
from together_operator.domain.custom_model.observed import Observed
from together_operator.domain.custom_model.status import archive_lost, archives_deleted
from together_operator.domain.outcome import After, Done

AT_ARCHIVE = ("reconciling", "Archiving", "Archived")
CM = s.found(PREFIX)
NAME = job_name(CM, "cluster", 1)
SECOND = job_name(CM, "cluster", 2)


SEEN = s.given(CM, job=JobStatus(name=NAME, attempt=1, seen_at=NOW))
assert SEEN.status.job is not None


@pytest.mark.parametrize("spec", [HUB, OBJECT, PREFIX, s.PINNED], ids=lambda spec: str(spec)[:40])
def test_an_imported_source_that_has_changed_is_begun_anew(spec: s.Spec) -> None:
    changed = replace(FOUND, revision="two")
    plan = decide(s.look(s.imported(spec), source=changed, model=s.MODEL), NOW)
    assert plan.action is None, "what an import needs to know has to be looked at first"
    assert plan.outcome == After(0)
    assert plan.status.source is not None
    assert plan.status.source.revision == "two"
    assert (plan.status.import_, plan.status.archive) == (None, None)
    assert plan.status.model == s.imported(spec).status.model, "what is deployed stays"


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(s.look(s.imported(), source=FOUND, model=s.MODEL), id="the same commit"),
        pytest.param(
            s.look(
                s.imported({**HUB, "suspend": True}),
                source=replace(FOUND, revision="two"),
                model=s.MODEL,
            ),
            id="suspended",
        ),
        pytest.param(
            s.look(
                s.given(s.imported(), source=None),
                source=replace(FOUND, revision="two"),
                model=s.MODEL,
            ),
            id="what was imported is not known any more",
        ),
    ],
)
def test_an_imported_source_is_left_alone(observed: Observed) -> None:
    s.expect(observed, ("ready", "Ready", ""), Done(), None)


def test_what_was_packed_from_the_old_source_is_remembered_to_be_deleted() -> None:
    cm = s.archived(revision="old")
    status = decide(s.look(cm, source=FOUND, job=None), NOW).status
    assert may_delete_archives(s.given(cm, **dict(status)))
    assert not may_delete_archives(s.found(PREFIX)), "no Job was ever started"


def test_an_archive_that_is_gone_is_packed_again_by_a_job_of_another_name() -> None:
    lost = archive_lost(s.archived().status)
    plan = s.expect(s.look(s.given(CM, **dict(lost))), AT_ARCHIVE, After(SOON), CreateJob(SECOND))
    assert plan.status.intent is None


@pytest.mark.parametrize(
    ("problem", "reason", "words"),
    [
        pytest.param("", "ArchiveDeleted", "was deleted after the import", id="deleted"),
        pytest.param("403", "ArchiveNotDeleted", "could not be deleted: 403", id="refused"),
    ],
)
def test_what_became_of_the_archive_is_a_condition_of_a_model_that_is_ready(
    problem: str, reason: str, words: str
) -> None:
    before = decide(s.look(s.imported(PREFIX), model=s.MODEL), NOW).status
    after = archives_deleted(before, problem)
    told = next(c for c in after.conditions if c.type == "Archived")
    assert (told.status, told.reason) == ("True", reason)
    assert words in told.message
    again = decide(s.look(s.given(s.imported(PREFIX), **dict(after)), model=s.MODEL), NOW)
    assert again.status == after, "the next decision says the same"
    assert isinstance(again.action, DeleteArchives) is bool(problem)


def test_edited_after_a_failed_import_a_volume_is_looked_into_again() -> None:
    cm = s.importing("FAILED", attempt=3, spec=s.CLAIM)
    edited = s.edited(cm, {**s.CLAIM, "description": "mended"})
    plan = decide(s.look(edited, model=s.MODEL, source=replace(FOUND, revision="commit-1")), NOW)
    assert isinstance(plan.action, CreateJob)
    assert plan.action.name == job_name(edited, "cluster", 2)
