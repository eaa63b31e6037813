"""What a manifest is told without a cluster, held against what a real API server tells."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.crds.cases import CASES, Case
from tests.integration.crds.manifests import DEPLOYMENT, FROM_HUGGING_FACE, changed
from together_operator.api.v1alpha1 import KINDS
from together_operator.commands.rules import parsed, problem

CREATED = [case for case in CASES if case.before is None and case.status is None]
"""`tests/integration/crds` tries them on the real one."""


def told(manifest: dict[str, Any]) -> str | None:
    kind = next(kind for kind in KINDS if kind.__name__ == manifest["kind"])
    return problem(kind, manifest)


@pytest.mark.parametrize("case", [c for c in CREATED if c.refused is None], ids=str)
def test_what_an_api_server_accepts_is_accepted(case: Case) -> None:
    assert told(case.manifest) is None


def test_most_of_what_an_api_server_refuses_is_refused() -> None:
    refused = [case for case in CREATED if case.refused is not None]
    missed = [case for case in refused if told(case.manifest) is None]
    assert len(missed) * 5 < len(refused), [str(case) for case in missed]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.replica", 5, "spec.replica: there is no such field; did you mean replicas?"),
        ("spec.max_hourly_cost", "1", "spec.max_hourly_cost: there is no such field"),
        ("spec.rollout.canari", {}, "spec.rollout.canari: there is no such field; did you mean"),
        ("spec.placement.regions", ["a b"], "spec.placement.regions[0]: regions must be"),
        ("spec.maxHourlyCost", "1,5", "spec.maxHourlyCost: "),
        ("spec.maxHourlyCost", 1.5, "spec.maxHourlyCost: Input should be a valid string"),
        ("spec.replicas", "2", "spec.replicas: Input should be a valid integer"),
        ("spec.model", "acme/chat", "spec: "),
        ("spec.revisionPolicy", "Latest", "spec: "),
    ],
)
def test_a_wrong_deployment_is_told_with_its_field(path: str, value: Any, words: str) -> None:
    assert words in (told(changed(DEPLOYMENT, {path: value})) or "")


def test_a_source_that_is_none_or_several_is_told() -> None:
    for source in ({}, {"s3": {"uri": "s3://bucket/m.zip"}, "presignedURL": {"secretKeyRef": {}}}):
        assert told(changed(FROM_HUGGING_FACE, {"spec.source": source})) is not None


@pytest.mark.parametrize(
    "source",
    [
        {"s3": {"uri": "s3://bucket/prefix/"}},
        {"persistentVolumeClaim": {"claimName": "weights"}},
        {"huggingFace": {"repo": "acme/chat", "revision": "main"}},
        {"huggingFace": {"repo": "acme/chat", "transfer": "Staged"}},
    ],
)
def test_a_source_that_is_packed_needs_to_know_where(source: dict[str, Any]) -> None:
    assert "archive.destination.uri" in (
        told(changed(FROM_HUGGING_FACE, {"spec.source": source})) or ""
    )


@pytest.mark.parametrize(
    ("rule", "value", "is_kept"),
    [
        ("self.matches('^a\\\\.b$')", "a.b", True),
        ("self.matches('^a\\\\.b$')", "axb", False),
        ("self.matches('a') && !self.endsWith('z')", "az", False),
        ("self.contains('a') || self.startsWith('b')", "bc", True),
        ("!has(self.a) || self.b == 'B'", {"a": 1, "b": "C"}, False),
        ("!has(self.a) || self.b != 'B'", {"b": "B"}, True),
        ("has(self.a) != has(self.b)", {"a": 1, "b": 2}, False),
        ("[has(self.a), has(self.b)].filter(given, given).size() == 1", {"b": 1}, True),
        ("[has(self.a), has(self.b)].filter(given, given).size() == 1", {}, False),
    ],
)
def test_a_rule_is_kept_or_broken(rule: str, value: Any, is_kept: bool) -> None:
    understood = parsed(rule)
    assert understood is not None
    assert understood(value) is is_kept


@pytest.mark.parametrize("rule", ["self == oldSelf", "!has(self.a) || (has(self.b))", "self > 0.0"])
def test_a_rule_that_needs_a_cluster_is_not_guessed(rule: str) -> None:
    assert parsed(rule) is None
