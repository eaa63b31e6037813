"""Mount paths are replaced where they are paths, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cluster.process_node.environment import expand
from tests.support.cluster.process_node.paths import PathMap


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "/real"),
        ("/data/model/x", "/real/model/x"),
        ("--out=/data/x", "--out=/real/x"),
        ("cat '/data/x' /data", "cat '/real/x' /real"),
        ("/usr/bin:/data/bin", "/usr/bin:/real/bin"),
        ("file:///data/x", "file:///real/x"),
        ("/data/nested/x", "/deep/x"),
        ("/database", "/database"),
        ("/data-2", "/data-2"),
        ("/data.bak", "/data.bak"),
        ("/mnt/data", "/mnt/data"),
        ("s3://bucket/data/x", "s3://bucket/data/x"),
        ("s3://data/x", "s3://data/x"),
        ("../data", "../data"),
    ],
)
def test_only_whole_paths_from_the_root_are_replaced(text: str, expected: str) -> None:
    paths = PathMap()
    paths.add("/data", Path("/real"))
    paths.add("/data/nested/", Path("/deep"))

    assert paths.translate(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)", "12"),
        ("$$(A)", "$(A)"),
        ("echo $$$$", "echo $$"),
        ("$(NO)", "$(NO)"),
        ("$A", "$A"),
        ("$(A", "$(A"),
    ],
)
def test_variables_expand_as_kubernetes_defines(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected
