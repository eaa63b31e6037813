"""`python -m tests.screens`: writes docs/screens.md, what `kubectl get` shows in each state.

The lines are those of a real kubectl on a real API server while models and deployments live, are
changed, fail in every way that the integration tests know, and are deleted.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.operator.mistakes import MISTAKES
from tests.integration.operator.surroundings import CHAT, OTHER_CHAT, running
from tests.integration.operator.workspace import DEPLOYMENT, MODEL, Workspace
from tests.support.cluster import ThrowawayCluster
from tests.support.manifests import custom_model, hugging_face, model_deployment

PAGE = Path(__file__).parents[2] / "docs" / "screens.md"
WIDE = "a-name-of-some-length"
_HEAD = """# What kubectl shows

<!-- Written by `make screens`: edit tests/screens instead. -->

One line for each state that was seen while models and deployments lived, were changed, went wrong
and were deleted, as `kubectl get` printed it. [Conditions and reasons](conditions.md) says what to
do about each.
"""


class Screen:
    """What one `kubectl get --watch` prints; the first line of each state is kept."""

    def __init__(self, resource: str, process: subprocess.Popen[str]) -> None:
        self.resource = resource
        self._process = process
        self._header = ""
        self._lines: dict[str, str] = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._process.terminate()
        self._thread.join()

    def text(self) -> str:
        """Header and lines, by state."""
        return "\n".join([self._header, *(self._lines[state] for state in sorted(self._lines))])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            match line.split():
                case ["NAME", *_]:
                    self._header = line.rstrip()
                case [_, "True" | "False" | "Unknown", state, *_]:
                    self._lines.setdefault(state, line.rstrip())


@contextmanager
def watching(workspace: Workspace, resource: str) -> Iterator[Screen]:
    """Look at a resource meanwhile."""
    cluster = workspace.surroundings.cluster
    process = cluster.kubectl_process(
        f"--namespace={workspace.namespace}", "get", resource, "--watch"
    )
    screen = Screen(resource, process)
    try:
        yield screen
    finally:
        screen.stop()


def main() -> None:
    """Live through everything, and write the page."""
    with (
        tempfile.TemporaryDirectory(prefix="together-screens-") as folder,
        ThrowawayCluster.start("screens") as cluster,
        running(cluster, Path(folder)) as surroundings,
        cluster.new_namespace() as namespace,
    ):
        workspace = Workspace(surroundings, namespace)
        # kubectl makes its columns as wide as what it has printed: the widest is there first.
        wide = [custom_model(WIDE, hugging_face(CHAT)), model_deployment(WIDE, WIDE)]
        workspace.apply(*wide)
        workspace.all_ready(*wide)
        with (
            watching(workspace, "custommodels") as models,
            watching(workspace, "modeldeployments") as deployments,
        ):
            live(workspace)
            go_wrong(workspace)
    screens = (f"\n## {s.resource}\n\n```text\n{s.text()}\n```\n" for s in (models, deployments))
    PAGE.write_text("".join((_HEAD, *screens)))
    print(PAGE)


def live(workspace: Workspace) -> None:
    """The good life: packed and imported, served, scaled, changed, stopped and deleted."""
    workspace.apply(custom_model("chat", hugging_face(CHAT)))
    packed = custom_model("packed", **workspace.from_prefix("shared/chat/"))
    serving = model_deployment("chat", "chat")
    workspace.apply(workspace.s3_secret(), packed, serving)
    workspace.all_ready(packed, serving)
    workspace.patch(MODEL, "chat", source=hugging_face(OTHER_CHAT))
    workspace.ready(MODEL, "chat")
    workspace.ready(DEPLOYMENT, "chat")
    workspace.scale("chat", 0)
    workspace.shows(DEPLOYMENT, "chat", "Stopped")
    workspace.scale("chat", 1)
    workspace.ready(DEPLOYMENT, "chat")
    workspace.apply(
        model_deployment("paused", "chat", suspend=True),
        model_deployment("dear", "chat", maxHourlyCost="0.01"),
    )
    workspace.shows(DEPLOYMENT, "paused", "Suspended")
    workspace.shows(DEPLOYMENT, "dear", "OverBudget")
    workspace.delete("modeldeployment/paused", "modeldeployment/dear")
    workspace.delete("custommodel/chat")
    workspace.shows(MODEL, "chat", "InUse")
    workspace.delete("modeldeployment/chat")
    workspace.gone(DEPLOYMENT, "chat")
    workspace.gone(MODEL, "chat")


def go_wrong(workspace: Workspace) -> None:
    """Every mistake, until it shows, and then until it is mended."""
    for mistake in MISTAKES:
        workspace.apply(*mistake.make(workspace))
    for mistake in MISTAKES:
        workspace.shows(mistake.kind, mistake.name, mistake.reason, *mistake.words)
    for mistake in MISTAKES:
        mistake.mend(workspace)
    for mistake in MISTAKES:
        workspace.ready(mistake.kind, mistake.name)


if __name__ == "__main__":
    main()
