"""The cluster in a rehearsal: objects in memory, Jobs that succeed at once, Secrets as they are."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from together_operator.api.v1alpha1 import ArchiveStatus, S3Location
from together_operator.domain.archive_job import JobFacts, JobState
from together_operator.domain.deployment.observed import PublishedMap
from together_operator.domain.source import SourceFacts
from together_operator.engine.store import Body, Key
from together_operator.ports import ArchiveStore, Credentials, Hub
from together_operator.rehearsal.steps import Recorder

NOT_READ = "https://not-read.invalid/"
"""Value of a Secret that was not read: a URL, so that it passes for one."""

_UNSEEN = SourceFacts(revision="not looked at")


class RehearsedObjects:
    """`Objects` of one kind, in memory."""

    def __init__(self, bodies: Mapping[Key, Body]) -> None:
        self.bodies: dict[Key, dict[str, Any]] = {
            key: copy.deepcopy(dict(body)) for key, body in bodies.items()
        }
        self.writes = 0
        """How often anything was changed."""

    async def get(self, key: Key) -> Body | None:
        """A body, or None."""
        return copy.deepcopy(self.bodies.get(key))

    async def list(self) -> Sequence[Body]:
        """All bodies."""
        return [copy.deepcopy(body) for body in self.bodies.values()]

    async def versions(self) -> Mapping[Key, int]:
        """None: what the cluster has beside these is not rehearsed."""
        return {}

    async def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """Keep the status."""
        return self._changed(body, {"status": dict(status)})

    async def set_finalizers(self, body: Body, finalizers: Sequence[str]) -> Body | None:
        """Keep the finalizers."""
        metadata = {**body["metadata"], "finalizers": list(finalizers)}
        return self._changed(body, {"metadata": metadata})

    async def delete(self, key: Key, uid: str) -> None:
        """Begin to delete the object with that UID."""
        body = self.bodies.get(key)
        if body is not None and body["metadata"].get("uid") == uid:
            metadata = {**body["metadata"], "deletionTimestamp": "1970-01-01T00:00:00Z"}
            self._changed(body, {"metadata": metadata})

    def _changed(self, body: Body, change: Mapping[str, Any]) -> Body:
        key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
        after = {**self.bodies[key], **copy.deepcopy(dict(change))}
        version = int(self.bodies[key]["metadata"]["resourceVersion"]) + 1
        after["metadata"] = {**after["metadata"], "resourceVersion": str(version)}
        self.bodies[key] = after
        self.writes += 1
        return copy.deepcopy(after)


class RehearsedJobs:
    """`Jobs` that have packed everything as soon as they are created."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._jobs: dict[tuple[str, str], JobFacts] = {}

    async def find(self, namespace: str, owner_uid: str, name: str) -> JobFacts | None:
        """A Job that was created here."""
        del owner_uid
        return self._jobs.get((namespace, name))

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Remember it; it has succeeded already."""
        metadata = manifest["metadata"]
        command = manifest["spec"]["template"]["spec"]["containers"][0]["command"]
        source, destination = command[2:4]
        archive = ArchiveStatus(uri=f"{destination}archive")
        facts = JobFacts(metadata["name"], JobState.SUCCEEDED, result=archive)
        self._jobs[metadata["namespace"], metadata["name"]] = facts
        self._recorder.add("archive", f"{source} into {destination}, by a Job")

    async def delete(self, namespace: str, name: str) -> None:
        """Forget it."""
        self._jobs.pop((namespace, name), None)


class RehearsedConfigMaps:
    """`ConfigMaps`, in memory: what is written is there."""

    def __init__(self) -> None:
        self._written: dict[tuple[str, str], Mapping[str, str]] = {}

    async def read(self, namespace: str, name: str, owner_uid: str) -> PublishedMap | None:
        """What was written before, which is the asker's own."""
        del owner_uid
        data = self._written.get((namespace, name))
        return PublishedMap(data, is_ours=True) if data is not None else None

    async def write(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Keep the data."""
        self._written[namespace, manifest["metadata"]["name"]] = manifest["data"]

    async def delete(self, namespace: str, name: str, owner_uid: str) -> None:
        """Forget it."""
        del owner_uid
        self._written.pop((namespace, name), None)


class UnreadSecrets:
    """`Secrets` for want of a cluster: each has whichever key is asked for."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()

    async def read(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        """Something that is no secret."""
        self.wanted.add(f"{namespace}/{name}")
        return _Anything()


class _Anything(dict[str, SecretStr]):
    """A Secret's keys and values, before anybody has read them."""

    def get(self, key: str, default: Any = None) -> Any:
        del key, default
        return SecretStr(NOT_READ)


def is_unread(credentials: Credentials) -> bool:
    """True for what `UnreadSecrets` gave."""
    return isinstance(credentials, _Anything)


class RehearsedArchives:
    """`ArchiveStore` that looks only with credentials that are known, and signs nothing."""

    def __init__(self, real: ArchiveStore) -> None:
        self._real = real

    async def head(self, location: S3Location, uri: str, credentials: Credentials) -> SourceFacts:
        """The real one's, where it can be looked at."""
        if is_unread(credentials):
            return _UNSEEN
        return await self._real.head(location, uri, credentials)

    async def list_prefix(
        self, location: S3Location, uri: str, credentials: Credentials
    ) -> SourceFacts:
        """The real one's, where it can be looked at."""
        if is_unread(credentials):
            return _UNSEEN
        return await self._real.list_prefix(location, uri, credentials)

    async def delete_archives(
        self,
        location: S3Location,
        folder: str,
        credentials: Credentials,
        *,
        keep_whole: bool = False,
    ) -> None:
        """Nothing: no archive was written."""

    async def presign(
        self, location: S3Location, uri: str, credentials: Credentials, seconds: int
    ) -> SecretStr:
        """The place without a signature."""
        del location, credentials, seconds
        return SecretStr(uri)


class RehearsedHub:
    """`Hub` that looks only with a token that is known."""

    def __init__(self, real: Hub) -> None:
        self._real = real

    async def look(
        self, repo: str, token: SecretStr | None, revision: str | None = None
    ) -> SourceFacts:
        """The real one's, where it can be looked at."""
        if token is not None and token.get_secret_value() == NOT_READ:
            return _UNSEEN
        return await self._real.look(repo, token, revision)
