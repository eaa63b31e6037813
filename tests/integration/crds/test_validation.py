"""Every case of the table, tried on the real API server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.integration.crds.cases import CASES, Case, Refusal
from tests.integration.crds.objects import refusals

if TYPE_CHECKING:
    from tests.integration.crds.objects import Objects

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_accepted_or_refused_with_field_and_remedy(case: Case, objects: Objects) -> None:
    if case.before is None and case.status is None:
        found = refusals(partial(objects.create, case.manifest, dry_run=True))
    elif case.before is None:
        with objects.stored(case.manifest) as present:
            tried = present | {"status": case.status}
            found = refusals(partial(objects.replace_status, tried, dry_run=True))
    else:
        with objects.stored(case.before, case.status) as present:
            tried = present | {"spec": case.manifest["spec"]}
            found = refusals(partial(objects.replace, tried, dry_run=True))

    if case.refused is None:
        assert found == []
    else:
        assert any(_matches(case.refused, refusal) for refusal in found), found


def _matches(expected: Refusal, found: Refusal) -> bool:
    return found.field == expected.field and expected.message in found.message
