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

from tests.integration.operator.manifests import custom_model, hugging_face, model_deployment
from tests.integration.operator.mistakes import MISTAKES, Mistake
from tests.integration.operator.surroundings import CHAT, OTHER_CHAT, running
from tests.integration.operator.workspace import DEPLOYMENT, MODEL, Workspace
from tests.support.cluster import ThrowawayCluster

PAGE = Path(__file__).parents[2] / "docs" / "screens.md"
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
            if not self._header:
                self._header = line.rstrip()
                start = line.index("STATUS")
            elif state := line[start:].split(" ", 1)[0]:
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
        workspace.apply(custom_model("chat", hugging_face(CHAT)))
        with (
            watching(workspace, "custommodels") as models,
            watching(workspace, "modeldeployments") as deployments,
        ):
            live(workspace)
            for mistake in MISTAKES:
                go_wrong(workspace, mistake)
    screens = (f"\n## {s.resource}\n\n```text\n{s.text()}\n```\n" for s in (models, deployments))
    PAGE.write_text("".join((_HEAD, *screens)))
    print(PAGE)


def live(workspace: Workspace) -> None:
    """The good life: packed and imported, served, scaled, changed, stopped and deleted."""
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
    workspace.patch(DEPLOYMENT, "chat", suspend=True)
    workspace.shows(DEPLOYMENT, "chat", "Suspended")
    workspace.patch(DEPLOYMENT, "chat", suspend=False, maxHourlyCost="0.01", replicas=2)
    workspace.shows(DEPLOYMENT, "chat", "OverBudget")
    workspace.delete("custommodel/chat")
    workspace.shows(MODEL, "chat", "InUse")
    workspace.delete("modeldeployment/chat")
    workspace.gone(DEPLOYMENT, "chat")
    workspace.gone(MODEL, "chat")


def go_wrong(workspace: Workspace, mistake: Mistake) -> None:
    """One mistake, until it shows and is mended."""
    workspace.apply(*mistake.make(workspace))
    workspace.shows(mistake.kind, mistake.name, mistake.reason, *mistake.words)
    mistake.mend(workspace)
    workspace.ready(mistake.kind, mistake.name)


if __name__ == "__main__":
    main()
