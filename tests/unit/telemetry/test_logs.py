"""What a log line shows of an error, and what it doesn't."""

from __future__ import annotations

import subprocess
import sys

import pytest

CRASH = """
import structlog
from together_operator.telemetry import configure_logging

def call(key):
    headers = {"Authorization": f"Bearer {key}"}
    raise ValueError("no such thing")

configure_logging(FORMAT)
try:
    call("tgp_" + "secret")
except ValueError:
    structlog.get_logger("a").exception("reconcile crashed")
    import logging
    logging.getLogger("kopf").exception("from a library")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_has_no_values_of_variables(log_format: str) -> None:
    program = CRASH.replace("FORMAT", repr(log_format))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stderr.count("ValueError: no such thing") >= 2
    assert "tgp_secret" not in done.stderr
