"""What must hold, whatever fails: judged at each commit at Together and in Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tests.support.conditions import condition
from tests.support.crashes import is_crash
from tests.support.fakes.api_server import INITIAL_STATUS, Change
from tests.support.fakes.ground import Write
from together_operator.api.v1alpha1 import CustomModel
from together_operator.domain.custom_model.observed import wanted_description
from together_operator.domain.plan import FINALIZER, RELEASE_ANNOTATION
from together_operator.domain.together import DeploymentState, ImportState
from together_operator.engine.store import Body

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

_ENDED = frozenset({ImportState.SUCCEEDED, ImportState.FAILED, ImportState.ERROR})
_INTENTS = {
    "model": "Model",
    "import": "Import",
    "endpoint": "Endpoint",
    "deployment": "Deployment",
}


ARCHIVES = "s3://archives/"
"""Where the operator's own archives are; what lies elsewhere is the users'."""


class Judge:
    """Collects violations of the invariants.

    Args:
        strict: judge also the protocol's own rules, besides their consequences.
    """

    def __init__(self, sim: Simulation, *, strict: bool) -> None:
        self._sim = sim
        self._strict = strict
        self.violations: list[str] = []
        self.adopted: set[str] = set()
        """Names at Together of what objects were allowed to take over."""

        self.at_once = 1
        """Deployments of one object that may cost at the same time."""

        self._fetched: dict[str, tuple[str, str, str]] = {}
        """By import: the model, the source, and the source's content at the time."""

        self.unguarded: set[str] = set()
        """UIDs of objects whose finalizer somebody took off."""

        self.forgiven: set[str] = set()
        """Names at Together of what may be left behind, for nothing tells any more whose it is."""

        self.archives_may_stay = False
        """Whether archives may be left in the bucket."""

        self._let_go: set[str] = set()
        """UIDs of objects that were to leave what they had at Together."""

    def lose(self, uid: str) -> None:
        """An object is lost with its cluster; what it had at Together stays there."""
        self._let_go.add(uid)

    def keep(self, uid: str) -> None:
        """An object has its finalizer again: from now on nothing of it may be left."""
        self._let_go.discard(uid)

    # Kubernetes.

    def on_change(self, change: Change) -> None:
        """A commit at the API server."""
        if not self._sim.people_act:
            self._judge_release(change)
            if change.after is not None and change.before is not None:
                self._judge_status(change.before, change.after)

    def _judge_status(self, before: Body, after: Body) -> None:
        name = f"{after['kind']} {after['metadata']['name']}"
        if before == after:
            self._violated(f"{name}: written without a change")
            return
        old, new = before.get("status", {}), after.get("status", {})
        if old == new or new == INITIAL_STATUS:
            return
        generation = after["metadata"]["generation"]
        if not old.get("observedGeneration", -1) <= new["observedGeneration"] <= generation:
            self._violated(f"{name}: observedGeneration {new['observedGeneration']}")
        if not condition(after, "Ready"):
            self._violated(f"{name}: a status without Ready")
        if _is_true(after, "Reconciling") and _is_true(after, "Stalled"):
            self._violated(f"{name}: both Reconciling and Stalled")
        if any(c["observedGeneration"] > generation for c in new.get("conditions", ())):
            self._violated(f"{name}: a condition of a generation to come")
        self._judge_secrets(name, json.dumps(new))

    def _judge_release(self, change: Change) -> None:
        """Our finalizer went: nothing of the object may be left."""
        before, after = change.before, change.after
        if before is None or FINALIZER not in before["metadata"].get("finalizers", ()):
            return
        if after is not None and FINALIZER in after["metadata"].get("finalizers", ()):
            return
        metadata = before["metadata"]
        released = (metadata.get("annotations") or {}).get(RELEASE_ANNOTATION) == "true"
        if released or before["spec"].get("deletionPolicy") == "Retain":
            self._let_go.add(metadata["uid"])
            return
        left = self._left(metadata["uid"])
        if left:
            self._violated(f"{metadata['name']}: finalizer released while {', '.join(left)}")

    # Together.

    def on_write(self, write: Write) -> None:
        """A commit at Together."""
        what = f"{write.verb} of {write.kind} {write.id}"
        if write.actor is None:
            return  # somebody else's, by other means
        if write.verb != "create" and write.owner != write.actor:
            row = self._row(write)
            if row not in self.adopted:
                self._violated(f"{what} ({row}) by {write.actor}, but it is {write.owner}'s")
        self._judge_numbers(write.owner)
        if write.verb == "create" and write.kind == "import":
            self._judge_repetition(write, what)
        if write.verb == "create" and self._strict:
            self._judge_announced(write, what)

    def _judge_repetition(self, write: Write, what: str) -> None:
        """What was imported once is not imported again."""
        platform, stores = self._sim.platform, self._sim.stores
        row = platform.imports.row(write.id)
        if row is None or row.current is None:
            return
        source = platform.source_of(write.id)
        fetched = (row.current.model_id, source, stores.content_of(source))
        for id_, earlier in self._fetched.items():
            other = platform.imports.row(id_)
            job = other.current if other is not None else None
            if earlier == fetched and job is not None and job.state is ImportState.SUCCEEDED:
                self._violated(f"{what}: {id_} has imported the same already")
        self._fetched[write.id] = fetched

    def _row(self, write: Write) -> str:
        platform = self._sim.platform
        tables: Mapping[str, Any] = {
            "model": platform.models,
            "endpoint": platform.endpoints,
            "deployment": platform.deployments,
        }
        row = tables[write.kind].row(write.id)
        versions = [v for _, v in row._versions if v is not None]
        return str(versions[-1].name.rpartition("/")[2])

    def _judge_announced(self, write: Write, what: str) -> None:
        body = self._object(write.actor or "")
        if body is None and write.actor in self._let_go:
            return
        if body is None:
            self._violated(f"{what}: its object is gone")
            return
        unguarded = write.actor in self.unguarded
        if FINALIZER not in body["metadata"].get("finalizers", ()) and not unguarded:
            self._violated(f"{what}: its object has no finalizer")
        intent = body.get("status", {}).get("intent") or {}
        if intent.get("kind") != _INTENTS[write.kind]:
            self._violated(f"{what}: not announced")

    def _judge_numbers(self, owner: str | None) -> None:
        if owner is None:
            return
        platform = self._sim.platform
        models = [i for i, row in platform.models.live() if row.owner == owner]
        endpoints = [i for i, row in platform.endpoints.live() if row.owner == owner]
        imports = [
            i
            for i, row in platform.imports.live()
            if row.owner == owner and row.current is not None and row.current.state not in _ENDED
        ]
        paid = platform.paid(owner)
        for found, most in ((models, 1), (endpoints, 1), (imports, 1), (paid, self.at_once)):
            if len(found) > most:
                self._violated(f"{owner} has {', '.join(found)} at the same time")

    # At the end.

    def on_end(self) -> None:
        """Nothing may be left without an owner, no secret may show, and no reconcile crash."""
        sim = self._sim
        sim.platform.advance()
        for uid in {row.owner for table in self._tables() for _, row in table.live()}:
            if uid is not None and self._object(uid) is None:
                left = self._left(uid) if uid not in self._let_go else []
                if left:
                    self._violated(f"left without an owner: {', '.join(left)}")
        sim.jobs.sweep()
        for job in sim.jobs.jobs.values():
            if self._object(job.owner) is None and job.deleted is None:
                self._violated(f"left without an owner: Job {job.name}")
        archives = [uri for uri in sim.stores.objects if uri.startswith(ARCHIVES)]
        if archives and not self.archives_may_stay:
            self._violated(f"left without an owner: {', '.join(archives)}")
        for event in sim.events:
            self._judge_secrets("an event", event.message)
        for line in sim.logs:
            self._judge_secrets("a log line", line)
            if is_crash(line):
                self._violated(line[:1000])

    def check_truth(self, kind: str, name: str) -> None:
        """An object says that it is ready: it has to be, at Together."""
        sim = self._sim
        sim.platform.advance()
        body = sim.get(kind, name)
        assert body is not None
        status = body["status"]
        if status["observedGeneration"] != body["metadata"]["generation"]:
            self._violated(f"{name}: ready, and observes generation {status['observedGeneration']}")
        problem = (
            self._untrue_model(body, status)
            if kind == "CustomModel"
            else self._untrue_deployment(body, status)
        )
        if problem:
            self._violated(f"{kind} {name} says that it is ready, but {problem}")

    def _untrue_model(self, body: Body, status: Mapping[str, Any]) -> str:
        platform = self._sim.platform
        row = platform.models.row(status["model"]["id"])
        if row is None or row.current is None:
            return "its model does not exist"
        cm = CustomModel.model_validate(body)
        wanted = {wanted_description(cm, cluster) for cluster in self._sim.servers}
        if None not in wanted and row.current.description not in wanted:
            return f"the description is {row.current.description!r}"
        revisions = platform.revisions_at(row.current.id, self._sim.loop.time())
        if not revisions or revisions[0].id != status["model"].get("revision"):
            return f"the revisions are {revisions}"
        return "" if revisions[0].validation == "SUCCESS" else f"validation {revisions[0]}"

    def _untrue_deployment(self, body: Body, status: Mapping[str, Any]) -> str:
        platform, replicas = self._sim.platform, body["spec"].get("replicas", 1)
        known = (status.get("deployment") or {}).get("id")
        row = platform.deployments.row(known) if known else None
        if replicas == 0:
            idle = row is None or row.current is None or row.current.max_replicas == 0
            return "" if idle else "its deployment is not stopped"
        if row is None or row.current is None:
            return "its deployment does not exist"
        found = row.current
        if found.state is not DeploymentState.READY or found.ready_replicas != replicas:
            return f"its deployment is {found.state} with {found.ready_replicas}"
        endpoint = platform.endpoint_at(found.endpoint_id, self._sim.loop.time())
        if all(share.deployment_id != found.id for share in endpoint.traffic):
            return "it has no traffic"
        return "" if status["readyReplicas"] == replicas else "the number of replicas is wrong"

    # Below: looking.

    def _violated(self, what: str) -> None:
        self.violations.append(f"{self._sim.loop.time():8.2f} s: {what}")

    def _judge_secrets(self, where: str, text: str) -> None:
        for secret in self._sim.secrets.values:
            if secret and secret in text:
                self._violated(f"a secret shows in {where}")
        if "X-Amz-Signature" in text:
            self._violated(f"a signed URL shows in {where}")

    def _tables(self) -> Iterable[Any]:
        platform = self._sim.platform
        return platform.models, platform.endpoints, platform.deployments

    def _left(self, uid: str) -> list[str]:
        """What of an object is at Together, each with its name last."""
        return [
            f"{type(row.current).__name__.lower()} {row.current.name.rpartition('/')[2]}"
            for table in self._tables()
            for _, row in table.live()
            if row.owner == uid and row.current.name.rpartition("/")[2] not in self.forgiven
        ]

    def _object(self, uid: str) -> Body | None:
        found = (server.by_uid(uid) for server in self._sim.servers.values())
        return next((body for body in found if body is not None), None)


def _is_true(body: Body, type_: str) -> bool:
    return condition(body, type_).get("status") == "True"
