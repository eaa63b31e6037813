"""The changes in the outside world that a decision about a CustomModel can ask for."""

from __future__ import annotations

from dataclasses import dataclass

from together_operator.api.v1alpha1 import CustomModelStatus
from together_operator.domain.plan import AddFinalizer, Plan, RemoveFinalizer
from together_operator.domain.together import Model, ModelChange, NewModel


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Launch the archive Job of one attempt."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Remove an archive Job and its pods."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteArchives:
    """Delete the archives in the object's own folder; of those that are retained, unfinished ones.

    An upload that nobody will go on with is in no listing of objects, and is billed.
    """

    unfinished_only: bool = False


@dataclass(frozen=True, slots=True)
class CreateModel:
    """Create the model record, for which an intent is stored."""

    new: NewModel


@dataclass(frozen=True, slots=True)
class UpdateModel:
    """Write description or visibility."""

    model_id: str
    change: ModelChange


@dataclass(frozen=True, slots=True)
class DeleteModel:
    """Delete the model record."""

    model_id: str


@dataclass(frozen=True, slots=True)
class StartImport:
    """Have Together fetch the source or its archive, for which an intent is stored.

    `new` is for an API that creates the model with its import.
    """

    model: Model
    attempt: int
    source_digest: str
    new: NewModel


Action = (
    AddFinalizer
    | RemoveFinalizer
    | CreateJob
    | DeleteJob
    | DeleteArchives
    | CreateModel
    | UpdateModel
    | DeleteModel
    | StartImport
)
ModelPlan = Plan[CustomModelStatus, Action]
