"""Registering: the model record at Together, created once and only once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from together_operator.api.v1alpha1 import AdoptionPolicy, ModelType
from together_operator.domain import catalog
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.custom_model.actions import CreateModel, ModelPlan
from together_operator.domain.custom_model.observed import (
    MODEL_INTENT,
    Observed,
    has_model,
    is_imported,
    owner_of_unseen,
    wanted_description,
    wanted_name,
)
from together_operator.domain.custom_model.status import (
    ARCHIVE,
    IMPORT,
    REGISTER,
    adopted,
    busy,
    failed,
    next_stage,
    planned,
    registered,
)
from together_operator.domain.outcome import After
from together_operator.domain.plan import new_intent, other_key_words, seconds_until_safe
from together_operator.domain.source import source_digest
from together_operator.domain.together import Model, NewModel, SupportedModel


def key_of_another_project(o: Observed, now: datetime) -> ModelPlan | None:
    """The row for a record that only another project's key could see: it is not gone."""
    owner, record = owner_of_unseen(o), o.cm.status.model
    if not owner or record is None:
        return None
    message = other_key_words(f"Model {record.name}", owner, o.project)
    say = Situation(Health.STALLED, Reason.KEY_OF_ANOTHER_PROJECT, message, REGISTER)
    return failed(o, now, say)


def lost_model(o: Observed, now: datetime) -> ModelPlan | None:
    """The row for a record that was deleted behind our back: begin again with a new one.

    One with another name is another object's: somebody has tampered with the status.
    """
    absent = o.model is None or (o.model.placeholder and is_imported(o.cm))
    if not has_model(o.cm) or not absent:
        return None
    record = o.cm.status.model
    name = record.name if record is not None else ""
    status = o.cm.status.model_copy(
        update={"model": None, "import_": None, "progress": None, "intent": None}
    )
    stage = next_stage(o.with_status(status).cm)
    words = f"Model {name} was deleted at Together: once more"
    if o.stranger:
        words = (
            f"status.model.id was that of {o.stranger}, which is not this object's by its name, "
            f"{wanted_name(o.cm)}: beginning again"
        )
    say = busy(stage, Reason.REGISTERING, words)
    return planned(o, now, say, After(0), status=status)


def registering(o: Observed, now: datetime) -> ModelPlan | None:
    """The row for an object whose record is not known yet."""
    if has_model(o.cm):
        return None
    if o.model is not None:
        return _found(o, now, o.model)
    new = new_model(o)
    if o.abilities.base_models:
        base = _base_model(o)
        if isinstance(base, catalog.Unknown):
            return _base_unknown(o, now, base)
        new = replace(new, base_model_id=base.model_id)
    name, intent = wanted_name(o.cm), o.intent(MODEL_INTENT)
    if intent is not None:
        wait = seconds_until_safe(intent, o.process, o.last_sent, now)
        if wait > 0:
            say = busy(REGISTER, Reason.SETTLING, f"Looking if model {name} was created after all")
            return planned(o, now, say, After(min(wait, o.process.poll)))
    if intent is None or intent.holder != o.process.holder:
        attempt = intent.attempt + 1 if intent is not None else 1
        intent = new_intent(MODEL_INTENT, name, attempt, o.process, now)
    say = busy(REGISTER, Reason.REGISTERING, f"Creating model {name}")
    status = o.cm.status.model_copy(update={"intent": intent})
    return planned(o, now, say, After(0), CreateModel(new), status)


def refused_or_found(o: Observed, now: datetime) -> ModelPlan | None:
    """Before anything is packed: what can be told already of the model that it is for.

    Nothing that was not looked at is held against the object.
    """
    if has_model(o.cm):
        return None
    if o.model is not None:
        return _found(o, now, o.model)
    if not o.abilities.base_models or not o.base_models:
        return None
    base = _base_model(o)
    return _base_unknown(o, now, base) if isinstance(base, catalog.Unknown) else None


def _base_model(o: Observed) -> SupportedModel | catalog.Unknown:
    wanted = o.cm.spec.base_model or (o.source.base_model if o.source is not None else None)
    return catalog.resolve(wanted, o.base_models)


def _base_unknown(o: Observed, now: datetime, base: catalog.Unknown) -> ModelPlan:
    say = Situation(Health.STALLED, Reason.BASE_MODEL_UNKNOWN, base.message, REGISTER)
    return failed(o, now, say)


def new_model(o: Observed) -> NewModel:
    """What the spec wants to be created; its base is as the user wrote it, or empty."""
    spec = o.cm.spec
    return NewModel(
        name=wanted_name(o.cm),
        base_model_id=spec.base_model or "",
        type="adapter" if spec.type == ModelType.ADAPTER else "model",
        description=wanted_description(o.cm, o.process.cluster_id) or "",
    )


def _found(o: Observed, now: datetime, model: Model) -> ModelPlan:
    """Found after the intent was sent, it is ours; otherwise only if it may be adopted."""
    ours = o.is_ours(o.intent(MODEL_INTENT))
    if ours or (o.cm.spec.adoption_policy == AdoptionPolicy.ADOPT and not o.claimed_by):
        status = registered(o.cm.status, model)
        if not ours and o.revision is not None and o.revision.validation == "SUCCESS":
            status = adopted(status, model, o.revision, source_digest(o.cm.spec))
        at = o.with_status(status).cm
        stage = IMPORT if is_imported(at) else next_stage(at)
        reason = Reason.ARCHIVING if stage == ARCHIVE else Reason.IMPORTING
        say = busy(stage, reason, f"Model {model.name} is registered")
        return planned(o, now, say, After(0), status=status)
    message = (
        f"A model named {model.name} is already at Together and is not this object's. Choose "
        "another spec.modelName, or set spec.adoptionPolicy to Adopt to take it over."
    )
    if o.claimed_by:
        message = (
            f"Model {model.name} belongs to CustomModel {o.claimed_by}: choose another "
            "spec.modelName for one of the two."
        )
    say = Situation(Health.STALLED, Reason.NAME_TAKEN, message, REGISTER)
    return failed(o, now, say, o.cm.status.model_copy(update={"intent": None}))
