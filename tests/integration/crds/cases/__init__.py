"""What the API server must accept and refuse: one table, which a guard holds against the CRDs."""

from __future__ import annotations

from tests.integration.crds.cases.both_kinds import COMPLETE, NAMES, POLICIES
from tests.integration.crds.cases.case import Case, Refusal
from tests.integration.crds.cases.custom_models import CUSTOM_MODELS
from tests.integration.crds.cases.jobs import JOBS
from tests.integration.crds.cases.model_deployments import DEPLOYMENTS
from tests.integration.crds.cases.serving import SERVING
from tests.integration.crds.cases.sources import ARCHIVES, S3_LOCATIONS, SOURCES
from tests.integration.crds.cases.statuses import STATUSES
from tests.integration.crds.cases.updates import UPDATES

__all__ = ["CASES", "Case", "Refusal"]

CASES: list[Case] = [
    *COMPLETE,
    *NAMES,
    *POLICIES,
    *S3_LOCATIONS,
    *SOURCES,
    *ARCHIVES,
    *CUSTOM_MODELS,
    *JOBS,
    *DEPLOYMENTS,
    *SERVING,
    *UPDATES,
    *STATUSES,
]
