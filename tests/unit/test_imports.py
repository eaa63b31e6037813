"""What each command loads: names of modules, since times say little about a change."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

KUBERNETES = {"kopf", "kubernetes", "aiohttp", "uvloop", "prometheus_client"}
S3 = {"boto3", "botocore", "s3transfer"}
HUB = {"huggingface_hub", "filelock", "fsspec"}
COMPRESSOR = {"isal"}
UNUSED = {
    "httpx._main",
    "requests",
    "requests_oauthlib",
    "websocket",
    "google.auth",
    "IPython",
    "numpy",
}


def loaded(command: str) -> set[str]:
    """Modules, and the packages they are in, after the command line has found the command."""
    code = (
        "import sys, click; from together_operator.cli import cli; "
        f"assert cli.get_command(click.Context(cli), {command!r}) is not None; "
        "print(*(name for name, m in sys.modules.items() if type(m).__name__ != '_LazyModule'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("command", "needed", "spared"),
    [
        ("run", {"kopf", "kubernetes", "httpx"}, {*S3, *HUB, *COMPRESSOR, *UNUSED, "rich"}),
        ("archive", {"together_operator.archive"}, {*KUBERNETES, *S3, *HUB, *UNUSED, "pydantic"}),
        ("check", {"together_operator.archive.check"}, {*KUBERNETES, *S3, *HUB, *UNUSED}),
        ("status", set(), {"kopf", *S3, *HUB, *COMPRESSOR}),
    ],
)
def test_a_command_loads_what_it_needs_and_nothing_that_others_need(
    command: str, needed: set[str], spared: set[str]
) -> None:
    found = loaded(command)

    assert needed <= found
    assert found & spared == set()


def test_the_command_line_itself_loads_next_to_nothing() -> None:
    code = "import sys, together_operator.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    ours = {name for name in done.stdout.split() if name.startswith("together_operator.")}
    assert ours == {"together_operator.cli", "together_operator.postponed"}


def test_the_hub_is_told_nothing_that_nobody_asked_for() -> None:
    code = (
        "import click; from together_operator.cli import cli; "
        "cli.get_command(click.Context(cli), 'archive'); "
        "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"
    )
    clean = {k: v for k, v in os.environ.items() if k != "HF_HUB_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean
    )

    assert done.stdout.strip() == "True"


def test_what_is_postponed_is_there_when_it_is_used() -> None:
    code = (
        "from together_operator.postponed import UNUSED, postpone; postpone(); "
        "import sys, kubernetes, kubernetes.aio; "
        "assert all(type(sys.modules[n]).__name__ == '_LazyModule' for n in UNUSED), sys.modules; "
        "print(kubernetes.config.load_kube_config.__name__, kubernetes.aio.watch.Watch.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["load_kube_config", "Watch"]
