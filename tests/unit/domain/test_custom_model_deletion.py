"""Deletion: Job, users, record, finalizer; in this order, and nothing left without being told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import ANOTHER, HUB, MODEL, NOW, PREFIX, SOON
from together_operator.api.v1alpha1 import ArchiveStatus, CustomModel, CustomModelStatus
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import DeleteArchives, DeleteJob, DeleteModel
from together_operator.domain.custom_model.observed import Fact, Observed, wanted_facts
from together_operator.domain.custom_model.status import (
    archives_deleted,
    failure,
    seconds_to_wait,
)
from together_operator.domain.errors import Forbidden, SecretUnavailable, Unauthorized, Unavailable
from together_operator.domain.failures import StageError
from together_operator.domain.outcome import After, Done, Outcome
from together_operator.domain.plan import RemoveFinalizer

RETAIN = {**HUB, "deletionPolicy": "Retain"}
KEPT_MODEL = {**PREFIX, "deletionPolicy": "Retain"}
DELETING, SETTLING, IN_USE = "Deleting", "Settling", "InUse"
AWAY = s.imported(deleted=True)
LET_GO = RemoveFinalizer()


def reason(observed: Observed) -> str:
    """What the plan says."""
    return s.told(decide(observed, NOW).status)[1]


def deleted_archive(cm: CustomModel) -> CustomModel:
    """The object with its archive deleted."""
    assert cm.status.archive is not None
    return s.given(cm, archive=cm.status.archive.model_copy(update={"deleted": True}))


@pytest.mark.parametrize(
    ("observed", "says", "outcome", "action"),
    [
        pytest.param(
            s.look(s.found(PREFIX, deleted=True), job=s.job(s.found(PREFIX))),
            DELETING,
            After(SOON),
            DeleteJob(s.job(s.found(PREFIX)).name),
            id="a Job runs: stopped before all else",
        ),
        pytest.param(
            s.look(
                s.registered(PREFIX, deleted=True),
                job=s.job(s.found(PREFIX), deleting=True),
                model=MODEL,
                users=("chat",),
            ),
            DELETING,
            After(SOON),
            None,
            id="the Job is being stopped: waited for",
        ),
        pytest.param(
            s.look(s.registered(PREFIX, deleted=True), model=MODEL, users=("chat",)),
            DELETING,
            After(0),
            DeleteArchives(),
            id="an archive may be there: deleted before the record",
        ),
        pytest.param(
            s.look(s.registered({**PREFIX, "deletionPolicy": "Retain"}, deleted=True)),
            DELETING,
            After(0),
            DeleteArchives(),
            id="the record is retained, the archive is not: deleted",
        ),
        pytest.param(
            s.look(
                s.importing(spec=KEPT_MODEL, deleted=True),
                model=MODEL,
                imports=(s.remote_import("RUNNING"),),
            ),
            DELETING,
            After(10.0),
            None,
            id="the record is retained, and its import reads the archive: waited for",
        ),
        pytest.param(
            s.look(
                s.importing(spec=KEPT_MODEL, deleted=True),
                model=MODEL,
                imports=(s.remote_import("SUCCEEDED"),),
            ),
            DELETING,
            After(0),
            DeleteArchives(),
            id="the record is retained, and its import has ended: the archive is deleted",
        ),
        pytest.param(
            s.look(s.importing(spec=KEPT_MODEL, deleted=True)),
            DELETING,
            After(0),
            DeleteArchives(),
            id="the record was to be retained and is gone: the archive is deleted",
        ),
        pytest.param(
            s.look(s.import_announced(ANOTHER, ago=5, spec=KEPT_MODEL, deleted=True), model=MODEL),
            SETTLING,
            After(10.0),
            None,
            id="the record is retained, and its import may have been started: waited for",
        ),
        pytest.param(
            s.look(
                s.import_announced(ANOTHER, ago=5000, spec=KEPT_MODEL, deleted=True),
                model=MODEL,
                imports=(s.remote_import("PENDING"),),
            ),
            DELETING,
            After(10.0),
            None,
            id="the record is retained, and an import that was announced runs: waited for",
        ),
        pytest.param(
            s.look(s.importing(spec=PREFIX, deleted=True), model=MODEL),
            DELETING,
            After(0),
            DeleteArchives(),
            id="the record goes as well: its import is not waited for",
        ),
        pytest.param(
            s.look(s.registered(s.KEPT, deleted=True), model=MODEL),
            DELETING,
            After(SOON),
            DeleteModel(MODEL.id),
            id="the archive is retained: the record is deleted",
        ),
        pytest.param(
            s.look(s.given(s.registered(s.KEPT, deleted=True), archive=None), model=MODEL),
            DELETING,
            After(0),
            DeleteArchives(unfinished_only=True),
            id="archives are retained, and one may be unfinished: that is ended",
        ),
        pytest.param(
            s.look(
                s.given(
                    s.registered(s.KEPT, deleted=True),
                    archive=ArchiveStatus(uri="s3://of-before/model.zip"),
                ),
                model=MODEL,
            ),
            DELETING,
            After(0),
            DeleteArchives(unfinished_only=True),
            id="archives are retained, and the next one, elsewhere, may be unfinished",
        ),
        pytest.param(
            s.look(
                s.given(
                    s.registered(s.KEPT, deleted=True),
                    archive=archives_deleted(CustomModelStatus()).archive,
                ),
                model=MODEL,
            ),
            DELETING,
            After(SOON),
            DeleteModel(MODEL.id),
            id="what was unfinished is ended: the record is deleted",
        ),
        pytest.param(
            s.look(deleted_archive(s.registered(PREFIX, deleted=True)), model=MODEL),
            DELETING,
            After(SOON),
            DeleteModel(MODEL.id),
            id="the archive is deleted: the record is deleted",
        ),
        pytest.param(
            s.look(AWAY, model=MODEL, users=("chat", "search")),
            IN_USE,
            After(SOON),
            None,
            id="ModelDeployments use it: they go first",
        ),
        pytest.param(
            s.look(AWAY, model=MODEL),
            DELETING,
            After(SOON),
            DeleteModel(MODEL.id),
            id="the record is there: deleted",
        ),
        pytest.param(
            s.look(s.importing(deleted=True), model=MODEL),
            DELETING,
            After(SOON),
            DeleteModel(MODEL.id),
            id="in the middle of an import: deleted all the same",
        ),
        pytest.param(
            s.look(s.model_announced(ANOTHER, ago=5, deleted=True), model=MODEL),
            DELETING,
            After(SOON),
            DeleteModel(MODEL.id),
            id="an earlier process may have created it, and it is there: deleted",
        ),
        pytest.param(
            s.look(s.model_announced(ANOTHER, ago=5, deleted=True)),
            SETTLING,
            After(10.0),
            None,
            id="an earlier process may have created it: waited for",
        ),
        pytest.param(
            s.sent(s.look(s.model_announced(ago=5, deleted=True)), ago=4),
            SETTLING,
            After(10.0),
            None,
            id="its creation was sent and the answer lost: waited for",
        ),
    ],
)
def test_row_that_goes_on(observed: Observed, says: str, outcome: Outcome, action: object) -> None:
    plan = decide(observed, NOW)
    assert s.told(plan.status)[:2] == ("reconciling", says), s.show(plan)
    assert plan.status.phase == "Deleting"
    assert (plan.outcome, plan.action) == (outcome, action), s.show(plan)


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(s.look(AWAY), id="the record is gone"),
        pytest.param(s.look(s.custom_model(deleted=True)), id="nothing was ever created"),
        pytest.param(
            s.look(s.found(deleted=True), model=MODEL),
            id="somebody else's record has the name: not touched",
        ),
        pytest.param(
            s.look(s.model_announced(deleted=True), model=MODEL),
            id="somebody else's, and our creation was never sent: not touched",
        ),
        pytest.param(
            s.look(s.model_announced(deleted=True)), id="its creation was announced and never sent"
        ),
        pytest.param(
            s.sent(s.look(s.model_announced(ago=40, deleted=True)), ago=31),
            id="the answer was lost, and the window is over",
        ),
        pytest.param(s.look(s.imported(RETAIN, deleted=True), model=MODEL), id="Retain"),
        pytest.param(
            s.look(s.imported(RETAIN, deleted=True), model=MODEL, users=("chat",)),
            id="Retain, whoever uses it",
        ),
    ],
)
def test_row_that_lets_go(observed: Observed) -> None:
    plan = decide(observed, NOW)
    assert plan.action == LET_GO, s.show(plan)
    assert plan.status == observed.cm.status, "nothing is written to an object that goes"


def test_an_object_that_others_hold_is_left_to_them() -> None:
    cm = s.imported(deleted=True, finalizer=False)
    plan = decide(s.look(cm), NOW)
    assert (plan.action, plan.outcome, plan.status) == (None, Done(), cm.status)


@pytest.mark.parametrize(
    ("cm", "left"),
    [
        pytest.param(s.imported, "model acme/team-model", id="its record"),
        pytest.param(s.model_announced, "perhaps model team-model", id="one that may appear"),
        pytest.param(s.found, "", id="nothing"),
        pytest.param(
            lambda **about: s.registered(PREFIX, **about),
            "model acme/team-model, archive " + str(s.archived().status.archive.uri),  # type: ignore[union-attr]
            id="its record and its archive",
        ),
    ],
)
def test_a_released_object_goes_and_tells_what_it_leaves(
    cm: Callable[..., CustomModel], left: str
) -> None:
    plan = decide(s.look(cm(deleted=True, released=True)), NOW)
    assert plan.action == RemoveFinalizer(left)


def test_users_are_named() -> None:
    words = s.message(decide(s.look(AWAY, model=MODEL, users=("chat", "search")), NOW).status)
    assert words.startswith("Used by ModelDeployment chat, search: it has to go, or to serve")


@pytest.mark.parametrize(
    ("cm", "done"),
    [
        pytest.param(s.found, {"SourceReady", "Archived"}, id="never registered"),
        pytest.param(s.registered, {"SourceReady", "Archived", "Registered"}, id="not imported"),
    ],
)
def test_deletion_does_not_make_stages_true_that_were_not(
    cm: Callable[..., CustomModel], done: set[str]
) -> None:
    facts: dict[str, Any] = {"model": MODEL if cm is s.registered else None, "source": s.FOUND}
    before = decide(s.look(cm(), base_models=s.CATALOG, **facts), NOW).status
    kept = {"conditions": before.conditions, "phase": before.phase}
    away = s.given(cm(deleted=True), **kept)
    after = decide(s.look(away, model=MODEL, users=("chat",)), NOW + s.seconds(5)).status
    assert {c.type for c in after.conditions[3:] if c.status == "True"} == done
    assert after.conditions[3:] == before.conditions[3:], "and they keep their times"


# What has to be looked at, so that an object can go without what it does not need.


@pytest.mark.parametrize(
    ("cm", "facts"),
    [
        pytest.param(AWAY, {Fact.MODEL, Fact.USERS}, id="a record to delete"),
        pytest.param(
            s.model_announced(deleted=True), {Fact.MODEL, Fact.USERS}, id="a record that may be"
        ),
        pytest.param(s.found(deleted=True), {Fact.USERS}, id="nothing was created: no key needed"),
        pytest.param(
            s.given(s.archived(deleted=True), model=None), {Fact.USERS, Fact.JOB}, id="a Job"
        ),
        pytest.param(s.imported(RETAIN, deleted=True), set(), id="Retain: no key needed"),
        pytest.param(
            s.importing(spec=RETAIN, deleted=True),
            set(),
            id="Retain, nothing packed: no key needed",
        ),
        pytest.param(
            s.importing(spec=KEPT_MODEL, deleted=True),
            {Fact.JOB, Fact.MODEL, Fact.IMPORTS},
            id="Retain, and an import reads what was packed",
        ),
        pytest.param(s.imported(deleted=True, released=True), set(), id="released: no key needed"),
        pytest.param(s.imported(deleted=True, finalizer=False), set(), id="not ours any more"),
    ],
)
def test_what_is_looked_at(cm: CustomModel, facts: set[Fact]) -> None:
    assert wanted_facts(cm) == facts


@pytest.mark.parametrize(
    ("error", "health", "reason"),
    [
        pytest.param(Unauthorized("wrong key"), "stalled", "Unauthorized", id="401"),
        pytest.param(Forbidden("not yours"), "stalled", "Forbidden", id="403"),
        pytest.param(
            SecretUnavailable("key", "token", "gone"), "stalled", "SecretMissing", id="no Secret"
        ),
        pytest.param(Unavailable("away"), "reconciling", "Unavailable", id="API away"),
    ],
)
def test_what_holds_a_deletion_up_is_told_and_the_finalizer_stays(
    error: Any, health: str, reason: str
) -> None:
    plan = failure(s.look(AWAY), NOW, StageError("Registered", error))
    assert s.told(plan.status)[:2] == (health, reason), s.show(plan)
    assert plan.status.phase == "Deleting"
    assert plan.action is None
    released = "annotate it with together.ai/release=true" in s.message(plan.status)
    assert released is (health == "stalled")


def test_a_release_does_not_wait_for_the_rest_of_a_backoff() -> None:
    cm = s.given(AWAY, retry=s.retry(failures=8, due_in=200))
    assert seconds_to_wait(cm, NOW) == 200
    assert (
        seconds_to_wait(
            s.given(s.imported(deleted=True, released=True), retry=cm.status.retry), NOW
        )
        == 0
    )


def test_a_window_counts_from_this_process_s_beginning_at_the_earliest() -> None:
    observed = s.look(s.model_announced(ANOTHER, ago=600, deleted=True))
    fresh = replace(s.PROCESS, started=NOW - s.seconds(10))
    assert reason(replace(observed, process=fresh)) == SETTLING
    assert decide(observed, NOW).action == LET_GO
