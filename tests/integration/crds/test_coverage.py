"""Guards: every rule and restriction in the CRDs has an accepted and a refused example."""

from __future__ import annotations

import pytest

from tests.integration.crds.cases import CASES, Case
from tests.integration.crds.constraints import (
    Constraint,
    constraints,
    schema_path,
    schemas,
    values_at,
)

CONSTRAINTS = constraints()
SCHEMAS = schemas()


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=str)
def test_has_an_accepted_example(constraint: Constraint) -> None:
    looked_at = [
        value
        for case in CASES
        if case.refused is None and case.manifest["kind"] == constraint.kind
        for value in _looked_at(constraint, case)
    ]

    assert looked_at
    assert set(constraint.allowed) <= {value for value in looked_at if isinstance(value, str)}


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=str)
def test_has_a_refused_example(constraint: Constraint) -> None:
    assert any(_is_refused_by(constraint, case) for case in CASES)


def _looked_at(constraint: Constraint, case: Case) -> list[object]:
    """The values of a case that the API server holds against the constraint."""
    if not constraint.path.startswith("status"):
        after = values_at(case.manifest, constraint.path)
        if not constraint.update_only:
            return after
        return after if case.before and values_at(case.before, constraint.path) else []
    return values_at({"status": case.status}, constraint.path) if case.status else []


def _is_refused_by(constraint: Constraint, case: Case) -> bool:
    return (
        case.refused is not None
        and case.manifest["kind"] == constraint.kind
        and schema_path(case.refused.field, SCHEMAS[constraint.kind]) == constraint.field
        and case.refused.message in constraint.message
        and (case.before is not None or not constraint.update_only)
    )
