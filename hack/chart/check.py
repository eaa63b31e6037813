"""Checks of chart and Dockerfile that need no cluster."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from hack.chart import schemas
from hack.chart.generate import CHART, ROOT, rendered, scratch
from hack.chart.tools import tool
from tests.support.cluster import binaries

NO_SCHEMA = ("PodMonitor", "PrometheusRule", "ServiceMonitor")
"""Kinds of the Prometheus operator: Kubernetes' own document doesn't have them."""

# Each with the reason why this chart is right all the same.
KUBE_SCORE_IGNORED = (
    "pod-networkpolicy",  # off by default: S3 may listen on any port; the chart's README says so
    "container-ephemeral-storage-request-and-limit",  # writes only to an emptyDir with a limit
    "container-image-pull-policy",  # the image is named by version or digest
)


def values_files() -> list[Path | None]:
    """The default values, and every file that turns on more."""
    return [None, *sorted((CHART / "ci").glob("*-values.yaml"))]


def problems() -> Iterator[str]:
    """What is wrong, tool by tool."""
    for values in values_files():
        option = [f"--values={values}"] if values is not None else []
        yield from _run("helm", "lint", "--strict", "--quiet", *option, str(CHART))
    yield from _run("helm-unittest", "--strict", "--file", "tests/*_test.yaml", str(CHART))
    yield from _schemas_and_policies()
    yield from _crds_are_the_same()
    yield from _hadolint()


def _schemas_and_policies() -> Iterator[str]:
    with scratch() as folder:
        for values in values_files():
            name = values.stem if values is not None else "default-values"
            manifest = Path(folder) / f"{name}.yaml"
            manifest.write_text(rendered(*([str(values)] if values is not None else [])))
            yield from _run(
                *("kubeconform", "-strict", "-summary", "-skip", ",".join(NO_SCHEMA)),
                *("-schema-location", f"{schemas.folder()}/{schemas.LOCATION}", str(manifest)),
            )
            ignored = [f"--ignore-test={test}" for test in KUBE_SCORE_IGNORED]
            version = ".".join(binaries.kubernetes_version().split(".")[:2])
            options = ("--output-format=ci", f"--kubernetes-version={version}", *ignored)
            # A limit of CPU would throttle an idle process until it loses its Lease.
            options += ("--ignore-container-cpu-limit",)
            yield from _run("kube-score", "score", *options, str(manifest))


def _crds_are_the_same() -> Iterator[str]:
    """Templating may only add metadata."""
    made = {
        body["metadata"]["name"]: body["spec"]
        for body in yaml.safe_load_all(rendered())
        if body and body["kind"] == "CustomResourceDefinition"
    }
    plain = {}
    for path in (ROOT / "crds").glob("*.yaml"):
        body = yaml.safe_load(path.read_text())
        plain[body["metadata"]["name"]] = body["spec"]
    if made != plain:
        yield "the CRDs that the chart makes are not those in crds/"


def _hadolint() -> Iterator[str]:
    yield from _run_command(
        "hadolint", [str(Path(sys.executable).parent / "hadolint"), "Dockerfile"]
    )


def _run(name: str, *args: str) -> Iterator[str]:
    yield from _run_command(f"{name} {args[0]}", [tool(name), *args])


def _run_command(name: str, command: list[str]) -> Iterator[str]:
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        yield f"{name}:\n{run.stdout}{run.stderr}".rstrip()
