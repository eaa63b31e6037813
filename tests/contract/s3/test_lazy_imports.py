"""What is slow to import is imported with its first use: the operator is ready sooner."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("adapter", "library"),
    [
        ("s3", "boto3"),
        ("s3", "botocore"),
        ("hub", "huggingface_hub"),
        ("inspector", "boto3"),
        ("inspector", "huggingface_hub"),
        ("inspector", "isal"),
    ],
)
def test_an_adapter_is_imported_without_its_library(adapter: str, library: str) -> None:
    code = f"import sys, together_operator.adapters.{adapter}; print({library!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
