"""The chart's tools, built from Go modules like the cluster's binaries."""

from __future__ import annotations

from pathlib import Path

from tests.support.go_module import GoModule

FOLDER = Path(__file__).parents[1] / "tools"
CHART = GoModule(
    FOLDER,
    "tools",
    {
        "helm": "helm.sh/helm/v4/cmd/helm",
        "helm-docs": "github.com/norwoodj/helm-docs/cmd/helm-docs",
        "helm-unittest": "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
        "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform",
    },
    "about 4 minutes",
    {},
)
# Of its own: it needs versions of Kubernetes' types that the others no longer take.
SCORE = GoModule(
    FOLDER / "kube-score",
    "tools",
    {"kube-score": "github.com/zegl/kube-score/cmd/kube-score"},
    "half a minute",
    {},
)


def tool(name: str) -> str:
    """The path of a tool, built when it isn't there.

    Raises:
        BuildError: it can't be built.
    """
    module = SCORE if name in SCORE.packages else CHART
    return str(module.find(tuple(module.packages))[name])
