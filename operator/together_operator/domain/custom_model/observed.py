"""What a decision about a CustomModel rests on, and which of it has to be looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from together_operator.api.v1alpha1 import (
    AdoptionPolicy,
    CustomModel,
    CustomModelPhase,
    CustomModelStatus,
    DeletionPolicy,
    Intent,
)
from together_operator.domain.archive_job import JobFacts
from together_operator.domain.names import cluster_tag, remote_name
from together_operator.domain.plan import (
    Process,
    has_finalizer,
    is_deleting,
    is_released,
    is_untouched,
    unseen_owner,
)
from together_operator.domain.source import SourceFacts, needs_archive, source_digest
from together_operator.domain.together import (
    V2,
    Abilities,
    Import,
    ImportState,
    Model,
    Revision,
    SupportedModel,
)

MODEL_INTENT = "Model"
IMPORT_INTENT = "Import"


class Fact(Enum):
    """Something that has to be looked at before a decision can be made."""

    SOURCE = "source"
    JOB = "job"
    MODEL = "model"
    BASE_MODELS = "base models"
    IMPORTS = "imports"
    REVISION = "revision"
    USERS = "users"


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a decision about one CustomModel rests on.

    Args:
        jitter: from 0 up to 1, for the backoff of a failure.
        model: the record with the id in status, else the one that carries the wanted name.
        stranger: name of the record with the id in status, if it is not named as this object's is.
        claimed_by: `namespace/name` of another object that has what was found by name.
        imports: of this model, newest first.
        abilities: of the API that the object's key is used with.
        users: names of ModelDeployments that refer to this object or still run its model.
        last_sent: when this process last sent a create whose outcome it does not know.
        project: slug of the project that the API key works in, where the record that status
            has was looked for in vain; else empty.
    """

    cm: CustomModel
    process: Process
    jitter: float = 0.0
    source: SourceFacts | None = None
    job: JobFacts | None = None
    model: Model | None = None
    stranger: str = ""
    claimed_by: str = ""
    base_models: tuple[SupportedModel, ...] = ()
    imports: tuple[Import, ...] = ()
    revision: Revision | None = None
    abilities: Abilities = V2
    users: tuple[str, ...] = ()
    last_sent: datetime | None = None
    project: str = ""

    @property
    def resource(self) -> CustomModel:
        """The object."""
        return self.cm

    def with_status(self, status: CustomModelStatus) -> Observed:
        """The same with another status, for a decision that goes on from it."""
        return replace(self, cm=self.cm.model_copy(update={"status": status}))

    def intent(self, kind: str) -> Intent | None:
        """The stored intent, if it is of `kind`."""
        intent = self.cm.status.intent
        return intent if intent is not None and intent.kind == kind else None

    def is_ours(self, intent: Intent | None) -> bool:
        """True when what is found under `intent` was created by it."""
        sent = intent is not None and not is_untouched(intent, self.process, self.last_sent)
        return sent and not self.claimed_by


def wanted_name(cm: CustomModel) -> str:
    """Bare name of the model at Together."""
    return cm.spec.model_name or remote_name(cm.metadata.namespace, cm.metadata.name)


def wanted_description(cm: CustomModel, cluster_id: str) -> str | None:
    """Description at Together; None: as it is. Without one in the spec it says whose it is.

    `domain/orphans.py` knows by it what this cluster has left behind. A model that is kept, or
    that was somebody else's, is not marked.
    """
    # Together gives it back trimmed: compared with what is not, it would be sent for ever.
    if description := cm.spec.description.strip():
        return description
    if cm.spec.adoption_policy == AdoptionPolicy.ADOPT:
        return None
    return "" if cm.spec.deletion_policy == DeletionPolicy.RETAIN else marker(cluster_id)


def marker(cluster_id: str) -> str:
    """Words in a model's description that tell which cluster's it is."""
    return f"Managed by together-operator (cluster {cluster_tag(cluster_id)})"


def has_model(cm: CustomModel) -> bool:
    """True when status knows the record at Together."""
    return cm.status.model is not None and cm.status.model.id is not None


def owner_of_unseen(o: Observed) -> str:
    """Slug of the project that the record in status is in, where the API key can't see it."""
    record = o.cm.status.model
    return unseen_owner(record.name if record is not None else None, o.project)


def may_adopt(cm: CustomModel) -> bool:
    """True when a model that carries the wanted name is to be taken over."""
    return not has_model(cm) and cm.spec.adoption_policy == AdoptionPolicy.ADOPT


def is_same_source(cm: CustomModel) -> bool:
    """True when status speaks of the source that the spec names."""
    return cm.status.source is not None and cm.status.source.digest == source_digest(cm.spec)


def is_archived(cm: CustomModel) -> bool:
    """True when what Together shall fetch is there."""
    if not needs_archive(cm.spec):
        return True
    assert cm.spec.archive is not None  # the CRD's rule for sources that need one
    archive, destination = cm.status.archive, cm.spec.archive.destination.uri.rstrip("/")
    if archive is None or archive.deleted or not (archive.uri or "").startswith(f"{destination}/"):
        return False
    return archive.format in {None, cm.spec.archive.format} and is_same_source(cm)


def is_imported(cm: CustomModel) -> bool:
    """True when the source that the spec names has been imported."""
    last = cm.status.import_
    return (
        last is not None
        and last.state == ImportState.SUCCEEDED
        and last.source_digest == source_digest(cm.spec)
        and cm.status.model is not None
        and cm.status.model.revision is not None
    )


def is_before_packing(cm: CustomModel) -> bool:
    """True when it is time to see if Together would take what is to be packed: hours before it is.

    Once a Job for this source has begun, it is not asked again.
    """
    job = cm.status.job
    begun = job is not None and job.name is not None and is_same_source(cm)
    return not (is_archived(cm) or has_model(cm) or cm.spec.suspend or begun)


def is_import_running(cm: CustomModel) -> bool:
    """True when an import was started whose end has not been seen."""
    last = cm.status.import_
    return last is not None and last.state not in {ImportState.SUCCEEDED, ImportState.FAILED}


def is_import_unvalidated(cm: CustomModel) -> bool:
    """True when an import of the spec's source ended well, and its revision is still awaited."""
    last = cm.status.import_
    return (
        last is not None
        and last.state == ImportState.SUCCEEDED
        and last.source_digest == source_digest(cm.spec)
        and not is_imported(cm)
    )


def is_settled(cm: CustomModel) -> bool:
    """True when status says that nothing is to do for this generation."""
    return (
        cm.status.observed_generation == cm.metadata.generation
        and cm.status.phase == CustomModelPhase.READY
        and cm.status.intent is None
        and not is_deleting(cm)
        and has_finalizer(cm)
        and is_imported(cm)
    )


def wanted_facts(cm: CustomModel) -> frozenset[Fact]:
    """What has to be looked at, from the object alone."""
    if is_deleting(cm):
        return _facts_for_deletion(cm)
    if not has_finalizer(cm):
        return frozenset()
    if is_imported(cm):
        return frozenset({Fact.MODEL})
    if is_import_running(cm) or _intent_kind(cm) == IMPORT_INTENT:
        return frozenset({Fact.MODEL, Fact.IMPORTS, Fact.REVISION})
    facts = {Fact.SOURCE} if not is_same_source(cm) or _may_be_mended(cm) else set()
    if not is_archived(cm):
        facts.add(Fact.JOB)
        if is_before_packing(cm):
            facts |= {Fact.MODEL, Fact.BASE_MODELS, Fact.SOURCE}
    elif has_model(cm):
        facts |= {Fact.MODEL, Fact.IMPORTS, Fact.REVISION}
    else:
        facts |= {Fact.MODEL, Fact.BASE_MODELS, Fact.SOURCE}
    return frozenset(facts)


def _facts_for_deletion(cm: CustomModel) -> frozenset[Fact]:
    if not has_finalizer(cm) or is_released(cm):
        return frozenset()
    facts = {Fact.JOB} if cm.status.job is not None else set()
    if cm.spec.deletion_policy == DeletionPolicy.DELETE:
        facts.add(Fact.USERS)
        # Without an id or an intent nothing of ours can be there, whatever carries the name.
        if has_model(cm) or cm.status.intent is not None:
            facts.add(Fact.MODEL)
    elif cm.status.job is not None and is_archive_read(cm):
        facts |= {Fact.MODEL, Fact.IMPORTS}
    return frozenset(facts)


def is_archive_read(cm: CustomModel) -> bool:
    """True when an import may be reading what was packed, into a model that is to be kept."""
    kept = cm.spec.deletion_policy == DeletionPolicy.RETAIN
    return kept and (is_import_running(cm) or _intent_kind(cm) == IMPORT_INTENT)


def _intent_kind(cm: CustomModel) -> str | None:
    return cm.status.intent.kind if cm.status.intent is not None else None


def _may_be_mended(cm: CustomModel) -> bool:
    """After a failure the source may have been mended in place: look there again."""
    last = cm.status.import_
    failed_import = last is not None and last.state == ImportState.FAILED
    return failed_import or cm.status.phase == CustomModelPhase.FAILED
