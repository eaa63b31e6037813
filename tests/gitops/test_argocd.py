"""A real Argo CD syncs both kinds from Git: what it shows, and that it never disagrees with us."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tests.support import argocd
from tests.support.argocd import Repository, Transitions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gitops.conftest import Platform
    from tests.support.cluster.audit import AuditEntry

CHAT_BASE = "Qwen/Qwen2.5-0.5B-Instruct"
IDLE_SECONDS = 12.0


def model(repo: str, wave: str = "0", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "together.ai/v1alpha1",
        "kind": "CustomModel",
        "metadata": {"name": "chat", "annotations": {"argocd.argoproj.io/sync-wave": wave}},
        "spec": {"baseModel": CHAT_BASE, "source": {"huggingFace": {"repo": repo}}, **spec},
    }


def deployment(replicas: int, wave: str = "1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "together.ai/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "serve", "annotations": {"argocd.argoproj.io/sync-wave": wave}},
        "spec": {"modelRef": {"name": "chat"}, "replicas": replicas, **spec},
    }


def test_the_whole_life_of_a_model_in_git(platform: Platform, tmp_path: Path) -> None:
    cluster, simulators = platform.cluster, platform.simulators
    git_folder = tmp_path / "team"
    git_folder.mkdir()
    repository = Repository(git_folder)
    with cluster.new_namespace("gitops") as namespace:
        team = Team(platform, namespace, repository)
        repository.commit("Serve a chat model", model=model("tiny/chat"), serve=deployment(1))
        app = argocd.application("team", git_folder, namespace)
        cluster.kubectl("apply", "-f", "-", input=json.dumps(app))
        seen = Transitions(cluster, "team")
        # The deployment is in the wave after the model's, which has to be Ready first.
        seen.healthy("Progressing")
        seen.synced(repository.head)
        seen.healthy("Healthy")

        # Idle: nobody writes, and Argo CD has nothing to say.
        before, writes = team.versions(), len(team.writes())
        deadline = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < deadline:
            seen.look()
            time.sleep(0.5)
        assert team.versions() == before, "written while idle"
        idle = team.writes()[writes:]
        assert idle == []

        # An edit by hand is healed.
        seen.provoke()
        cluster.kubectl("-n", namespace, "scale", "modeldeployment/serve", "--replicas=3")
        team.wait(seen, lambda: team.replicas() == 1, "self-heal sets the replicas back")
        seen.synced(repository.head)
        seen.healthy("Healthy")

        # A change in Git is rolled out, and a revert of the commit rolls it back.
        team.change(seen, lambda: repository.commit("Two replicas", serve=deployment(2)))
        team.wait(seen, lambda: team.ready_replicas() == 2, "two replicas are ready")
        team.change(seen, repository.revert)
        team.wait(seen, lambda: team.ready_replicas() == 1, "the revert is rolled out")

        # What is wrong is Degraded, what is suspended is Suspended.
        team.change(
            seen, lambda: repository.commit("Wrong", model=model("tiny/nowhere")), wait=False
        )
        status = seen.healthy("Degraded")
        degraded = health_of(status, "CustomModel")
        assert degraded["status"] == "Degraded"
        assert "nowhere" in degraded["message"]
        team.change(seen, repository.revert)
        seen.healthy("Healthy")
        suspended = deployment(2, suspend=True)
        team.change(seen, lambda: repository.commit("Suspend", serve=suspended))
        seen.healthy("Suspended")
        team.change(seen, repository.revert)
        seen.healthy("Healthy")

        # What is taken out of Git goes, in the reverse order of the waves.
        team.change(seen, lambda: repository.commit("Nothing", model=None, serve=None), wait=False)
        gone = team.watch_them_go(seen)
        seen.synced(repository.head)
        left = {name: simulators.state()[name] for name in ("models", "endpoints", "deployments")}
        assert not any(left.values()), left
        assert gone == ["ModelDeployment", "CustomModel"]
        assert team.deletes() == ["modeldeployments", "custommodels"]
        cluster.kubectl("-n", "argocd", "delete", "application.argoproj.io/team", "--wait=false")
        team.wait(seen, lambda: seen.look() is None, "the application is gone")

    told = " → ".join(f"{at:.1f}s {sync or '-'}/{health or '-'}" for at, sync, health in seen.seen)
    platform.facts.update(
        {
            "transitions": told,
            "OutOfSync after the first sync": f"{len(seen.unprovoked)} that nobody had caused",
            "status writes while idle": f"{len(idle)} in {IDLE_SECONDS:.0f} s",
            "prune order": " before ".join(gone),
            "Git revert": "rolled two replicas back to one, a wrong source and a suspension away",
            "suspend": "Suspended",
            "stalled": f"Degraded: {degraded['message']}",
        }
    )
    assert seen.unprovoked == []


class Team:
    """What a team sees of its objects, and its way to change them."""

    def __init__(self, platform: Platform, namespace: str, repository: Repository) -> None:
        self._platform = platform
        self._namespace = namespace
        self._repository = repository

    def change(self, seen: Transitions, commit: Callable[[], None], *, wait: bool = True) -> None:
        """Commit something and wait until it is synced."""
        seen.provoke()
        commit()
        if wait:
            seen.synced(self._repository.head)

    @staticmethod
    def wait(seen: Transitions, holds: Callable[[], bool], what: str) -> None:
        """Wait for something, and keep an eye on the Application."""
        deadline = time.monotonic() + argocd.PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"still not: {what}; {seen.seen}"
            seen.look()
            time.sleep(0.3)

    def objects(self) -> list[dict[str, Any]]:
        text = self._platform.cluster.kubectl(
            "-n", self._namespace, "get", "custommodels,modeldeployments", "-o", "json"
        )
        items: list[dict[str, Any]] = json.loads(text)["items"]
        return items

    def versions(self) -> list[str]:
        return [item["metadata"]["resourceVersion"] for item in self.objects()]

    def writes(self) -> list[str]:
        """Every write to one of the team's objects, by whomever."""
        return [
            f"{e.user} {e.verb} {e.resource}/{e.subresource}"
            for e in self._of_ours()
            if e.verb in {"create", "update", "patch", "delete"}
        ]

    def deletes(self) -> list[str]:
        """Resources that Argo CD asked to be deleted, in this order."""
        asked = (e.resource for e in self._of_ours() if e.verb == "delete" and e.code < 300)
        return list(dict.fromkeys(asked))

    def _of_ours(self) -> list[AuditEntry]:
        return [
            e
            for e in self._platform.cluster.audit()
            if e.namespace == self._namespace and e.group == "together.ai"
        ]

    def watch_them_go(self, seen: Transitions) -> list[str]:
        """The kinds in the order in which their objects went."""
        there, gone = {"CustomModel", "ModelDeployment"}, []

        def look() -> bool:
            kinds = {o["kind"] for o in self.objects()}
            gone.extend(sorted(there - kinds))
            there.intersection_update(kinds)
            return not there

        self.wait(seen, look, "both objects are gone")
        return gone

    def replicas(self) -> int:
        return int(self._serve()["spec"]["replicas"])

    def ready_replicas(self) -> int:
        """-1 while the deployment is not Ready."""
        status = self._serve().get("status", {})
        ready = {c["type"]: c["status"] for c in status.get("conditions", [])}.get("Ready")
        return int(status.get("readyReplicas", -1)) if ready == "True" else -1

    def _serve(self) -> dict[str, Any]:
        return next(o for o in self.objects() if o["kind"] == "ModelDeployment")


def health_of(status: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(r for r in status["resources"] if r["kind"] == kind)["health"]
    return found
