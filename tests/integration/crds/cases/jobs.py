"""Settings of the archive Job."""

from __future__ import annotations

from tests.integration.crds.cases.case import (
    ENUM,
    PATTERN,
    TOO_BIG,
    TOO_SMALL,
    Case,
    Refusal,
    values,
)
from tests.integration.crds.manifests import (
    FROM_PREFIX,
    changed,
)

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NODE = "spec.job.affinity.nodeAffinity"
_NODE_TERMS = (
    f"{_NODE}.{_REQUIRED}.nodeSelectorTerms[0]",
    f"{_NODE}.{_PREFERRED}[0].preference",
)
_LABEL_SELECTORS = tuple(
    f"spec.job.affinity.{affinity}.{term}.{selector}"
    for affinity in ("podAffinity", "podAntiAffinity")
    for term in (f"{_REQUIRED}[0]", f"{_PREFERRED}[0].podAffinityTerm")
    for selector in ("labelSelector", "namespaceSelector")
)

JOBS = [
    *values(
        FROM_PREFIX,
        "spec.job.image",
        accepted=("worker", "r.example.com:5000/a/b@sha256:0123"),
        refused={"a b": "without spaces"},
    ),
    *(
        case
        for field in ("serviceAccountName", "priorityClassName")
        for case in values(
            FROM_PREFIX,
            f"spec.job.{field}",
            accepted=("a", "a-1.b"),
            refused={"Archiver": "lower-case letters", "a/b": "name of a Kubernetes object"},
        )
    ),
    *values(
        FROM_PREFIX,
        "spec.job.activeDeadlineSeconds",
        accepted=(60, 2592000),
        refused={59: TOO_SMALL, 2592001: TOO_BIG},
    ),
    *values(
        FROM_PREFIX,
        "spec.job.stallSeconds",
        accepted=(10, 86400),
        refused={9: TOO_SMALL, 86401: TOO_BIG},
    ),
    *values(
        FROM_PREFIX,
        "spec.job.ttlSecondsAfterFinished",
        accepted=(0, 2592000),
        refused={-1: TOO_SMALL, 2592001: TOO_BIG},
    ),
    *(
        case
        for field in ("requests", "limits")
        for case in values(
            FROM_PREFIX,
            f"spec.job.resources.{field}.memory",
            accepted=("1.5Gi", "1e9", 1000),
            refused={"much": PATTERN, "-1Gi": PATTERN},
        )
    ),
    *(
        case
        for path in ("spec.job.labels.team", "spec.job.nodeSelector.pool")
        for case in values(
            FROM_PREFIX, path, accepted=("", "a_B-c.d"), refused={"a b": PATTERN, "-a": PATTERN}
        )
    ),
    *(
        Case(
            f"{field} under together.ai/",
            changed(FROM_PREFIX, {f"spec.job.{field}": {"together.ai/object": "a"}}),
            Refusal(f"spec.job.{field}", "which the operator sets: remove them"),
        )
        for field in ("labels", "annotations")
    ),
    *values(FROM_PREFIX, "spec.job.tolerations[0].operator", refused={"In": ENUM}),
    *values(FROM_PREFIX, "spec.job.tolerations[0].effect", refused={"Never": ENUM}),
    *values(FROM_PREFIX, "spec.job.tolerations[0].value", refused={"a b": PATTERN}),
    *(
        case
        for path in (
            f"{_NODE}.{_PREFERRED}[0].weight",
            f"spec.job.affinity.podAffinity.{_PREFERRED}[0].weight",
            f"spec.job.affinity.podAntiAffinity.{_PREFERRED}[0].weight",
        )
        for case in values(FROM_PREFIX, path, refused={0: TOO_SMALL, 101: TOO_BIG})
    ),
    *(
        case
        for term in _NODE_TERMS
        for requirements in ("matchExpressions", "matchFields")
        for case in values(
            FROM_PREFIX, f"{term}.{requirements}[0].operator", refused={"Equals": ENUM}
        )
    ),
    *(
        case
        for selector in _LABEL_SELECTORS
        for path, value, message in (
            ("matchLabels.app", "a b", PATTERN),
            ("matchExpressions[0].operator", "Gt", ENUM),
            ("matchExpressions[0].values[0]", "a b", PATTERN),
        )
        for case in values(FROM_PREFIX, f"{selector}.{path}", refused={value: message})
    ),
]
