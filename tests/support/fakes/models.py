"""Models and imports of the faked platform."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.support.fakes import catalog
from tests.support.fakes.ground import Ground
from tests.support.fakes.versions import Versions
from together_operator.domain import errors
from together_operator.domain.together import (
    DeploymentState,
    Import,
    ImportState,
    Model,
    ModelChange,
    NewModel,
    Revision,
)

_FINAL = frozenset({ImportState.SUCCEEDED, ImportState.FAILED})
HALTED = frozenset({DeploymentState.STOPPED, DeploymentState.FAILED})


@dataclass
class _Fetch:
    """An import's work: what is fetched, and with which token."""

    url: str
    token: str | None


@dataclass
class Models(Ground):
    """See the module."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fetches: dict[str, _Fetch] = {}

    # Models.

    def create_model(self, new: NewModel, actor: str | None = None) -> Model:
        """Register a model without files."""
        self.advance()
        name = self._bare(new.name)
        if new.base_model_id not in catalog.BASES:
            raise errors.Rejected(f"baseModelId: {new.base_model_id!r} is not supported")
        if any(m.bare_name == name for m in self.models.at(self.clock())):
            raise errors.Conflict(f"model with name '{self.slug}/{name}' already exists")
        now = self.clock()
        model = Model(
            id=self._id("ml_"),
            name=f"{self.slug}/{name}",
            project_id=self.project_id,
            base_model_id=new.base_model_id,
            type="",
            description=new.description,
            created_at=self._time(now),
        )
        self.models.add(model.id, Versions(now, model, actor))
        self.revisions[model.id] = []
        self._tell("create", "model", model.id, actor, actor)
        return model

    def update_model(self, model_id: str, change: ModelChange, actor: str | None = None) -> Model:
        """Write the fields that are given."""
        self.advance()
        row, model = self._found(self.models, "model", model_id)
        after = replace(
            model,
            description=model.description if change.description is None else change.description,
            visibility=change.visibility or model.visibility,
        )
        row.put(self.clock(), after)
        self._tell("update", "model", model_id, row.owner, actor)
        return after

    def delete_model(self, model_id: str, actor: str | None = None) -> None:
        """Delete a model that no active deployment uses, and end its imports."""
        self.advance()
        row, _ = self._found(self.models, "model", model_id)
        active = [
            id_
            for id_, other in self.deployments.live()
            if other.current is not None
            and f"/models/{model_id}" in other.current.model
            and other.current.state not in HALTED
        ]
        if active:
            raise errors.Conflict(f"model {model_id} is in use by {len(active)} deployment(s)")
        now = self.clock()
        row.put(now, None)
        for _, job in self.imports.live():
            current = job.current
            if current is not None and current.model_id == model_id and current.state not in _FINAL:
                self._end(job, now, ImportState.FAILED, "the model was deleted")
        self._tell("delete", "model", model_id, row.owner, actor)

    # Imports.

    def start_import(
        self, model_id: str, url: str, token: str | None, actor: str | None = None
    ) -> Import:
        """Accept an import."""
        self.advance()
        self._found(self.models, "model", model_id)
        if not url.startswith(("https://", "http://")):
            raise errors.Rejected("remoteUrl: must be a repository or a presigned URL")
        now = self.clock()
        job = Import(
            id=self._id("job_"),
            model_id=model_id,
            state=ImportState.PENDING,
            message="Waiting for a worker",
            max_restarts=3,
            created_at=self._time(now),
        )
        self.imports.add(job.id, Versions(now, job, actor))
        self._fetches[job.id] = _Fetch(url, token)
        self._later(now + self.timing.queue, lambda due: self._run(job.id, due))
        self._tell("create", "import", job.id, actor, actor)
        return job

    def _run(self, job_id: str, due: float) -> None:
        row, job = self._found(self.imports, "remote upload", job_id)
        if job.state in _FINAL:
            return
        restarts = job.restarts + (job.state is ImportState.ERROR)
        running = replace(job, state=ImportState.RUNNING, message="Downloading", restarts=restarts)
        row.put(due, running)
        self._later(due + self.timing.fetch, lambda later: self._finish(job_id, later))

    def _finish(self, job_id: str, due: float) -> None:
        row, job = self._found(self.imports, "remote upload", job_id)
        if job.state in _FINAL:
            return
        words = self.import_failures.pop(0) if self.import_failures else ""
        if words == "restart":
            self._restart(row, job, due, "lost a worker")
            return
        fetch = self._fetches[job_id]
        try:
            self.fetch(fetch.url, fetch.token)
        except errors.Unavailable as error:
            self._restart(row, job, due, error.message)
            return
        except errors.RemoteError as error:
            words = words or error.message
        if words:
            self._end(row, due, ImportState.FAILED, words)
            return
        self._end(row, due, ImportState.SUCCEEDED, "Imported")
        made = Revision(self._id("rv_"), "PENDING", created_at=self._time(due))
        self.revisions[job.model_id].append((due, made))
        self._later(due + self.timing.validate, lambda later: self._validate(job, made, later))

    def _restart(self, row: Versions[Import], job: Import, due: float, words: str) -> None:
        """What a repetition may help is repeated by the platform, a bounded number of times."""
        if job.restarts >= job.max_restarts:
            last = f"{words}; gave up after {job.restarts} restarts"
            self._end(row, due, ImportState.FAILED, last)
            return
        self._end(row, due, ImportState.ERROR, words)
        self._later(due + self.timing.restart, lambda later: self._run(job.id, later))

    def _validate(self, job: Import, made: Revision, due: float) -> None:
        self.revisions[job.model_id].append((due, replace(made, validation="SUCCESS")))
        model = self.models.row(job.model_id)
        if model is not None and model.current is not None:
            model.put(due, replace(model.current, type="model"))

    def _end(self, row: Versions[Import], due: float, state: ImportState, words: str) -> None:
        if row.current is not None:
            row.put(due, replace(row.current, state=state, message=words))

    def source_of(self, import_id: str) -> str:
        """What an import fetches, without a signature."""
        return self._fetches[import_id].url.partition("?")[0]

    def revisions_at(self, model_id: str, moment: float) -> list[Revision]:
        """Revisions of a model, newest first."""
        self.advance()
        self._found(self.models, "model", model_id)
        latest = {r.id: r for since, r in self.revisions[model_id] if since <= moment}
        return list(latest.values())[::-1]
